"""What every request has: an id, a principal, and a body that is parsed in one way."""

from __future__ import annotations

import uuid
from typing import Any, cast

import orjson
from flask import Flask, Response, current_app, g, request

from gateway.errors import ForbiddenError, InvalidJSONError, InvalidRequestError, UnsupportedMediaTypeError
from gateway.model import JSON
from gateway.reader import Readers
from gateway.turn import Gateway


def install(app: Flask) -> None:
    @app.before_request
    def _begin() -> None:
        g.request_id = f"req_{uuid.uuid4().hex}"
        # Some writes need no body, and a page of any other site could have a browser on this host send those.
        if request.method not in ("GET", "HEAD", "OPTIONS") and request.headers.get("Sec-Fetch-Site") == "cross-site":
            raise ForbiddenError("A page of another site may not do that.")

    @app.after_request
    def _end(response: Response) -> Response:
        response.headers["X-Request-Id"] = request_id()
        if request.path not in ("/healthz", "/readyz", "/metrics"):
            response.headers.setdefault("Cache-Control", "no-store")
        return response


def request_id() -> str:
    return cast(str, g.request_id)


def gateway() -> Gateway:
    return cast(Gateway, current_app.gateway)  # type: ignore[attr-defined]


def readers() -> Readers:
    return cast(Readers, current_app.readers)  # type: ignore[attr-defined]


def tenant() -> str:
    """The namespace of the caller's sessions."""
    return ""


def parse_body(*, required: bool = True) -> JSON:
    """The body as a JSON object. An absent one is an empty object where it is not `required`."""
    raw = request.get_data(cache=False)
    if not raw and not required:
        return {}
    if request.mimetype != "application/json":
        raise UnsupportedMediaTypeError()
    try:
        body: Any = orjson.loads(raw)
    except orjson.JSONDecodeError as exc:
        raise InvalidJSONError(f"The body is not valid JSON: {exc}.") from exc
    if not isinstance(body, dict):
        raise InvalidRequestError("The body must be a JSON object.")
    return body


def json_reply(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, mimetype="application/json")
