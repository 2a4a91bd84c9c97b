"""gunicorn's threaded worker, whose threads are for requests that are there, not for clients that are slow.

A connection is given a thread when its whole request has come: until then the worker's own loop holds it, as it holds
those that are kept alive. Nor does the loop itself wait for anybody: whom it closes it reads out on the side.
"""

from __future__ import annotations

import contextlib
import errno
import re
import selectors
import socket
import time
from concurrent.futures import Future
from functools import partial
from typing import Any

import httptools
from gunicorn.http.errors import InvalidRequestLine  # type: ignore[import-untyped]
from gunicorn.workers import gthread  # type: ignore[import-untyped]

from gateway.workers.connection import ClientConnection
from gateway.workers.pool import ThreadPool
from gateway.workers.refusals import Refusals

_PIECE = 65536
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_EXPECT = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*(?=\r\n)", re.IGNORECASE)

LINGER_SECONDS = 2.0
"""How long a client may take to read its last answer before its connection is closed on it."""

MOST_RECEIVED = 128 * 1024**2
"""So many bytes of requests that are not whole are held at most: beyond it the oldest is given up."""


class Incoming:
    """A request on its way: its bytes, and whether that is all of them."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.whole = False
        self.broken = False
        """Whether it is none, and never will be."""
        self.expects = False
        """Whether the client waits for a word before it sends the rest."""
        self._parser = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> None:
        self.received += data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            # To what has a head gunicorn has an answer, and perhaps it knows better.
            self.whole = b"\r\n\r\n" in self.received
            self.broken = not self.whole

    def go_on(self) -> None:
        """The client was told to; gunicorn need not tell it again."""
        self.expects = False
        if found := _EXPECT.search(self.received):
            self.received[found.start() : found.end()] = b"\r\nX-Expected:" + b" " * (len(found[0]) - 13)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.expects = self.expects or (name.lower() == b"expect" and value.lower() == b"100-continue")

    def on_message_complete(self) -> None:
        self.whole = True


class Connection(gthread.TConn):  # type: ignore[misc]
    """A client's connection and what came over it since its last request."""

    sock: ClientConnection

    def __init__(self, cfg: Any, sock: ClientConnection, client: Any, server: Any) -> None:
        super().__init__(cfg, sock, client, server)
        self.incoming = Incoming()


class ThreadWorker(Refusals, gthread.ThreadWorker):  # type: ignore[misc]
    """One thread a request, from its last byte on."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._waiting: dict[Connection, None] = {}
        """Whose request is not whole, and who is kept alive; the one that has waited longest comes first."""
        self._closing: dict[Connection, None] = {}
        self._received = 0

    def get_thread_pool(self) -> ThreadPool:
        return ThreadPool(self.cfg.threads)

    def accept(self, listener: socket.socket) -> None:
        try:
            accepted, address = listener.accept()
        except OSError as exc:
            if exc.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                raise
            return
        client = ClientConnection.of(accepted)
        client.standing_still = self.tpool.standing_still
        self.nr_conns += 1
        connection = Connection(self.cfg, client, address, listener.getsockname())
        if self.cfg.is_ssl:
            # What comes cannot be read before a thread has shaken hands.
            self.enqueue_req(connection)
        else:
            self._await(connection)

    # --- Requests on their way -------------------------------------------------------------------------------

    def _await(self, connection: Connection) -> None:
        """The loop calls when something comes."""
        connection.incoming = Incoming()
        connection.sock.setblocking(False)
        patience = self.cfg.keepalive if self.alive else min(self.cfg.keepalive, gthread.STOP_KEEPALIVE_LINGER)
        connection.timeout = time.monotonic() + patience
        self._waiting[connection] = None
        self.poller.register(connection.sock, selectors.EVENT_READ, partial(self._hear, connection))

    def _hear(self, connection: Connection, client: Any) -> None:
        try:
            data = connection.sock.recv_now(_PIECE)
        except OSError:
            data = b""
        if data:
            self._take(connection, data)
        elif data is not None:
            self._forget(connection)

    def _take(self, connection: Connection, data: bytes) -> None:
        incoming = connection.incoming
        incoming.feed(data)
        self._received += len(data)
        # One that is longer than it may be is refused, however long it is.
        if incoming.broken:
            self._leave(connection)
            self.handle_error(None, connection.sock, connection.client, InvalidRequestLine(""))
            self._linger(connection)
        elif incoming.whole or len(incoming.received) > self.wsgi.settings.max_body_bytes + _PIECE:
            self._leave(connection)
            self.enqueue_req(connection)
        elif incoming.expects:
            with contextlib.suppress(OSError):
                connection.sock.send(_CONTINUE)
            incoming.go_on()
        while self._received > MOST_RECEIVED:
            self._forget(next(each for each in self._waiting if each.incoming.received))

    def _leave(self, connection: Connection) -> None:
        """The loop does not look after it any more."""
        del self._waiting[connection]
        self.poller.unregister(connection.sock)
        self._received -= len(connection.incoming.received)

    def _forget(self, connection: Connection) -> None:
        self._leave(connection)
        self.nr_conns -= 1
        connection.close()

    def murder_pending(self) -> None:
        super().murder_pending()
        now = time.monotonic()
        while (oldest := next(iter(self._waiting), None)) and oldest.timeout <= now:
            self._forget(oldest)
        while (oldest := next(iter(self._closing), None)) and oldest.timeout <= now:
            self._close(oldest)

    def _cap_keepalive(self, deadline: float) -> None:
        # Called when the worker is to stop: nobody has to wait for what is not there.
        super()._cap_keepalive(deadline)
        for connection in self._waiting:
            connection.timeout = min(connection.timeout, deadline)

    # --- Requests that are there -----------------------------------------------------------------------------

    def handle(self, conn: Connection) -> Any:
        if conn.incoming.received:
            conn.init()
            conn.parser.unreader.unread(bytes(conn.incoming.received))
            conn.incoming = Incoming()
        return super().handle(conn)

    def finish_request(self, conn: Connection, fs: Future[Any]) -> None:
        if fs.cancelled() or fs.exception() is not None or not fs.result():
            self._linger(conn)
        elif self.cfg.is_ssl or fs.result() is gthread._DEFER:
            super().finish_request(conn, fs)
        else:
            ahead = conn.parser.unreader.take_buffered()
            self._await(conn)
            if ahead:
                self._take(conn, ahead)

    # --- The end of a connection -----------------------------------------------------------------------------

    def _linger(self, connection: Connection) -> None:
        """Closes it once its client has read what was said: who closes on unread bytes takes the answer back."""
        try:
            connection.sock.shutdown(socket.SHUT_WR)
            connection.sock.setblocking(False)
        except OSError:
            self.nr_conns -= 1
            connection.close()
            return
        connection.timeout = time.monotonic() + LINGER_SECONDS
        self._closing[connection] = None
        self.poller.register(connection.sock, selectors.EVENT_READ, partial(self._drain, connection))

    def _drain(self, connection: Connection, client: Any) -> None:
        try:
            if connection.sock.recv_now(_PIECE) != b"":
                return
        except OSError:
            pass
        self._close(connection)

    def _close(self, connection: Connection) -> None:
        del self._closing[connection]
        self.poller.unregister(connection.sock)
        self.nr_conns -= 1
        connection.close()
