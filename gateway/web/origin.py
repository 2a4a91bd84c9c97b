"""Where a request comes from: this host or elsewhere, a page of ours or of another site."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from urllib.parse import urlsplit

from flask import request

from gateway.errors import ForbiddenError
from gateway.web.requests import settings

_FORWARDING = (
    *("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto"),
    *("X-Forwarded-Server", "X-Original-Forwarded-For", "X-Original-Host", "X-Real-IP", "X-Client-IP"),
    *("X-Cluster-Client-IP", "True-Client-IP", "CF-Connecting-IP", "Fastly-Client-IP", "Fly-Client-IP"),
)
"""By these proxies and tunnels say whom they speak for."""

_FORWARDING_KEYS = tuple(f"HTTP_{name.upper().replace('-', '_')}" for name in _FORWARDING)


def check_origin() -> None:
    """`ForbiddenError` for what a page of another site has a browser send, and without auth for what is not this
    host's own."""
    if request.method not in ("GET", "HEAD", "OPTIONS") and _is_of_another_site():
        # Some writes need no body, and any page could have a browser send those.
        raise ForbiddenError("A page of another site may not do that.")
    chosen = settings()
    if chosen.auth != "none" or chosen.allow_anonymous:
        return
    # A page whose name was made to lead here looks like one of ours to the browser, except for that name. And a tunnel
    # that ends on this host speaks by its names.
    if not _is_loopback_host(request.host) or _is_forwarded():
        raise ForbiddenError(
            "Without auth the gateway answers to this host's own names (127.0.0.1, localhost) only, and to no proxy; "
            "GATEWAY_ALLOW_ANONYMOUS=true lets everybody in."
        )


def check_own_page() -> None:
    """A cookie goes along with whatever a browser sends: what changes something must surely be from a page of ours."""
    if request.headers.get("Sec-Fetch-Site") != "same-origin" and "Origin" not in request.headers:
        raise ForbiddenError("A login by cookie is for the gateway's own pages.")


def is_local() -> bool:
    """Whether the caller is on this host, names it as this host, and speaks for itself."""
    return _is_loopback_name(request.remote_addr or "") and _is_loopback_host(request.host) and not _is_forwarded()


def _is_of_another_site() -> bool:
    if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        return True
    origin = request.headers.get("Origin")
    try:
        return origin is not None and urlsplit(origin).netloc != request.host
    except ValueError:
        return True


def _is_forwarded() -> bool:
    return any(key in request.environ for key in _FORWARDING_KEYS)


@lru_cache
def _is_loopback_host(host: str) -> bool:
    """`host` is a name and perhaps a port."""
    try:
        return _is_loopback_name(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False


def _is_loopback_name(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
