"""Whether the client of a request is still there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.sockets import peek


class Presence:
    """Asked at any time, from any thread; once gone it stays gone. A server that does not show its socket is believed
    that the client is there until `leave` says otherwise."""

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._socket = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
        self._gone = False

    def leave(self) -> None:
        self._gone = True

    def gone(self) -> bool:
        self._gone = self._gone or (self._socket is not None and peek(self._socket) == "closed")
        return self._gone
