"""Whether a kept connection can be used again."""

from __future__ import annotations

import _socket  # the plain socket: under gevent the one in `socket` waits where a look is wanted
import socket


def is_quiet(connection: socket.socket) -> bool:
    """Whether nothing has come since the last answer: no end of the connection, nor anything unasked for. A closed
    one is not quiet."""
    if connection.fileno() < 0:
        return False
    plain = _socket.socket(connection.family, connection.type, connection.proto, fileno=connection.fileno())
    try:
        plain.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        plain.detach()
    return False
