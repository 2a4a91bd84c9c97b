"""A TCP proxy to put between a client and a server: the network's failures, on command."""

import contextlib
import socket
import threading
import time
from typing import Self

from tests.harness.ports import ClaimedPort


class TcpProxy:
    """Listens on `port` of 127.0.0.1 and passes every connection on to `target_port`, until told otherwise."""

    def __init__(self, target_port: int, target_host: str = "127.0.0.1") -> None:
        self.target = (target_host, target_port)
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._flowing = threading.Event()
        self._flowing.set()
        self._delay_seconds = 0.0
        self._claim = ClaimedPort()  # nobody else is to have it between `cut` and `heal`
        self.port = self._claim.number
        self._listen()

    def through(self, url: str) -> str:
        """The URL of the target, changed so that it leads through this proxy."""
        before, colon, after = url.partition(f":{self.target[1]}")
        assert colon, f"{url} does not lead to port {self.target[1]}"
        return f"{before}:{self.port}{after}"

    def cut(self) -> None:
        """Close every connection and refuse new ones."""
        with self._lock:
            listener, self._listener = self._listener, None
            connections, self._connections = self._connections, set()
        for end in [listener, *connections]:
            if end is not None:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits on it, which close() does not
                end.close()
        self._flowing.set()

    def hang(self) -> None:
        """Keep every connection open and accept new ones, but pass nothing on."""
        self._flowing.clear()

    def delay(self, seconds: float) -> None:
        """Pass every piece of data on this much later."""
        self._delay_seconds = seconds

    def heal(self) -> None:
        """Pass everything on again: what `hang` held back, and new connections after `cut`."""
        self._delay_seconds = 0.0
        self._flowing.set()
        if self._listener is None:
            self._listen()

    def close(self) -> None:
        """Cut it for good."""
        self.cut()
        self._claim.close()

    def _listen(self) -> None:
        listener = socket.create_server(("127.0.0.1", self.port), backlog=512)  # sets SO_REUSEADDR
        with self._lock:
            self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the listener was cut
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._join, args=(listener, client), daemon=True).start()

    def _join(self, listener: socket.socket, client: socket.socket) -> None:
        self._flowing.wait()
        try:
            server = socket.create_connection(self.target, timeout=5)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        with self._lock:
            if cut_meanwhile := self._listener is not listener:
                client.close()
                server.close()
            else:
                self._connections |= {client, server}
        if cut_meanwhile:
            return
        back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
        back.start()
        self._pump(client, server)
        back.join()
        with self._lock:
            self._connections -= {client, server}
        client.close()
        server.close()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                time.sleep(self._delay_seconds)
                self._flowing.wait()
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
