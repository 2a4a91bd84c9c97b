"""The OpenAPI document: the table of routes, the types that it names, and the addresses of the application itself."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec
from flask import Flask
from werkzeug.routing import Rule

from gateway.errors import GatewayError
from gateway.model import JSON
from gateway.web.access import COOKIE
from gateway.web.bodies import Nothing
from gateway.web.fields import SessionId, Text, reference
from gateway.web.queries import UserQuery
from gateway.web.reference.schemas import make_parameters, make_schemas
from gateway.web.routes import Access, Answer, Route, routes_of

_ABOUT = (
    "Your own session ids in front of provider-hosted conversations. Every error has one shape and a code to program "
    "against; its `x-should-retry` is `true` only where a turn surely did not start."
)
_GROUPS = ("Turns", "Sessions", "History", "OpenAI's API", "Operations")
"""In this order they are told."""

_REPLY_HEADERS: JSON = {
    "RequestId": {"description": "What to search the gateway's log for.", "schema": {"type": "string"}},
    "ShouldRetry": {
        "description": "`true` only when the same request may be sent again because its turn surely did not start.",
        "schema": {"type": "string", "enum": ["true", "false"]},
    },
    "RetryAfter": {
        "description": "After how many seconds it makes sense to try again.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "ETag": {"description": "Changes with what PATCH can change.", "schema": {"type": "string"}},
}


def make_document(app: Flask, *, auth: str) -> JSON:
    """The document for this application."""
    parameters = make_parameters()
    paths: dict[str, JSON] = defaultdict(dict)
    described = [(route, rule) for route, rule in routes_of(app) if route.group is not None]
    for route, rule in sorted(described, key=lambda each: _GROUPS.index(each[0].group)):
        paths[_path(rule)][route.method.lower()] = _operation(route, rule, parameters, auth=auth)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Conversation gateway", "version": _version(), "description": _ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": group} for group in _GROUPS],
        "paths": paths,
        "components": {
            "schemas": make_schemas(),
            "headers": _REPLY_HEADERS,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key (`gw_…`), or a token of the identity provider: see `GATEWAY_AUTH`.",
                },
                "cookie": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": COOKIE,
                    "description": "What POST /login leaves in a browser, for pages of the gateway's own.",
                },
            },
        },
    }


def _version() -> str:
    try:
        return version("conversation-gateway")
    except PackageNotFoundError:  # run out of a checkout that is not installed
        return "0"


def _path(rule: Rule) -> str:
    return re.sub(r"<(?:[^:>]+:)?([^>]+)>", r"{\1}", rule.rule)


def _operation(route: Route, rule: Rule, parameters: dict[str, JSON], *, auth: str) -> JSON:
    needs_auth = auth != "none" and route.access is not Access.OPEN
    operation: JSON = {
        "operationId": route.name if rule.rule == route.address else f"{route.name}_named",
        "tags": [route.group],
        "summary": route.summary,
        "description": route.more,
        "security": [{"bearer": []}, {"cookie": []}] if needs_auth else [],
        "parameters": [*_parameters(route, rule, parameters)],
    }
    if needs_auth and route.access is Access.PRINCIPAL and not route.has_user_id:
        operation["parameters"].append(_user_of_admins(parameters))
    if route.body is not None:
        schema = _reference(route.body)
        example = {} if route.example is None else {"example": route.example}
        content = {"application/json": {"schema": schema, **example}}
        operation["requestBody"] = {"required": route.body_required, "content": content}
    operation["responses"] = {
        **{str(answer.status): _answer(answer) for answer in route.answers},
        **_failures(route),
    }
    return {name: value for name, value in operation.items() if value or name == "security"}


def _reference(kind: Any) -> JSON:
    return {"type": "object"} if kind is dict else reference(kind.__name__)


_ADDRESS_PARTS = {
    "session_id": ("The session's id.", SessionId, "user_alice_session"),
    "name": ("The workflow's name.", Text, "coach"),
    "item_id": ("The item's id.", Text, "msg_1"),
    "turn_id": ("The turn's id.", Text, "turn_1"),
    "response_id": ("The response's id.", Text, "resp_1"),
}
"""What the variable parts of addresses are, each with its type and an example."""


# --- What a request has beside its body --------------------------------------------------------------------


def _parameters(route: Route, rule: Rule, parameters: dict[str, JSON]) -> Iterator[JSON]:
    # In the order in which the address has them.
    for name in re.findall(r"{(\w+)}", _path(rule)):
        about, kind, example = _ADDRESS_PARTS[name]
        schema = msgspec.json.schema(kind)
        yield {"name": name, "in": "path", "required": True, "description": about, "schema": schema, "example": example}
    for asks, where in ((route.query, "query"), (route.headers, "header")):
        if asks is not None and asks is not Nothing:
            asked = parameters[asks.__name__]
            for name, schema in asked["properties"].items():
                yield _parameter(name, where, schema, required=name in asked.get("required", ()))


def _parameter(name: str, where: str, schema: JSON, *, required: bool) -> JSON:
    """What is not given stands for nothing: a parameter is never null."""
    bare = {word: value for word, value in schema.items() if word not in ("description", "anyOf")}
    for each in schema.get("anyOf", ()):
        bare |= each if each != {"type": "null"} else {}
    described = {"description": schema["description"]} if "description" in schema else {}
    return {"name": name, "in": where, "required": required, **described, "schema": bare}


def _user_of_admins(parameters: dict[str, JSON]) -> JSON:
    schema = parameters[UserQuery.__name__]["properties"]["user_id"]
    about = "For admins: the user whose sessions are meant, instead of the tenant's own."
    return _parameter("user_id", "query", {**schema, "description": about}, required=False)


# --- What comes back ---------------------------------------------------------------------------------------


def _answer(answer: Answer) -> JSON:
    content: JSON = {}
    if answer.kind is not None:
        content["application/json"] = {"schema": _reference(answer.kind)}
        if answer.example is not None:
            content["application/json"]["example"] = answer.example
    for media_type, example in answer.media.items():
        content[media_type] = {"schema": {"type": "string"}, "example": example}
    if answer.events:
        # No word of OpenAPI 3.1 for it: event → the schema of its data.
        events = {event: reference(kind.__name__) for event, kind in answer.events.items()}
        content["text/event-stream"]["x-events"] = events
    headers = _headers("RequestId", *(["ETag"] if answer.has_etag else []))
    return {"description": answer.meaning, "headers": headers, **({"content": content} if content else {})}


def _failures(route: Route) -> dict[str, JSON]:
    by_status: dict[int, dict[str, type[GatewayError]]] = defaultdict(dict)
    for kind in route.errors:
        by_status[kind.status][kind.code] = kind
    return {str(status): _failure(by_status[status]) for status in sorted(by_status)}


def _failure(kinds: dict[str, type[GatewayError]]) -> JSON:
    told = [f"- `{code}`: {kind(None).message}" for code, kind in kinds.items()]
    codes = {"properties": {"error": {"properties": {"code": {"enum": list(kinds)}}}}}
    waits = any(kind.should_retry for kind in kinds.values())
    names = ["RequestId", "ShouldRetry", *(["RetryAfter"] if waits else [])]
    return {
        "description": "\n".join(told),
        "headers": _headers(*names),
        "content": {"application/json": {"schema": {**reference("Error"), **codes}}},
    }


def _headers(*names: str) -> JSON:
    words = {"RequestId": "X-Request-Id", "ShouldRetry": "x-should-retry", "RetryAfter": "Retry-After"}
    return {words.get(name, name): {"$ref": f"#/components/headers/{name}"} for name in names}
