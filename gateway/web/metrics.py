"""GET /metrics: what Prometheus reads."""

from __future__ import annotations

from flask import Blueprint, Response

from gateway.metrics import series

blueprint = Blueprint("metrics", __name__)


@blueprint.get("/metrics")
def metrics() -> Response:
    return Response(series.exposition(), content_type=series.CONTENT_TYPE)
