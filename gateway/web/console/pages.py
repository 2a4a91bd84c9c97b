"""GET / and the files that the page is made of. Both are open to everybody: there is nothing of anybody in them."""

from __future__ import annotations

from flask import Blueprint, Response, render_template, request

from gateway.errors import NotFoundError
from gateway.web.console.files import static_files
from gateway.web.requests import asked_each_time, settings, unless_kept
from gateway.web.routes import page as page_at
from gateway.web.routes import serve
from gateway.web.security_headers import guard

blueprint = Blueprint("console", __name__, template_folder="templates")

blueprint.after_request(guard)

_STYLES = ("base.css", "sessions.css", "session.css", "panels.css", "media.css")
"""In the order in which the later ones change what the earlier ones say."""


@serve(blueprint, page_at("/"))
def page() -> Response:
    files = static_files()
    modules = [name for name in files.files if name.endswith(".js") and name != "theme.js"]
    text = render_template(
        "console.html", assets=f"console/{files.version}", styles=_STYLES, modules=modules, auth=settings().auth
    )
    return asked_each_time(Response(text, content_type="text/html; charset=utf-8"))


@serve(blueprint, page_at("/console/<version>/<name>"))
def asset(version: str, name: str) -> Response:
    """One of the page's files. Under another version's address it is given too, for this time only: a page that came
    from a gateway of that version is not left half loaded."""
    files = static_files()
    found = files.files.get(name)
    if found is None:
        raise NotFoundError()
    packed = request.accept_encodings.quality("gzip") > 0
    reply = Response(found.packed if packed else found.plain, content_type=found.media_type)
    if packed:
        reply.headers["Content-Encoding"] = "gzip"
    reply.headers["Vary"] = "Accept-Encoding"
    if version == files.version:
        reply.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        reply.set_etag(f"{version}-{'gzip' if packed else 'plain'}")
        return unless_kept(reply)
    return reply
