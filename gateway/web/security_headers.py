"""What a browser is told about the gateway's own pages."""

from __future__ import annotations

from flask import Response

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def guard(reply: Response) -> Response:
    """Nothing from elsewhere is loaded, nothing inline is run, and no other site shows this page in a frame."""
    reply.headers["Content-Security-Policy"] = _POLICY
    reply.headers["X-Content-Type-Options"] = "nosniff"
    reply.headers["Referrer-Policy"] = "same-origin"
    return reply
