"""Whether the client of a request is still there."""

from __future__ import annotations

import _socket  # the plain socket: under gevent the one in `socket` waits where a look is wanted
import socket
from collections.abc import Mapping
from typing import Any


class Presence:
    """Asked at any time, from any thread; once gone it stays gone. A server that does not show its socket is believed
    that the client is there until `leave` says otherwise."""

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._socket = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
        self._gone = False

    def leave(self) -> None:
        self._gone = True

    def gone(self) -> bool:
        self._gone = self._gone or (self._socket is not None and _is_closed(self._socket))
        return self._gone


def _is_closed(connection: Any) -> bool:
    number = connection.fileno()
    if number < 0:
        return True
    plain = _socket.socket(fileno=number)
    try:
        # Nothing is taken out: it may be the next request.
        return plain.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        plain.detach()
