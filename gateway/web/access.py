"""The one door: which routes need whom, and who a request comes from."""

from __future__ import annotations

from enum import Enum, auto
from typing import cast

from flask import Flask, current_app, g, request

from gateway.audit import audit
from gateway.auth import ANONYMOUS, Authenticate, Principal, namespace
from gateway.errors import ForbiddenError, InvalidRequestError, UnauthorizedError, UserMismatchError
from gateway.model import Role
from gateway.web.origin import check_origin, check_own_page, is_local
from gateway.web.requests import settings

COOKIE = "gateway_key"
"""Where a browser that has logged in at the console keeps its credential."""


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


_OPEN = (
    "operations.healthz",
    "operations.readyz",
    "login.login",
    "login.logout",
    "api.openapi",
    "api.docs",
    "api.style",
    "console.page",
    "console.asset",
)
_OPERATOR: tuple[str, ...] = ("metrics.metrics",)
_PRINCIPAL = (
    "workflow.run",
    "sessions.make",
    "sessions.directory",
    "sessions.read",
    "sessions.edit",
    "sessions.erase",
    "sessions.erase_of_user",
    "items.items",
    "items.add",
    "items.pop",
    "items.clear",
    "items.remove",
    "moving.reset",
    "moving.fork",
    "moving.rename",
    "turns.turns",
    "turns.turn",
    "turns.cancel_pending_calls",
    "transcript.transcript",
)
_V1 = (
    "v1.responses.create",
    "v1.responses.retrieve",
    "v1.responses.delete",
    "v1.responses.models",
    "v1.conversations.create",
    "v1.conversations.directory",
    "v1.conversations.read",
    "v1.conversations.edit",
    "v1.conversations.erase",
    "v1.items.items",
    "v1.items.add",
    "v1.items.item",
    "v1.items.remove",
)

ROUTES: dict[str, Access] = {
    **dict.fromkeys(_OPEN, Access.OPEN),
    **dict.fromkeys(_PRINCIPAL, Access.PRINCIPAL),
    **dict.fromkeys(_V1, Access.V1),
    **dict.fromkeys(_OPERATOR, Access.OPERATOR),
}
"""Every route by its endpoint. One that is not here cannot be served."""

_OF_USERS = ("sessions.directory", "sessions.erase_of_user")
"""Routes that take a user_id from everybody: the one that sessions were made with."""


def install(app: Flask) -> None:
    @app.before_request
    def _admit() -> None:
        endpoint = request.endpoint
        if endpoint is None:
            return  # there is no such route, and that is said without asking who wants to know
        check_origin()
        access = ROUTES[endpoint]
        if access is Access.OPEN:
            return
        if access is Access.OPERATOR:
            if not is_local() and _authenticated().role is not Role.ADMIN:
                raise ForbiddenError("This is for admins, and for callers on the gateway's own host.")
            return
        g.principal = _authenticated()
        if access is Access.V1:
            _check_v1(g.principal)
        g.namespace = _reached_namespace(g.principal, endpoint)


def check_table(app: Flask) -> None:
    """A route that nobody has thought about stops the start."""
    missing = {rule.endpoint for rule in app.url_map.iter_rules()} - set(ROUTES)
    if missing:
        raise RuntimeError(f"gateway.web.access does not say who may use {', '.join(sorted(missing))}.")


def principal() -> Principal:
    return cast(Principal, g.principal)


def own_namespace() -> str:
    """What the sessions of this request are keyed by."""
    return cast(str, g.namespace)


def is_admin() -> bool:
    """Whether the caller reaches the sessions of its tenant's users."""
    return principal().role is Role.ADMIN


def reached_user() -> str | None:
    """The user whose namespace this request is about; None for one that is about the tenant's own."""
    return cast(str | None, g.get("reached_user")) or principal().user_id


def asked_for() -> list[tuple[str, list[str]]]:
    """The query's parameters, without the one by which an admin has named a user."""
    asked = request.args.lists()
    return [(name, values) for name, values in asked if name != "user_id"] if "reached_user" in g else list(asked)


def owner(user_id: str | None = None) -> str | None:
    """The user of a session that is made now: the one that is named, unless the caller works for one user only."""
    bound = reached_user()
    if bound is not None and user_id not in (None, bound):
        raise UserMismatchError(param="user_id")
    return bound or user_id


def is_operator() -> bool:
    """Whether the caller may see how the gateway fares: an admin, or somebody on this host."""
    try:
        return is_local() or _authenticated().role is Role.ADMIN
    except UnauthorizedError:
        return False


def audited(act: str, session_id: str | None, *, outcome: str = "done", **target: object) -> None:
    """Leaves a line about what the caller did."""
    target |= {"namespace": own_namespace(), "session_id": session_id}
    audit(act, outcome=outcome, principal=principal().name, request_id=g.request_id, **target)


def authenticate(credential: str | None) -> Principal:
    """The principal of a credential. One that is refused leaves a line."""
    try:
        return cast(Authenticate, current_app.authenticate)(credential)  # type: ignore[attr-defined]
    except UnauthorizedError:
        if credential is not None:
            audit(
                "login_refused",
                outcome="refused",
                principal="unknown",
                request_id=g.request_id,
                address=request.remote_addr,
                route=str(request.url_rule),
            )
        raise


def _authenticated() -> Principal:
    found = authenticate(_credential())
    by_cookie = "Authorization" not in request.headers and found is not ANONYMOUS
    if by_cookie and request.method not in ("GET", "HEAD", "OPTIONS"):
        check_own_page()
    return found


def _check_v1(caller: Principal) -> None:
    callers = settings().v1_callers
    if callers == "off":
        raise ForbiddenError("/v1 is switched off here (GATEWAY_V1).")
    if callers == "tenants" and caller.user_id is not None:
        raise ForbiddenError("/v1 is not for the keys and tokens of single users here (GATEWAY_V1).")


def _credential() -> str | None:
    """The bearer token, or what the console's login left in a cookie."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme:
        return token.strip() if scheme.lower() == "bearer" else ""
    return request.cookies.get(COOKIE)


def _reached_namespace(caller: Principal, endpoint: str) -> str:
    """The caller's own, or that of the user whom an admin names in the query."""
    if "user_id" in request.args and endpoint not in _OF_USERS and settings().auth != "none":
        if caller.role is not Role.ADMIN:
            raise ForbiddenError("Only an admin reaches the sessions of a user by user_id.")
        user_ids = request.args.getlist("user_id")
        if len(user_ids) > 1 or not 1 <= len(user_ids[0]) <= 200 or not user_ids[0].isprintable():
            raise InvalidRequestError("user_id must be one text of 1 to 200 printable characters.", param="user_id")
        g.reached_user = user_ids[0]
        return namespace(caller.tenant, g.reached_user)
    return caller.namespace
