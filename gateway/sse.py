from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.model import StreamEvent


class UnreadableStreamError(ValueError):
    pass


def parse_events(chunks: Iterable[bytes]) -> Iterator[StreamEvent]:
    buffer = b""
    for chunk in chunks:
        buffer += chunk
        *blocks, buffer = buffer.replace(b"\r\n", b"\n").split(b"\n\n")
        for block in blocks:
            kind, data = "", []
            for line in block.split(b"\n"):
                name, _, value = line.partition(b":")
                value = value.removeprefix(b" ")
                if name == b"event":
                    try:
                        kind = value.decode()
                    except UnicodeDecodeError as exc:
                        raise UnreadableStreamError() from exc
                elif name == b"data":
                    data.append(value)
            payload = b"\n".join(data)
            if payload and payload != b"[DONE]":
                yield StreamEvent(kind, payload)
