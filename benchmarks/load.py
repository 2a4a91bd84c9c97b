"""A closed loop of clients, each with a connection and a session of its own: the next turn begins when one has ended.

    python -m benchmarks.load '{"url": …, "clients": 50, "seconds": 2, "stream": false, "body": …, "word": …}'

prints what they saw as JSON. `body` is the request as text with `{session}` in it; `word` is what a stream's words are
told by.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from typing import Any, cast
from urllib.parse import urlsplit

import orjson
import uvloop


class Seen:
    """What all clients together saw."""

    def __init__(self) -> None:
        self.turns = 0
        self.errors: list[str] = []
        self.whole: list[float] = []
        self.first: list[float] = []
        self.last_end = 0.0


class Client(asyncio.Protocol):
    """One client on its connection."""

    def __init__(self, request: bytes, word: bytes | None, until: float, seen: Seen) -> None:
        self._request, self._word, self._until, self._seen = request, word, until, seen
        self.over: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def _ask(self) -> None:
        self._read = b""
        self._spoke = self._word is None
        self._began = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._read += data
        if not self._spoke and self._word is not None and self._word in self._read:
            self._spoke = True
            self._seen.first.append(time.perf_counter() - self._began)
        head_end = self._read.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = self._read[:head_end].lower()
        at = head.find(b"content-length:")
        if at < 0:
            if self._read.endswith(b"0\r\n\r\n"):
                self._ended(head)
        elif len(self._read) - head_end - 4 >= int(head[at + 15 :].split(b"\r\n", 1)[0]):
            self._ended(head)

    def _ended(self, head: bytes) -> None:
        now = time.perf_counter()
        good = head[9:12] == b"200" and self._spoke and b"event: error" not in self._read
        if good:
            self._seen.turns += 1
            self._seen.whole.append(now - self._began)
        else:
            self._seen.errors.append(self._read[-200:].decode(errors="replace"))
        self._seen.last_end = now
        again = now < self._until and len(self._seen.errors) < 100
        if b"connection: close" in head or not again:
            self._finish(again)
            self._transport.close()
        else:
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self._seen.errors.append(f"the connection was lost: {exc}")
            self._finish(time.perf_counter() < self._until and len(self._seen.errors) < 100)

    def _finish(self, again: bool) -> None:
        """`again`: on another connection."""
        if not self.over.done():
            self.over.set_result(again)


async def _client(number: int, order: dict[str, Any], until: float, seen: Seen) -> None:
    url = urlsplit(order["url"])
    body = order["body"].replace("{session}", f"bench_{number}").encode()
    accept = "text/event-stream" if order["stream"] else "application/json"
    path = url.path + (f"?{url.query}" if url.query else "")
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Type: application/json\r\nAccept: {accept}\r\n"
        f"Authorization: Bearer sk-bench\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    word = order["word"].encode() if order["stream"] else None
    again = True
    while again:
        _, client = await asyncio.get_running_loop().create_connection(
            lambda: Client(head.encode() + body, word, until, seen), url.hostname, url.port
        )
        again = await client.over


async def load(order: dict[str, Any]) -> dict[str, Any]:
    seen = Seen()
    began = time.perf_counter()
    until = began + order["seconds"]
    await asyncio.gather(*(_client(number, order, until, seen) for number in range(order["clients"])))

    def middle(values: list[float]) -> float:
        return statistics.median(values) * 1000 if values else 0.0

    return {
        "turns": seen.turns,
        "errors": len(seen.errors),
        "first_error": seen.errors[0] if seen.errors else None,
        "seconds": seen.last_end - began,
        "rate": seen.turns / max(seen.last_end - began, 1e-9),
        "whole_ms": middle(seen.whole),
        "first_ms": middle(seen.first),
        "cpu_seconds": time.process_time(),
    }


if __name__ == "__main__":
    print(orjson.dumps(uvloop.run(load(orjson.loads(sys.argv[1])))).decode())
