"""HTTP/1.1 under the openai SDK, at a cost that does not grow with the number of calls under way.

The SDK's own transport looks at every connection at every request: with a thousand turns under way that costs more than
the call. Here the connection that came back last is taken, or a new one is made: nobody waits for another's, and a
burst keeps what it opened for as long as it is of use.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property

import httpx2

from gateway.providers.answer import MOST_BYTES, AnswerParser, BrokenAnswerError
from gateway.sockets import is_quiet

IDLE_SECONDS = 4.0
"""How long an unused connection is kept whose server does not say for how long it keeps it (`Keep-Alive: timeout=`).

uvicorn, node and gevent close theirs after five seconds, and a POST that is sent into that moment is a turn in doubt.
OpenAI keeps them for minutes without saying so. There four seconds cost a new connection, a millisecond of CPU and two
round trips in a turn of seconds, and only a gateway pays for it that asks less than once in four seconds."""

MOST_IDLE_SECONDS = 60.0
"""How long one is kept at most, whatever its server says."""

LINGER_SECONDS = 0.02
"""How long the end of a body is waited for that is closed unread: a stream's last event comes just before its end."""

_REPEATABLE = frozenset({"GET", "HEAD", "DELETE"})
_KEEP_ALIVE = re.compile(rb"timeout\s*=\s*\"?(\d{1,9})", re.IGNORECASE)


class PooledTransport(httpx2.BaseTransport):
    """Safe for threads, for gevent and across forks. Sends bodies of a known length, and no POST ever twice."""

    def __init__(self) -> None:
        # A child of this process makes its own: the process is a part of the key.
        self._origins: defaultdict[tuple[int, str, str, int], _Origin] = defaultdict(_Origin)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        url, seconds = request.url, request.extensions.get("timeout", {})
        message = _encode(request)
        port = url.port or (443 if url.scheme == "https" else 80)
        origin = self._origins[os.getpid(), url.scheme, url.host, port]
        if (kept := origin.take()) is not None:
            answer = AnswerParser(request.method)
            try:
                return _exchange(kept, message, answer, seconds, origin)
            except (httpx2.NetworkError, httpx2.RemoteProtocolError):
                # The server may have closed it while the request was under way.
                if answer.heard or request.method not in _REPEATABLE:
                    raise
        connection = self._connect(url, port, seconds.get("connect"))
        return _exchange(connection, message, AnswerParser(request.method), seconds, origin)

    def close(self) -> None:
        for origin in list(self._origins.values()):
            origin.close_idle()

    def _connect(self, url: httpx2.URL, port: int, seconds: float | None) -> socket.socket:
        """A new connection. What fails here fails before anything of the request was sent."""
        host = url.raw_host.decode("ascii")
        with _CONNECTING:
            connection = socket.create_connection((host, port), seconds)
            try:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return self._tls.wrap_socket(connection, server_hostname=host) if url.scheme == "https" else connection
            except BaseException:
                connection.close()
                raise

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Trusts whom the SDK's own transport would trust, SSL_CERT_FILE and SSL_CERT_DIR included."""
        context = httpx2.create_ssl_context()
        context.set_alpn_protocols(["http/1.1"])
        return context


class _Origin:
    """The connections to one server."""

    def __init__(self) -> None:
        self._idle: deque[tuple[float, socket.socket]] = deque()
        """The unused ones and until when each is kept, the one that came back first at the left."""
        self._used: set[socket.socket] = set()
        """Held here besides: with an answer that nobody closed the garbage collector would close its connection too,
        even one that the answer has given back a moment before, and that is another call's by now."""

    def take(self) -> socket.socket | None:
        """The connection that was used last, if it can be used again."""
        while self._idle:
            try:
                until, connection = self._idle.pop()
            except IndexError:  # another thread was faster
                return None
            if time.monotonic() < until and is_quiet(connection):
                return connection
            connection.close()
        return None

    def hold(self, connection: socket.socket) -> None:
        """From now on it is used, until it is given back or dropped."""
        self._used.add(connection)

    def give_back(self, connection: socket.socket, seconds: float) -> None:
        now = time.monotonic()
        self._used.discard(connection)
        self._idle.append((now + seconds, connection))
        # The newest are taken first, so that what a burst has left grows old at the other end.
        with suppress(IndexError):
            while self._idle[0][0] <= now:
                self._idle.popleft()[1].close()

    def drop(self, connection: socket.socket) -> None:
        self._used.discard(connection)
        connection.close()

    def close_idle(self) -> None:
        with suppress(IndexError):
            while True:
                self._idle.pop()[1].close()


class _Body(httpx2.SyncByteStream, Iterator[bytes]):
    """An answer's body as it arrives. Read to its end it leaves a connection for the next request; closed before, what
    is left of it must not be taken for the next one's answer."""

    def __init__(self, answer: AnswerParser, connection: socket.socket, origin: _Origin) -> None:
        self._answer = answer
        self._connection = connection
        self._origin = origin
        self._is_closed = False

    def __del__(self) -> None:
        # Without a wait: this may be anybody's thread.
        self._let_go()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with _READING:
            piece = self._receive()
        if not piece:
            raise StopIteration
        return piece

    def close(self) -> None:
        try:
            if self._answer.reusable and not self._answer.whole and not self._is_closed:
                with suppress(OSError, BrokenAnswerError):
                    self._connection.settimeout(LINGER_SECONDS)
                    self._receive()
        finally:
            self._let_go()

    def _let_go(self) -> None:
        """Once: afterwards the connection may be another call's, and the garbage collector closes in any order."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._answer.reusable and self._answer.whole:
            self._origin.give_back(self._connection, _idle_seconds(self._answer))
        else:
            self._origin.drop(self._connection)

    def _receive(self) -> bytes:
        """All that has come of the body; nothing at its end."""
        while not (piece := self._answer.take()) and not self._answer.whole:
            self._answer.feed(self._connection.recv(MOST_BYTES))
        return piece


def _encode(request: httpx2.Request) -> bytes:
    """The request in one piece: one send, and mostly one packet."""
    start = b"%b %b HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)
    lines = [start, *(b"%b: %b" % header for header in request.headers.raw)]
    if any(b"\n" in line or b"\r" in line for line in lines):
        raise httpx2.LocalProtocolError("A header must not contain a line break.")
    return b"\r\n".join([*lines, b"", request.read()])


def _exchange(
    connection: socket.socket, message: bytes, answer: AnswerParser, seconds: dict[str, float | None], origin: _Origin
) -> httpx2.Response:
    """What is answered to the message. Its body is read when it is asked for."""
    origin.hold(connection)
    try:
        with _SENDING:
            connection.settimeout(seconds.get("write"))
            # A server that does not take the whole request may have said why.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(message)
        with _READING:
            connection.settimeout(seconds.get("read"))
            while not answer.status:
                answer.feed(connection.recv(MOST_BYTES))
    except BaseException:
        origin.drop(connection)
        raise
    return httpx2.Response(answer.status, headers=answer.headers, stream=_Body(answer, connection, origin))


def _idle_seconds(answer: AnswerParser) -> float:
    """How long the connection is kept after the answer: a second less than its server keeps it."""
    for name, value in answer.headers:
        if name.lower() == b"keep-alive" and (said := _KEEP_ALIVE.search(value)):
            return min(max(int(said[1]) - 1.0, 0.0), MOST_IDLE_SECONDS)
    return IDLE_SECONDS


class _Phase:
    """What goes wrong in one phase of a call, in httpx2's words: they tell whether anything was sent."""

    def __init__(self, timeout: type[httpx2.TimeoutException], failure: type[httpx2.NetworkError]) -> None:
        self._timeout = timeout
        self._failure = failure

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, exc: BaseException | None, traceback: object) -> None:
        if isinstance(exc, BrokenAnswerError):
            raise httpx2.RemoteProtocolError(str(exc)) from exc
        if isinstance(exc, OSError):
            raise (self._timeout if isinstance(exc, TimeoutError) else self._failure)(str(exc)) from exc


_CONNECTING = _Phase(httpx2.ConnectTimeout, httpx2.ConnectError)
_SENDING = _Phase(httpx2.WriteTimeout, httpx2.WriteError)
_READING = _Phase(httpx2.ReadTimeout, httpx2.ReadError)
