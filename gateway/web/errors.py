"""Every failure in one shape, whoever raised it."""

from __future__ import annotations

import logging
import math

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from gateway.errors import (
    BodyTooLargeError,
    DefectError,
    GatewayError,
    InvalidRequestError,
    MethodNotAllowedError,
    NotFoundError,
    UnauthorizedError,
    UnsupportedMediaTypeError,
)
from gateway.model import JSON
from gateway.web.request_log import note_error
from gateway.web.requests import json_reply, request_id

log = logging.getLogger("gateway.web")

_OURS: dict[int, type[GatewayError]] = {
    kind.status: kind for kind in (NotFoundError, MethodNotAllowedError, BodyTooLargeError, UnsupportedMediaTypeError)
}


def install(app: Flask) -> None:
    app.register_error_handler(GatewayError, error_reply)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _defect)


def error_reply(error: GatewayError) -> Response:
    note_error(error.code)
    reply = json_reply({"error": error.as_dict(request_id())}, error.status)
    reply.headers["x-should-retry"] = "true" if may_retry(error) else "false"
    if error.status == UnauthorizedError.status:
        reply.headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after is not None:
        reply.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    return reply


def error_event(error: BaseException) -> JSON:
    """The same inside a stream, whose status line is long gone."""
    known = error if isinstance(error, GatewayError) else DefectError()
    note_error(known.code)
    return {"error": {**known.as_dict(request_id()), "status": known.status, "retry_after": known.retry_after}}


def may_retry(error: GatewayError) -> bool:
    """True only when the request may be sent again because its turn surely did not start."""
    return error.should_retry and not error.in_doubt


def _http(error: HTTPException) -> Response:
    code = error.code or 500
    if code >= 500:
        return _defect(error)
    kind = _OURS.get(code)
    if kind is None:
        # What werkzeug refuses by itself (a bad header, a bad path) is the client's mistake.
        return error_reply(InvalidRequestError(error.description))
    reply = error_reply(kind())
    for name, value in error.get_headers():
        if name == "Allow":
            reply.headers[name] = value
    return reply


def _defect(error: Exception) -> Response:
    log.exception("request %s failed in a way that it should not", request_id())
    return error_reply(DefectError())
