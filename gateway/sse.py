"""Server-sent events, into the bytes that carry them and out of them, as https://html.spec.whatwg.org/#event-stream-interpretation
has them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_USUAL = re.compile(rb"event: (.*)\ndata: (.*)")
"""What nearly every event looks like: it is read in half the time."""


class ServerEvent(NamedTuple):
    """One event. Nobody here looks into its data."""

    type: str
    """Empty where no `event:` names it."""
    data: bytes
    """Its `data:` lines, joined by line feeds."""
    id: str
    """The last that was said, with it or before it."""


class UnreadableStreamError(ValueError):
    """What came is no stream of events."""


def encode_event(kind: str, data: bytes, number: int | None = None) -> bytes:
    """An event with its name, and its number where it has one."""
    lines = data.replace(b"\n", b"\ndata: ")
    if number is None:
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), lines)
    return b"event: %b\nid: %d\ndata: %b\n\n" % (kind.encode(), number, lines)


def parse_events(chunks: Iterable[bytes]) -> Iterator[ServerEvent]:
    """Each event with the chunk that ends it; what the stream's end cuts off is none. However large an event and small
    the chunks, it takes as long as there are bytes."""
    last_id = ""
    for text in _whole_blocks(chunks):
        for block in text.split(b"\n\n"):
            if usual := _USUAL.fullmatch(block):
                yield ServerEvent(_decode(usual[1]), usual[2], last_id)
                continue
            kind, data = b"", []
            for line in block.split(b"\n"):
                name, _, value = line.partition(b":")
                value = value.removeprefix(b" ")
                if name == b"data":
                    data.append(value)
                elif name == b"event":
                    kind = value
                elif name == b"id" and b"\0" not in value:
                    last_id = _decode(value)
            if data:
                yield ServerEvent(_decode(kind), b"\n".join(data), last_id)


def _whole_blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """What has come up to the last empty line, as often as there is one: with a line feed for every end of a line, and
    without that empty line."""
    rest, after_return, is_first = bytearray(), False, True
    for chunk in chunks:
        if after_return and chunk:
            chunk = chunk.removeprefix(b"\n")
            after_return = False
        if b"\r" in chunk:
            after_return = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if rest:
            searched = len(rest) - 1
            rest += chunk
            end = rest.rfind(b"\n\n", searched)
            if end < 0:
                continue
            text = bytes(rest[:end])
            del rest[: end + 2]
        else:
            text, empty_line, more = chunk.rpartition(b"\n\n")
            rest += more
            if not empty_line:
                continue
        if is_first:
            text, is_first = text.removeprefix(_BYTE_ORDER_MARK), False
        yield text


def _decode(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as exc:
        raise UnreadableStreamError("The name or id of an event is no UTF-8.") from exc
