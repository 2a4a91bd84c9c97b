"""How a handler is joined to its route: registered at its address, and given what the route takes, parsed."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from flask import Blueprint, Response

from gateway.web.bodies import Nothing
from gateway.web.checks import checked
from gateway.web.queries import parse_headers, parse_query
from gateway.web.requests import parse_body
from gateway.web.routes import Route

Handler = TypeVar("Handler", bound=Callable[..., Response])


def serve(blueprint: Blueprint, route: Route) -> Callable[[Handler], Handler]:
    """Registers a handler. It gets the parts of the address and, as far as the route has them, `query`, `headers`,
    `body` and `posted`. All is checked before it is called, also that there is nothing where it takes nothing."""

    def register(handler: Handler) -> Handler:
        @wraps(handler)
        def view(**parts: Any) -> Response:
            return handler(**parts, **_asked(route))

        cast(Any, view).route = route
        for address in route.addresses:
            blueprint.add_url_rule(address, view_func=view, methods=[route.method])
        return handler

    return register


def _asked(route: Route) -> dict[str, Any]:
    asked: dict[str, Any] = {}
    if route.query is not None:
        query = parse_query(route.query)
        if route.query is not Nothing:
            asked["query"] = query
    if route.headers is not None:
        asked["headers"] = parse_headers(route.headers)
    if route.body is not None:
        posted = parse_body(required=route.body_required)
        body = checked(route.body, posted)
        if route.body is not Nothing:
            asked["body"] = body
        if route.needs_posted:
            asked["posted"] = posted
    return asked
