"""A route is one row: its address, who may use it, what it takes and gives, and the words about it. It is registered,
guarded, parsed and described by this row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import wraps
from typing import Any, TypeVar, cast

from flask import Blueprint, Flask, Response
from werkzeug.routing import Rule

from gateway import errors
from gateway.web.bodies import Nothing
from gateway.web.fields import Asked, checked
from gateway.web.queries import parse_headers, parse_query
from gateway.web.requests import parse_body

Errors = Sequence[type[errors.GatewayError]]


class Access(Enum):
    """Who a route is for."""

    OPEN = auto()
    """Everybody."""
    PRINCIPAL = auto()
    """Whoever authenticates, and then for what is their own."""
    V1 = auto()
    """The same, if GATEWAY_V1 lets them in: who is there chooses model, tools and instructions freely."""
    OPERATOR = auto()
    """Admins, and callers on this host."""


@dataclass(frozen=True)
class Answer:
    """A reply that is no error: its status, its body's type, and what it may look like."""

    status: int
    kind: Any
    """Its type, out of `replies` or `openai_objects`; None for no body."""
    meaning: str
    example: Any = None
    media: Mapping[str, str] = field(default_factory=dict)
    """Other media types, each with an example of its text."""
    events: Mapping[str, Any] = field(default_factory=dict)
    """The type of each event's data, where one of them is a stream of events."""
    has_etag: bool = False


@dataclass(frozen=True, kw_only=True)
class Route:
    """One method of one address, or of two that do the same."""

    name: str
    """Of the operation in the document: clients that are made from it have their names by it."""
    method: str
    address: str
    second_address: str | None = None
    access: Access
    group: str | None
    """Where it stands in the document; None for what only people's browsers load, which is not in it."""
    summary: str = ""
    more: str = ""
    """What else there is to say, in Markdown's plainest form."""
    body: type[Asked] | None = None
    body_required: bool = True
    needs_posted: bool = False
    """Whether the handler needs the body as it came, too."""
    example: Any = None
    """Of the body."""
    query: type[Asked] | None = Nothing
    """None where nobody looks at it."""
    headers: type[Asked] | None = None
    answers: Sequence[Answer] = ()
    fails: Errors = ()
    """With what, beside what everybody of this access and with such a body can be refused with."""

    @property
    def addresses(self) -> list[str]:
        return [self.address] if self.second_address is None else [self.address, self.second_address]

    @property
    def has_user_id(self) -> bool:
        """Whether it takes a user_id from everybody: the one that sessions were made with."""
        return self.query is not None and "user_id" in self.query.__struct_fields__

    @property
    def errors(self) -> list[type[errors.GatewayError]]:
        """All that it can be refused with, in the order in which it is."""
        asked = BODY if self.body is not None else QUERY if self.query is not None else ()
        return list(dict.fromkeys([*_DOORS[self.access], *asked, *self.fails]))


def page(address: str) -> Route:
    """A page, or a part of one: nothing that a program would call."""
    return Route(name=address, method="GET", address=address, access=Access.OPEN, group=None, query=None)


def route_of(app: Flask, endpoint: str) -> Route:
    """The row of this endpoint."""
    return cast(Route, cast(Any, app.view_functions[endpoint]).route)


def routes_of(app: Flask) -> list[tuple[Route, Rule]]:
    """Every row with each of its addresses."""
    return [(route_of(app, rule.endpoint), rule) for rule in app.url_map.iter_rules()]


def check_routes(app: Flask) -> None:
    """A route without a row stops the start: nobody has thought about who may use it."""
    endpoints = {rule.endpoint for rule in app.url_map.iter_rules()}
    missing = [endpoint for endpoint in endpoints if not hasattr(app.view_functions[endpoint], "route")]
    if missing:
        raise RuntimeError(f"No row says who may use {', '.join(sorted(missing))}.")


# --- What goes wrong where ---------------------------------------------------------------------------------

ORIGIN: Errors = (errors.ForbiddenError,)
"""Before any route: a browser sends it for a page that is not ours."""

DOOR: Errors = (errors.UnauthorizedError, errors.ForbiddenError, errors.RateLimitedError, errors.StoreUnavailableError)
"""Before any route that is not open to everybody."""

_DOORS = {
    Access.OPEN: ORIGIN,
    Access.PRINCIPAL: DOOR,
    Access.V1: DOOR,
    Access.OPERATOR: (errors.UnauthorizedError, errors.ForbiddenError, errors.StoreUnavailableError),
}

QUERY: Errors = (errors.InvalidRequestError, errors.UnknownFieldError)

BODY: Errors = (
    errors.InvalidJSONError,
    *QUERY,
    errors.BodyTooLargeError,
    errors.UnsupportedMediaTypeError,
)

SESSION: Errors = (errors.InvalidSessionIdError, errors.SessionNotFoundError, errors.NotFoundError)

PROVIDER: Errors = (
    errors.ProviderRejectedError,
    errors.ConversationGoneError,
    errors.ProviderRateLimitedError,
    errors.InsufficientQuotaError,
    errors.ProviderError,
    errors.ProviderUnavailableError,
    errors.ProviderTimeoutError,
)

HELD: Errors = (errors.TurnBusyError, errors.QueueFullError, errors.TurnLostError, errors.ShuttingDownError)
"""Of a route that waits for the session's turn."""

TURN: Errors = (
    errors.InvalidSessionIdError,
    errors.NotFoundError,
    errors.IdempotencyUnsupportedError,
    errors.IdempotencyKeyReusedError,
    errors.ContextLengthExceededError,
    errors.ToolOutputMissingError,
    errors.UserMismatchError,
    *HELD,
    *PROVIDER,
)


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
