"""The OpenAPI document: the table of routes, the types that it names, and the addresses of the application itself."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from werkzeug.routing import Map, Rule

from gateway.errors import GatewayError
from gateway.model import JSON
from gateway.web.access import COOKIE, ROUTES, Access
from gateway.web.api.routes import HEADERS, PLACES, Answer, Route
from gateway.web.api.schemas import make_schemas
from gateway.web.api.table import ROUTES as TABLE

_ABOUT = (
    "Your own session ids in front of provider-hosted conversations. Every error has one shape and a code to program "
    "against; its `x-should-retry` is `true` only where a turn surely did not start."
)
_REFERENCE = "#/components/schemas/{model}"
_EVENTS = {"session": "SessionEvent", "delta": "DeltaEvent", "done": "TurnReply", "error": "StreamError"}
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


def make_document(urls: Map, *, auth: str) -> JSON:
    """The document for an application with these addresses."""
    schemas = make_schemas(_REFERENCE)
    paths: dict[str, JSON] = defaultdict(dict)
    for route in TABLE:
        for rule in urls.iter_rules(route.endpoint):
            if route.method in (rule.methods or ()):
                paths[_path(rule)][route.method.lower()] = _operation(route, rule, schemas, auth=auth)
    queries = {route.query.__name__ for route in TABLE if route.query}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Conversation gateway", "version": _version(), "description": _ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": group} for group in dict.fromkeys(route.group for route in TABLE)],
        "paths": paths,
        "components": {
            "schemas": {name: schema for name, schema in schemas.items() if name not in queries},
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


def _operation(route: Route, rule: Rule, schemas: dict[str, JSON], *, auth: str) -> JSON:
    needs_auth = auth != "none" and ROUTES[route.endpoint] is not Access.OPEN
    operation: JSON = {
        "operationId": "_".join([*route.endpoint.split("."), *_beside_session(rule)]),
        "tags": [route.group],
        "summary": route.summary,
        "description": route.more,
        "security": [{"bearer": []}, {"cookie": []}] if needs_auth else [],
        "parameters": [*_parameters(route, rule, schemas)],
    }
    if needs_auth and ROUTES[route.endpoint] is Access.PRINCIPAL:
        operation["parameters"] += _user_of_admins(route, schemas)
    if route.body is not None:
        schema = _reference(route.body)
        example = {} if route.example is None else {"example": route.example}
        content = {"application/json": {"schema": schema, **example}}
        operation["requestBody"] = {"required": route.body_required, "content": content}
    operation["responses"] = {
        **{str(answer.status): _answer(route, answer) for answer in route.answers},
        **_failures(route),
    }
    return {name: value for name, value in operation.items() if value or name == "security"}


def _beside_session(rule: Rule) -> list[str]:
    """What tells two addresses of one endpoint apart."""
    return ["named"] if "name" in rule.arguments else []


def _reference(kind: Any) -> JSON:
    return {"type": "object"} if kind is dict else {"$ref": _REFERENCE.format(model=kind.__name__)}


# --- What a request has beside its body --------------------------------------------------------------------


def _parameters(route: Route, rule: Rule, schemas: dict[str, JSON]) -> Iterator[JSON]:
    # In the order in which the address has them.
    for name in re.findall(r"{(\w+)}", _path(rule)):
        description, schema = PLACES[name]
        yield {"name": name, "in": "path", "required": True, "description": description, **_with_example(schema)}
    if route.query is not None:
        asked = schemas[route.query.__name__]
        for name, schema in asked["properties"].items():
            yield _query(name, schema, required=name in asked.get("required", ()))
    for name in route.headers:
        description, schema = HEADERS[name]
        yield {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


def _query(name: str, schema: JSON, *, required: bool) -> JSON:
    described = {"description": schema["description"]} if "description" in schema else {}
    bare = {word: value for word, value in schema.items() if word != "description"}
    return {"name": name, "in": "query", "required": required, **described, "schema": bare}


def _with_example(schema: JSON) -> JSON:
    bare = {word: value for word, value in schema.items() if word != "example"}
    return {"schema": bare, "example": schema["example"]}


def _user_of_admins(route: Route, schemas: dict[str, JSON]) -> list[JSON]:
    if route.query is not None and "user_id" in schemas[route.query.__name__]["properties"]:
        return []
    about = "For admins: the user whose sessions are meant, instead of the tenant's own."
    schema = {"type": "string", "minLength": 1, "maxLength": 200}
    return [{"name": "user_id", "in": "query", "required": False, "description": about, "schema": schema}]


# --- What comes back ---------------------------------------------------------------------------------------


def _answer(route: Route, answer: Answer) -> JSON:
    content: JSON = {}
    if answer.kind is not None:
        content["application/json"] = {"schema": _reference(answer.kind)}
        if answer.example is not None:
            content["application/json"]["example"] = answer.example
    for media_type, example in answer.media.items():
        content[media_type] = {"schema": {"type": "string"}, "example": example}
        if route.endpoint == "workflow.run":
            # No word of OpenAPI 3.1 for it: event → the schema of its data.
            content[media_type]["x-events"] = {
                event: {"$ref": _REFERENCE.format(model=name)} for event, name in _EVENTS.items()
            }
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
        "content": {"application/json": {"schema": {"$ref": _REFERENCE.format(model="Error"), **codes}}},
    }


def _headers(*names: str) -> JSON:
    words = {"RequestId": "X-Request-Id", "ShouldRetry": "x-should-retry", "RetryAfter": "Retry-After"}
    return {words.get(name, name): {"$ref": f"#/components/headers/{name}"} for name in names}
