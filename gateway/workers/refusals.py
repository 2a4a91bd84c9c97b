"""What gunicorn itself refuses, before the application has seen it, in the shape that all errors have."""

from __future__ import annotations

import logging
import uuid
from typing import Any

import orjson
from gunicorn.http import errors as http  # type: ignore[import-untyped]

from gateway import logs
from gateway.errors import DefectError, GatewayError, InvalidRequestError

log = logging.getLogger("gateway.request")

_REFUSED: tuple[tuple[type[Exception], int, str, str], ...] = (
    (http.LimitRequestLine, 414, "URI Too Long", "The address is too long."),
    (http.LimitRequestHeaders, 431, "Request Header Fields Too Large", "The headers are too large, or too many."),
    (http.ExpectationFailed, 417, "Expectation Failed", "Nothing can be expected but 100-continue."),
    (http.UnsupportedTransferCoding, 501, "Not Implemented", "This transfer coding is not understood."),
    (http.ForbiddenProxyRequest, 403, "Forbidden", "This proxy may not speak for others."),
    (http.ParseException, 400, "Bad Request", "This is no valid HTTP request."),
)

_OURS = (http.ConfigurationProblem, http.InvalidResponseHeader, http.InvalidResponseHeaderName)
"""What the client cannot be blamed for."""


class Refusals:
    """For a gunicorn worker: answers what cannot be read, or is not understood."""

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        # Only here: this module is imported before it is settled that numbers are counted for several processes.
        from gateway.metrics import series

        request_id = f"req_{uuid.uuid4().hex}"
        status, reason, error = _face_of(exc)
        if isinstance(error, DefectError):
            log.error("request %s failed in a way that it should not", request_id, exc_info=exc)
        series.requests("unknown", "OTHER", status).inc()
        # What was refused is not said: it may be anything, and a broken header may be the one with the key.
        kind = type(exc).__name__
        logs.event(log, f"refused {status}", request_id=request_id, status=status, code=error.code, reason=kind)
        body = orjson.dumps({"error": error.as_dict(request_id)})
        head = (
            f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            f"X-Request-Id: {request_id}\r\nx-should-retry: false\r\nCache-Control: no-store\r\n"
            "Connection: close\r\n\r\n"
        )
        try:
            client.sendall(head.encode("ascii") + body)
        except OSError:
            log.debug("a client did not wait for its refusal")


def _face_of(exc: BaseException) -> tuple[int, str, GatewayError]:
    if not isinstance(exc, _OURS):
        for kind, status, reason, message in _REFUSED:
            if isinstance(exc, kind):
                return status, reason, InvalidRequestError(message)
    return DefectError.status, "Internal Server Error", DefectError()
