"""One line and one count for each request, when its reply is really over: at a stream's end, or at a hang-up."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Any, cast

from flask import Flask, Response, g, request
from werkzeug.wsgi import ClosingIterator

from gateway import logs
from gateway.errors import RateLimitedError
from gateway.metrics import series

log = logging.getLogger("gateway.request")

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_KEY = "gateway.entry"


class Entry:
    """What is to be said of one request."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.request_id: str | None = None
        self.method = self.route = ""
        self.status = 500
        self.code: str | None = None
        self.principal: str | None = None

    def write(self) -> None:
        series.requests(self.route, self.method, self.status).inc()
        logs.event(
            log,
            f"{self.method} {self.route} {self.status}",
            request_id=self.request_id,
            method=self.method,
            route=self.route,
            status=self.status,
            code=self.code,
            principal=self.principal,
            ms=logs.milliseconds(time.perf_counter() - self.began),
        )
        logs.request_id.set(None)


def install(app: Flask) -> None:
    serve = app.wsgi_app

    def wsgi_app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ[_KEY] = entry = Entry()
        return ClosingIterator(serve(environ, start_response), entry.write)

    app.wsgi_app = wsgi_app  # type: ignore[method-assign]

    @app.after_request
    def _describe(response: Response) -> Response:
        entry = _entry()
        entry.request_id = g.request_id
        # Never what the client wrote: it may be anything, and there may be any number of it.
        entry.method = request.method if request.method in _METHODS else "OTHER"
        entry.route = request.url_rule.rule if request.url_rule else "unknown"
        entry.status = response.status_code
        entry.principal = g.principal.name if "principal" in g else None
        return response


def note_error(code: str) -> None:
    """The request came to this error, before its reply began or in the middle of it."""
    _entry().code = code
    if code == RateLimitedError.code:
        series.RATE_LIMITED.inc()


def _entry() -> Entry:
    # Without a server around the application nobody writes one.
    return cast(Entry, request.environ.get(_KEY) or Entry())
