"""GET /metrics: what Prometheus reads."""

from __future__ import annotations

from flask import Blueprint, Response

from gateway.metrics import series
from gateway.web.handlers import serve
from gateway.web.reference import operations as routes

blueprint = Blueprint("metrics", __name__)


@serve(blueprint, routes.METRICS)
def metrics() -> Response:
    return Response(series.exposition(), content_type=series.CONTENT_TYPE)
