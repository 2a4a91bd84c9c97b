"""What operators ask: does the process live, is it ready."""

from __future__ import annotations

from flask import Blueprint, Response

from gateway.web.requests import gateway, json_reply

blueprint = Blueprint("operations", __name__)


@blueprint.get("/healthz")
def healthz() -> Response:
    return json_reply({"status": "ok"})


@blueprint.get("/readyz")
def readyz() -> Response:
    """200 when the store answers and the provider can be used as configured."""
    gateway().sessions.ping()
    gateway().provider.check()
    return json_reply({"status": "ready"})
