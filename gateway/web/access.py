"""The one door: who may use the route that is asked for, and who a request comes from."""

from __future__ import annotations

from typing import cast

from flask import Flask, g, request

from gateway.audit import audit
from gateway.auth import ANONYMOUS, Principal, namespace
from gateway.errors import ForbiddenError, InvalidRequestError, UnauthorizedError, UserMismatchError
from gateway.model import Role
from gateway.web.fields import checked
from gateway.web.origin import check_origin, check_own_page, is_local
from gateway.web.queries import UserQuery
from gateway.web.requests import application, settings
from gateway.web.routes import Access, Route, route_of

COOKIE = "gateway_key"
"""Where a browser that has logged in at the console keeps its credential."""


def install(app: Flask) -> None:
    @app.before_request
    def _admit() -> None:
        endpoint = request.endpoint
        if endpoint is None:
            return  # there is no such route, and that is said without asking who wants to know
        check_origin()
        route = route_of(app, endpoint)
        if route.access is Access.OPEN:
            return
        if route.access is Access.OPERATOR:
            if not is_local() and _authenticated().role is not Role.ADMIN:
                raise ForbiddenError("This is for admins, and for callers on the gateway's own host.")
            return
        g.principal = _authenticated()
        if route.access is Access.V1:
            _check_v1(g.principal)
        g.namespace = _reached_namespace(g.principal, route)


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
        return application().authenticate(credential)
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


def _reached_namespace(caller: Principal, route: Route) -> str:
    """The caller's own, or that of the user whom an admin names in the query."""
    if "user_id" in request.args and not route.has_user_id and settings().auth != "none":
        if caller.role is not Role.ADMIN:
            raise ForbiddenError("Only an admin reaches the sessions of a user by user_id.")
        user_ids = request.args.getlist("user_id")
        if len(user_ids) > 1:
            raise InvalidRequestError("user_id is given more than once.", param="user_id")
        g.reached_user = checked(UserQuery, {"user_id": user_ids[0]}).user_id
        return namespace(caller.tenant, g.reached_user)
    return caller.namespace
