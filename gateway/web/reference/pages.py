"""GET /openapi.json and GET /docs. Both are made when first asked for: what they need to be made is nothing that
serving a turn needs, and takes its time to load."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import orjson
from flask import Blueprint, Response, current_app, render_template

from gateway.model import JSON
from gateway.web.console.files import static_files
from gateway.web.reference import operations as routes
from gateway.web.requests import asked_each_time, settings
from gateway.web.routes import page, serve
from gateway.web.security_headers import guard

blueprint = Blueprint("api", __name__, template_folder="templates")

blueprint.after_request(guard)


@serve(blueprint, routes.OPENAPI)
def openapi() -> Response:
    return asked_each_time(Response(_document(settings().auth), mimetype="application/json"))


@serve(blueprint, page("/docs"))
def docs() -> Response:
    return asked_each_time(Response(_page(settings().auth), content_type="text/html; charset=utf-8"))


@serve(blueprint, page("/docs/docs.css"))
def style() -> Response:
    return asked_each_time(Response(_style(), content_type="text/css; charset=utf-8"))


def document(auth: str) -> JSON:
    """The OpenAPI document of this application, with this kind of auth."""
    from gateway.web.reference.document import make_document

    return make_document(current_app, auth=auth)


@cache
def _document(auth: str) -> bytes:
    return orjson.dumps(document(auth))


@cache
def _page(auth: str) -> str:
    from gateway.web.reference.page import groups_of

    made = orjson.loads(_document(auth))
    return render_template("docs.html", info=made["info"], groups=groups_of(made), version=static_files().version)


@cache
def _style() -> bytes:
    return (Path(__file__).parent / "static" / "docs.css").read_bytes()
