"""The routes that operators and browsers ask."""

from __future__ import annotations

from gateway import errors
from gateway.web import bodies, replies
from gateway.web.routes import Access, Answer, Route

HEALTHZ = Route(
    name="operations_healthz",
    method="GET",
    address="/healthz",
    access=Access.OPEN,
    group="Operations",
    summary="Does the process live?",
    query=None,
    answers=[Answer(200, replies.Health, "It does.", {"status": "ok"})],
)

READYZ = Route(
    name="operations_readyz",
    method="GET",
    address="/readyz",
    access=Access.OPEN,
    group="Operations",
    summary="Can it serve?",
    query=None,
    answers=[
        Answer(
            200,
            replies.Ready,
            "The store answers, and the provider can be used as configured.",
            {"status": "ready", "store": "postgresql", "provider": "openai", "auth": "keys"},
        )
    ],
    more="The reason of a 503, and what it runs on, are for admins and for callers on the gateway's own host.",
    fails=[errors.StoreUnavailableError, errors.ProviderUnavailableError, errors.ProviderError],
)

METRICS = Route(
    name="metrics_metrics",
    method="GET",
    address="/metrics",
    access=Access.OPERATOR,
    group="Operations",
    summary="What Prometheus reads",
    query=None,
    answers=[
        Answer(
            200,
            None,
            "In Prometheus's text format; every name begins with `gateway_`.",
            media={"text/plain": "# TYPE gateway_turns_total counter\n"},
        )
    ],
    more="For admins, and for callers on the gateway's own host.",
)

LOGIN = Route(
    name="login_login",
    method="POST",
    address="/login",
    access=Access.OPEN,
    group="Operations",
    summary="A browser logs in",
    query=None,
    answers=[Answer(204, None, "The key is right, and is in a cookie that no script can read.")],
    more="404 where there is no auth.",
    body=bodies.Login,
    example={"key": "gw_web_…"},
    fails=[
        errors.UnauthorizedError,
        errors.NotFoundError,
        errors.StoreUnavailableError,
    ],
)

LOGOUT = Route(
    name="login_logout",
    method="POST",
    address="/logout",
    access=Access.OPEN,
    group="Operations",
    summary="A browser logs out",
    query=None,
    answers=[Answer(204, None, "The cookie is gone.")],
)

OPENAPI = Route(
    name="api_openapi",
    method="GET",
    address="/openapi.json",
    access=Access.OPEN,
    group="Operations",
    summary="This document",
    query=None,
    answers=[Answer(200, dict, "OpenAPI 3.1.")],
)
