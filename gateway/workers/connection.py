"""A client's connection, on which nobody waits for ever."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

RECEIVE_SECONDS = 10.0
"""How long a client may be silent in the middle of its request."""

UNREAD_SECONDS = 60.0
"""How long a client may read nothing of its reply before it is sent away."""

UNREAD_BYTES = 128 * 1024
"""How much of a reply the kernel keeps for a client (twice that, by its own count): left alone it takes megabytes."""

SOON_SECONDS = 0.5
"""How long a reply may take before who writes it counts as standing still."""


class ClientConnection(socket.socket):
    """The socket that a server accepted. A client that is silent or reads nothing for too long is one that has gone."""

    standing_still: Callable[[], AbstractContextManager[None]] = nullcontext
    """Entered while a slow client is waited for."""

    @classmethod
    def of(cls, accepted: socket.socket) -> Self:
        connection = cls(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNREAD_BYTES)
        return connection

    def recv(self, *args: Any) -> bytes:
        self.settimeout(RECEIVE_SECONDS)
        try:
            return super().recv(*args)
        except TimeoutError as exc:
            raise ConnectionResetError(errno.ECONNRESET, "The client fell silent.") from exc

    def recv_now(self, size: int) -> bytes | None:
        """What is there already; None for nothing, empty at the end."""
        self.setblocking(False)
        try:
            return super().recv(size)
        except BlockingIOError:
            return None

    def sendall(self, data: Any, flags: int = 0) -> None:
        left = memoryview(data).cast("B")
        deadline = time.monotonic() + SOON_SECONDS
        while left and (seconds := deadline - time.monotonic()) > 0:
            self.settimeout(seconds)
            try:
                left = left[self.send(left, flags) :]
            except TimeoutError:
                break
        if not left:
            return
        with self.standing_still():
            self.settimeout(UNREAD_SECONDS)
            try:
                while left:
                    left = left[self.send(left, flags) :]
            except TimeoutError as exc:
                raise ConnectionResetError(errno.ECONNRESET, "The client does not read.") from exc
