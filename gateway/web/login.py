"""POST /login and /logout: a browser's credential in a cookie that no script can read."""

from __future__ import annotations

from flask import Blueprint, Response, request

from gateway.errors import NotFoundError
from gateway.web.access import COOKIE, authenticate
from gateway.web.bodies import Login
from gateway.web.handlers import serve
from gateway.web.reference import operations as routes
from gateway.web.requests import settings

blueprint = Blueprint("login", __name__)


@serve(blueprint, routes.LOGIN)
def login(body: Login) -> Response:
    """204 and the cookie for a key or token that is valid now; it is asked for again at every request."""
    if settings().auth == "none":
        raise NotFoundError("There is no auth here, so nobody has to log in.")
    authenticate(body.key)
    reply = Response(status=204)
    secure = request.is_secure or request.headers.get("X-Forwarded-Proto") == "https"
    reply.set_cookie(COOKIE, body.key, httponly=True, samesite="Strict", secure=secure, path="/")
    return reply


@serve(blueprint, routes.LOGOUT)
def logout() -> Response:
    reply = Response(status=204)
    reply.delete_cookie(COOKIE, httponly=True, samesite="Strict", path="/")
    return reply
