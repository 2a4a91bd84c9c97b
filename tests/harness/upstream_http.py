"""A threaded HTTP/1.1 server for WSGI applications that keeps connections alive and can hang up on purpose.

Werkzeug's own closes every connection after one answer, and hides the socket that a fault must cut.
"""

import io
import select
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote


class HangUp(Exception):  # noqa: N818 - an order, not an error
    """Raised by the application: the connection ends here, without another byte."""


def is_gone(connection: socket.socket) -> bool:
    """Whether the client has hung up."""
    readable, _, _ = select.select([connection], [], [], 0)
    if not readable:
        return False
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except OSError:
        return True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle_one_request(self) -> None:
        try:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline:
                self.close_connection = True
            elif self.parse_request():
                self._answer()
        except (HangUp, ConnectionError):
            self.close_connection = True

    def log_message(self, *args: Any) -> None:
        pass

    def _answer(self) -> None:
        head: dict[str, Any] = {}

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
            head.update(status=status, headers=headers)

        body = self.server.app(self._environ(), start_response)
        sized = False
        try:
            for number, data in enumerate(body):
                if is_gone(self.connection):
                    raise HangUp
                if number == 0:
                    sized = self._send_head(**head)
                self._send(data, sized)
            if not sized:
                self.wfile.write(b"0\r\n\r\n")
        finally:
            if hasattr(body, "close"):
                body.close()

    def _send_head(self, status: str, headers: list[tuple[str, str]]) -> bool:
        code, reason = status.split(" ", 1)
        self.send_response(int(code), reason)
        for name, value in headers:
            self.send_header(name, value)
        sized = any(name.lower() == "content-length" for name, _ in headers)
        if not sized:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        return sized

    def _send(self, data: bytes, sized: bool) -> None:
        if data:
            self.wfile.write(data if sized else b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()

    def _environ(self) -> dict[str, Any]:
        path, _, query = self.path.partition("?")
        # Read whole, so that the next request begins where this one ends.
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        environ = {
            "REQUEST_METHOD": self.command,
            "PATH_INFO": unquote(path, "latin-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": str(self.server.server_address[1]),
            "SERVER_PROTOCOL": self.request_version,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "upstream.connection": self.connection,
        }
        return environ | {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in self.headers.items()}


class WSGIServer(ThreadingHTTPServer):
    """Listens as soon as it is made; port 0 is any free one."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, app: Any, port: int = 0) -> None:
        self.app = app
        super().__init__(("127.0.0.1", port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serves the application in threads of this process; gives its address."""
    server = WSGIServer(app)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
