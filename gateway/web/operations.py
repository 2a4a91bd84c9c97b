"""What operators ask: does the process live, is it ready."""

from __future__ import annotations

from flask import Blueprint, Response

from gateway.errors import GatewayError
from gateway.web.access import is_operator
from gateway.web.requests import gateway, json_reply, settings

blueprint = Blueprint("operations", __name__)


@blueprint.get("/healthz")
def healthz() -> Response:
    return json_reply({"status": "ok"})


@blueprint.get("/readyz")
def readyz() -> Response:
    """200 when the store answers and the provider can be used as configured; why not is for operators."""
    try:
        gateway().sessions.ping()
        gateway().provider.check()
    except GatewayError as exc:
        if is_operator():
            raise
        raise type(exc)("The gateway is not ready.", retry_after=exc.retry_after) from exc
    if not is_operator():
        return json_reply({"status": "ready"})
    chosen = settings()
    store = chosen.store.partition(":")[0]
    return json_reply({"status": "ready", "store": store, "provider": chosen.provider_name, "auth": chosen.auth})
