"""What has come on a connection, seen without taking it or waiting for it."""

from __future__ import annotations

import _socket  # the plain socket: under gevent the one in `socket` waits where a look is wanted
import socket
from typing import Literal


def peek(connection: socket.socket) -> Literal["quiet", "talks", "closed"]:
    """Whether nothing is there to be read, or something, or the connection's end. Another thread may close it at any
    moment."""
    try:
        if (number := connection.fileno()) < 0:
            return "closed"
        plain = _socket.socket(connection.family, connection.type, connection.proto, fileno=number)
        try:
            return "talks" if plain.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) else "closed"
        finally:
            plain.detach()
    except BlockingIOError:
        return "quiet"
    except OSError:
        return "closed"


def is_quiet(connection: socket.socket) -> bool:
    """Whether a kept connection can be used again: it has not ended, and nothing came that nobody asked for."""
    return peek(connection) == "quiet"
