"""What every request has: an id, and a body that is parsed in one way."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, cast

import orjson
from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import HTTPException

from gateway import logs
from gateway.config import Settings
from gateway.errors import BodyTooLargeError, InvalidJSONError, InvalidRequestError, UnsupportedMediaTypeError
from gateway.model import JSON
from gateway.turn import Gateway

if TYPE_CHECKING:
    from gateway.web.app import GatewayApp

_MOST_LEVELS = 64
"""How deep a body may be nested: far less than what can be read, but not written any more."""


def install(app: Flask) -> None:
    @app.before_request
    def _begin() -> None:
        g.request_id = f"req_{uuid.uuid4().hex}"
        logs.request_id.set(g.request_id)
        _check_address()

    @app.after_request
    def _end(response: Response) -> Response:
        response.headers["X-Request-Id"] = request_id()
        if request.path not in ("/healthz", "/readyz", "/metrics"):
            response.headers.setdefault("Cache-Control", "no-store")
        return response


def request_id() -> str:
    return cast(str, g.request_id)


def application() -> GatewayApp:
    return cast("GatewayApp", current_app)


def gateway() -> Gateway:
    return application().gateway


def settings() -> Settings:
    return application().settings


def _check_address() -> None:
    """What no route could look for: no store keeps a NUL in a text."""
    if "\0" in request.path or b"%00" in request.query_string or b"\0" in request.query_string:
        raise InvalidRequestError("The address has a NUL character.")
    try:
        request.query_string.decode()
    except UnicodeDecodeError:
        raise InvalidRequestError("The query is not UTF-8.") from None


def parse_body(*, required: bool = True) -> JSON:
    """The body as a JSON object. An absent one is an empty object where it is not `required`."""
    raw = _read_body()
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
    if raw.count(b"{") + raw.count(b"[") > _MOST_LEVELS and _has_more_levels_than(_MOST_LEVELS, body):
        raise InvalidRequestError(f"The body is nested more than {_MOST_LEVELS} levels deep.")
    return body


def _read_body() -> bytes:
    most = cast(int, current_app.config["MAX_CONTENT_LENGTH"])
    # One that comes in chunks is cut off at its limit without a word.
    request.max_content_length = most + 1
    try:
        raw = request.get_data(cache=False)
    except HTTPException:
        raise
    except Exception as exc:  # servers have errors of their own for chunks that are none, and bodies that break off
        raise InvalidRequestError("The body cannot be read.") from exc
    if len(raw) > most:
        raise BodyTooLargeError()
    return raw


def _has_more_levels_than(most: int, value: Any) -> bool:
    level = [value]
    for _ in range(most):
        children = (each.values() if isinstance(each, dict) else each for each in level)
        level = [child for each in children for child in each if isinstance(child, dict | list)]
        if not level:
            return False
    return True


def json_reply(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, mimetype="application/json")


def asked_each_time(reply: Response) -> Response:
    """What a browser may keep, if it asks each time whether it is still the same."""
    reply.headers["Cache-Control"] = "no-cache"
    return unless_kept(reply)


def unless_kept(reply: Response) -> Response:
    """The reply, or 304 when the client has it already, by its ETag. Other conditions are for what can be changed."""
    reply.add_etag()
    if request.if_none_match.contains_weak(reply.get_etag()[0] or ""):
        reply.status_code = 304
        reply.data = b""
    return reply
