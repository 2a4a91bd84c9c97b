"""gunicorn's gevent worker, which waits for no client for ever."""

from __future__ import annotations

import socket
from typing import Any

from gunicorn.workers.ggevent import GeventWorker  # type: ignore[import-untyped]

from gateway.workers.connection import ClientConnection
from gateway.workers.refusals import Refusals


class GreenletWorker(Refusals, GeventWorker):  # type: ignore[misc]
    """One greenlet a connection: a slow one costs just that."""

    def handle(self, listener: Any, client: socket.socket, addr: Any) -> None:
        super().handle(listener, ClientConnection.of(client), addr)
