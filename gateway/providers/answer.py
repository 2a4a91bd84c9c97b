"""One HTTP/1.1 answer as its bytes come: its head, then its body in pieces as they arrive.

What the standard library's HTTPResponse does, without its mail parser and its layers of files: these are a third of
what a whole call costs.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

_MOST_BYTES = 65536
"""How long a head or a line may be, and how much is received at a time."""

_LINE = re.compile(rb"\r?\n")
_HEAD = re.compile(rb"(.*?)\r?\n\r?\n", re.DOTALL)
_STATUS = re.compile(rb"HTTP/(1\.\d) ([1-9]\d\d)\b")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?")


class BrokenAnswerError(Exception):
    """What came is no answer, or not all of one."""


class Answer:
    """Read from a connection on which a request was just sent; `read_head` comes first, then `pieces`, once."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = bytearray()
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.whole = False
        """Whether all of it was read, and nothing more."""
        self.last = True
        """Whether the server closes the connection after it."""

    def read_head(self, method: str) -> None:
        """Returns when status and headers are there. What is said before the answer proper (1xx) is passed over."""
        version = b""
        while self.status < 200:
            version = self._read_status_and_headers()
        named: dict[bytes, list[bytes]] = {}
        for name, value in self.headers:
            named.setdefault(name.lower(), []).append(value.lower())
        tokens = b",".join(named.get(b"connection", [])).split(b",")
        self.last = b"close" in map(bytes.strip, tokens) or version == b"1.0"
        self._chunked = named.get(b"transfer-encoding", [b""])[-1].rpartition(b",")[2].strip() == b"chunked"
        self._length: int | None = None
        if method == "HEAD" or self.status in (204, 304):
            self._chunked, self._length = False, 0
        elif not self._chunked and b"transfer-encoding" not in named and b"content-length" in named:
            lengths = set(named[b"content-length"])
            if len(lengths) > 1 or not (length := lengths.pop()).isdigit():
                raise BrokenAnswerError("The answer's length cannot be read.")
            self._length = int(length)

    def pieces(self) -> Iterator[bytes]:
        """The body: all at once if its length is known, otherwise as it arrives."""
        if self._chunked:
            yield from self._chunks()
        elif self._length is None:
            self.last = True
            yield from self._until_the_end()
        else:
            while len(self._buffer) < self._length:
                self._receive()
            yield self._take(self._length)
        self.whole = not self._buffer

    def _read_status_and_headers(self) -> bytes:
        first, *lines = _LINE.split(self._match(_HEAD)[1])
        status = _STATUS.match(first)
        if status is None:
            raise BrokenAnswerError("What came is no HTTP.")
        self.status = int(status[2])
        self.headers = []
        for line in lines:
            header = _HEADER.fullmatch(line)
            if header is None:
                raise BrokenAnswerError("A header of the answer cannot be read.")
            self.headers.append((header[1], header[2]))
        return status[1]

    def _chunks(self) -> Iterator[bytes]:
        while size := self._chunk_size():
            while size:
                if not self._buffer:
                    self._receive()
                piece = self._take(min(size, len(self._buffer)))
                size -= len(piece)
                yield piece
            if self._line():
                raise BrokenAnswerError("A chunk of the answer is longer than it says.")
        while self._line():
            pass  # a header at its end

    def _chunk_size(self) -> int:
        size = _CHUNK.fullmatch(self._line())
        if size is None:
            raise BrokenAnswerError("A chunk of the answer does not say how long it is.")
        return int(size[1], 16)

    def _until_the_end(self) -> Iterator[bytes]:
        while True:
            if self._buffer:
                yield self._take(len(self._buffer))
            piece = self._connection.recv(_MOST_BYTES)
            if not piece:
                return
            self._buffer += piece

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\n")) < 0:
            self._receive(most=_MOST_BYTES)
        return self._take(end + 1).rstrip(b"\r\n")

    def _match(self, wanted: re.Pattern[bytes]) -> re.Match[bytes]:
        while (found := wanted.match(bytes(self._buffer))) is None:
            self._receive(most=_MOST_BYTES)
        del self._buffer[: found.end()]
        return found

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _receive(self, *, most: int | None = None) -> None:
        if most is not None and len(self._buffer) > most:
            raise BrokenAnswerError("The answer has a head or a line without an end.")
        piece = self._connection.recv(_MOST_BYTES)
        if not piece:
            raise BrokenAnswerError("The connection ended before the answer did.")
        self._buffer += piece
