"""One HTTP/1.1 answer out of its bytes, in whatever pieces they come. The library `httptools` reads them."""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

MOST_BYTES = 65536
"""How much may come without a byte of the body: of a head, of a chunk's size, of what stands behind the last chunk."""


class BrokenAnswerError(Exception):
    """What came is no answer, or not all of one."""


class AnswerParser:
    """Receives nothing itself: it is fed, until the answer is whole. The library calls the `on_` methods."""

    def __init__(self, method: str) -> None:
        self.status = 0
        """Zero until the head is there. What is said before the answer proper (1xx) is passed over."""
        self.headers: list[tuple[bytes, bytes]] = []
        self.heard = False
        """Whether anything came."""
        self.whole = False
        """Whether all of it came."""
        self.reusable = False
        """Whether the server keeps the connection for the next one, and nothing came behind this one."""
        self._has_body = method != "HEAD"
        self._fields: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []
        self._bodiless = 0
        self._missing: int | None = None
        """How much is missing of a body whose end the library does not see."""
        self._until_the_end = False
        self._error: BrokenAnswerError | None = None
        self._parser = HttpResponseParser(self)
        # A folded header, a length beside chunks, line feeds alone, a blank behind a chunk's size: servers say it, and
        # on a connection that carries our answers only none is taken for another by it.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_chunked_length=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )

    def feed(self, data: bytes) -> None:
        """What came next; nothing is the connection's end. An error waits until the body before it is taken."""
        if data:
            self.heard = True
            self._read(data)
        elif self._until_the_end:
            self.whole = True
        else:
            self._break("The connection ended before the answer did.")
        if self.whole:
            del self._parser  # it refers to this one: neither is left to the garbage collector

    def take(self) -> bytes:
        """All of the body that came since."""
        if not self._pieces and self._error is not None:
            raise self._error
        piece = b"".join(self._pieces)
        self._pieces.clear()
        return piece

    def on_message_begin(self) -> None:
        if self.whole:
            raise BrokenAnswerError("More came than the answer.")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name.rstrip(), value.strip()))

    def on_headers_complete(self) -> None:
        status, headers = self._parser.get_status_code(), self._fields
        self._fields = []  # what comes now belongs to the next head, or stands behind the last chunk
        if status < 200:
            return
        self.status, self.headers = status, headers
        # What follows a HEAD's answer would be read as its body: whether it did is not always to be seen.
        self.reusable = self._has_body and self._parser.should_keep_alive()
        named = {name.lower(): value for name, value in self.headers}
        length, encoding = named.get(b"content-length"), named.get(b"transfer-encoding", b"").lower()
        if not self._has_body:
            self._missing = 0
        elif b"chunked" not in encoding:
            self._until_the_end = length is None
            if encoding and length is not None:  # `identity`: the library would read until the end
                self._missing = int(length)
        self.whole = self._missing == 0

    def on_body(self, piece: bytes) -> None:
        if self._missing is not None:
            piece = piece[: self._missing]
            self._missing -= len(piece)
            self.whole = not self._missing
        if piece and self.status:
            self._pieces.append(piece)

    def on_message_complete(self) -> None:
        self.whole = self.status > 0

    def _read(self, data: bytes) -> None:
        self._bodiless += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as exc:
            self.reusable = False
            if not self.whole:
                self._break(f"What came is no HTTP: {exc}")
        if self._pieces:
            self._bodiless = 0
        elif self._bodiless > MOST_BYTES:
            self._break("The answer has a head or a line without an end.")

    def _break(self, reason: str) -> None:
        self._error = BrokenAnswerError(reason)
        if not self._pieces:
            raise self._error
