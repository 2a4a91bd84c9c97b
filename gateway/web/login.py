"""POST /login and /logout: a browser's credential in a cookie that no script can read."""

from __future__ import annotations

from flask import Blueprint, Response, request

from gateway.errors import InvalidRequestError, NotFoundError
from gateway.web import fields
from gateway.web.access import COOKIE, authenticate
from gateway.web.api import bodies
from gateway.web.requests import parse_body, settings

blueprint = Blueprint("login", __name__)

_LONGEST = 3500  # browsers drop a cookie above 4 KiB


@blueprint.post("/login")
def login() -> Response:
    """204 and the cookie for a key or token that is valid now; it is asked for again at every request."""
    if settings().auth == "none":
        raise NotFoundError("There is no auth here, so nobody has to log in.")
    body = parse_body()
    fields.only(body, bodies.Login)
    key = fields.optional_text(body, "key", longest=_LONGEST)
    if key is None:
        raise InvalidRequestError("key is needed.", param="key")
    authenticate(key)
    reply = Response(status=204)
    secure = request.is_secure or request.headers.get("X-Forwarded-Proto") == "https"
    reply.set_cookie(COOKIE, key, httponly=True, samesite="Strict", secure=secure, path="/")
    return reply


@blueprint.post("/logout")
def logout() -> Response:
    reply = Response(status=204)
    reply.delete_cookie(COOKIE, httponly=True, samesite="Strict", path="/")
    return reply
