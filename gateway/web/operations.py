"""What operators and browsers ask: does the process live, is it ready, how does it fare; and to be let in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from flask import Blueprint, Response, request

from gateway.errors import GatewayError, NotFoundError
from gateway.metrics import series
from gateway.sessions.schemes import scheme_of
from gateway.web.access import COOKIE, authenticate, is_operator
from gateway.web.bodies import Login
from gateway.web.reference import operations as routes
from gateway.web.replies import Health, Ready
from gateway.web.requests import application, json_reply, settings
from gateway.web.routes import serve

blueprint = Blueprint("operations", __name__)

REMEMBERED_SECONDS = 1.0


@serve(blueprint, routes.HEALTHZ)
def healthz() -> Response:
    return json_reply(Health(status="ok"))


class Readiness:
    """Whether the store answers and the provider can be used as configured. Anybody may ask, as often as they like: it
    is looked for once a second at most, by one of them, and the others are told what was found."""

    def __init__(self, look: Callable[[], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._look = look
        self._clock = clock
        self._lock = threading.Lock()
        self._found: GatewayError | None = None
        self._at = float("-inf")

    def check(self) -> None:
        """Raises why not."""
        # Who finds somebody looking waits for nothing but the very first answer.
        if self._is_old() and self._lock.acquire(blocking=self._at < 0):
            try:
                if self._is_old():
                    self._refresh()
            finally:
                self._lock.release()
        if (found := self._found) is not None:
            raise found.with_traceback(None)

    def _is_old(self) -> bool:
        return self._clock() - self._at >= REMEMBERED_SECONDS

    def _refresh(self) -> None:
        try:
            self._look()
        except GatewayError as exc:
            self._found = exc
        else:
            self._found = None
        self._at = self._clock()


@serve(blueprint, routes.READYZ)
def readyz() -> Response:
    """200 when the store answers and the provider can be used as configured; why not is for operators."""
    try:
        application().readiness.check()
    except GatewayError as exc:
        if is_operator():
            raise
        raise type(exc)("The gateway is not ready.", retry_after=exc.retry_after) from exc
    if not is_operator():
        return json_reply(Ready(status="ready"))
    chosen = settings()
    store = scheme_of(chosen.store)
    return json_reply(Ready(status="ready", store=store, provider=chosen.provider_name, auth=chosen.auth))


@serve(blueprint, routes.METRICS)
def metrics() -> Response:
    return Response(series.exposition(), content_type=series.CONTENT_TYPE)


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
