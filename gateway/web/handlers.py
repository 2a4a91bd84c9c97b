"""How a handler is joined to its route: registered at its address, and given what the route takes, parsed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, TypeVar, cast

from flask import Blueprint, Response

from gateway.web.bodies import Nothing
from gateway.web.checks import checked
from gateway.web.queries import parse_headers, parse_query
from gateway.web.requests import parse_body
from gateway.web.routes import Route

Handler = TypeVar("Handler", bound=Callable[..., Response])


def serve(blueprint: Blueprint, route: Route) -> Callable[[Handler], Handler]:
    """Registers a handler. It gets the parts of the address and, as far as the route has them, `query`, `headers` and
    `body`: each is checked before it is called, also where it takes none."""
    parsers = _parsers(route)

    def register(handler: Handler) -> Handler:
        @wraps(handler)
        def view(**given: Any) -> Response:
            for name, kind, parse in parsers:
                parsed = parse()
                if kind is not Nothing:
                    given[name] = parsed
            return handler(**given)

        cast(Any, view).route = route
        for address in route.addresses:
            blueprint.add_url_rule(address, view_func=view, methods=[route.method])
        return handler

    return register


def _parsers(route: Route) -> list[tuple[str, type[Any], Callable[[], Any]]]:
    found: list[tuple[str, type[Any], Callable[[], Any]]] = []
    if route.query is not None:
        found.append(("query", route.query, partial(parse_query, route.query)))
    if route.headers is not None:
        found.append(("headers", route.headers, partial(parse_headers, route.headers)))
    if (kind := route.body) is not None:
        found.append(("body", kind, lambda: checked(kind, parse_body(required=route.body_required))))
    return found
