"""HTTP/1.1 under the openai SDK, at a cost that does not grow with the number of calls under way.

The SDK's own transport looks at every connection at every request: with a thousand turns under way that costs more than
the call. Here the connection that came back last is taken, or a new one is made: nobody waits for another's, and a
burst keeps what it opened for as long as it is of use.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property

import httpx2

from gateway.providers.answer import Answer, BrokenAnswerError
from gateway.sockets import is_quiet

IDLE_SECONDS = 30.0
"""How long an unused connection is kept. Providers and their proxies keep theirs for longer, mostly."""

LINGER_SECONDS = 0.02
"""How long the end of a body is waited for that is closed unread: a stream's last event comes just before its end."""

_Idle = deque[tuple[float, socket.socket]]
"""The unused connections of one origin and when each came back, the oldest first."""


class PooledTransport(httpx2.BaseTransport):
    """Safe for threads, for gevent and across forks. Sends bodies of a known length, never anything twice."""

    def __init__(self) -> None:
        # A child of this process makes its own: the process is a part of the key.
        self._idle: defaultdict[tuple[int, str, str, int], _Idle] = defaultdict(deque)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        url, seconds = request.url, request.extensions.get("timeout", {})
        message = _encode(request)
        port = url.port or (443 if url.scheme == "https" else 80)
        idle = self._idle[os.getpid(), url.scheme, url.host, port]
        connection = _take(idle) or self._connect(url, port, seconds.get("connect"))
        answer = Answer(connection)
        try:
            with _errors(httpx2.WriteTimeout, httpx2.WriteError):
                connection.settimeout(seconds.get("write"))
                # A server that does not take the whole request may have said why.
                with suppress(BrokenPipeError, ConnectionResetError):
                    connection.sendall(message)
            with _errors(httpx2.ReadTimeout, httpx2.ReadError):
                connection.settimeout(seconds.get("read"))
                answer.read_head(request.method)
        except BaseException:
            connection.close()
            raise
        return httpx2.Response(answer.status, headers=answer.headers, stream=_Body(answer, connection, idle))

    def close(self) -> None:
        for idle in list(self._idle.values()):
            with suppress(IndexError):
                while True:
                    idle.pop()[1].close()

    def _connect(self, url: httpx2.URL, port: int, seconds: float | None) -> socket.socket:
        """A new connection. What fails here fails before anything of the request was sent."""
        host = url.raw_host.decode("ascii")
        with _errors(httpx2.ConnectTimeout, httpx2.ConnectError):
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


class _Body(httpx2.SyncByteStream, Iterator[bytes]):
    """An answer's body as it arrives. Read to its end it leaves a connection for the next request; closed before, what
    is left of it must not be taken for the next one's answer."""

    def __init__(self, answer: Answer, connection: socket.socket, idle: _Idle) -> None:
        self._answer = answer
        self._pieces = answer.pieces()
        self._connection: socket.socket | None = connection
        self._idle = idle

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with _errors(httpx2.ReadTimeout, httpx2.ReadError):
            return next(self._pieces)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if not self._answer.last and self._is_read(connection):
            _give_back(self._idle, connection)
        else:
            connection.close()

    def _is_read(self, connection: socket.socket) -> bool:
        """Whether nothing of the body is left. The garbage collector may have closed the connection already."""
        with suppress(OSError, BrokenAnswerError):
            connection.settimeout(LINGER_SECONDS)
            next(self._pieces, None)
        return self._answer.whole and connection.fileno() >= 0


def _encode(request: httpx2.Request) -> bytes:
    """The request in one piece: one send, and mostly one packet."""
    start = b"%b %b HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)
    lines = [start, *(b"%b: %b" % header for header in request.headers.raw)]
    if any(b"\n" in line or b"\r" in line for line in lines):
        raise httpx2.LocalProtocolError("A header must not contain a line break.")
    return b"\r\n".join([*lines, b"", request.read()])


def _take(idle: _Idle) -> socket.socket | None:
    """The connection that was used last, if it can be used again."""
    while idle:
        try:
            since, connection = idle.pop()
        except IndexError:  # another thread was faster
            return None
        if time.monotonic() - since < IDLE_SECONDS and is_quiet(connection):
            return connection
        connection.close()
    return None


def _give_back(idle: _Idle, connection: socket.socket) -> None:
    now = time.monotonic()
    idle.append((now, connection))
    # The newest are taken first, so that what a burst has left grows old at the other end.
    with suppress(IndexError):
        while now - idle[0][0] >= IDLE_SECONDS:
            idle.popleft()[1].close()


@contextmanager
def _errors(timeout: type[httpx2.TimeoutException], failure: type[httpx2.NetworkError]) -> Iterator[None]:
    """What goes wrong in one phase of a call, in httpx2's words: they tell whether anything was sent."""
    try:
        yield
    except BrokenAnswerError as exc:
        raise httpx2.RemoteProtocolError(str(exc)) from exc
    except OSError as exc:
        raise (timeout if isinstance(exc, TimeoutError) else failure)(str(exc)) from exc
