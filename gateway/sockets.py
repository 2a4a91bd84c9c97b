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


class Presence:
    """Whether the other side of a connection is there: asked at any time, from any thread; once gone it stays gone.
    Without a connection to look at it is believed to be there until `leave` says otherwise."""

    def __init__(self, connection: socket.socket | None) -> None:
        self._connection = connection
        self._closed = False

    def leave(self) -> None:
        self._closed = True

    def has_closed(self) -> bool:
        self._closed = self._closed or (self._connection is not None and peek(self._connection) == "closed")
        return self._closed
