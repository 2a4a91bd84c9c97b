"""A hosted provider that is never the bottleneck: it keeps nothing, and writes answers that were made beforehand.

    python -m benchmarks.provider PORT

Answers have the provider's own shapes and sizes. `POST /_pace` with `{"first_ms", "gap_ms", "deltas"}` says when the
words of a stream come (0: at once); `GET /_counts` tells the calls of each kind since the last `POST /_pace`, and the
most turns under way at once.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

import orjson
import uvloop

JSON = dict[str, Any]

_RESPONSE_ID, _CONVERSATION_ID = "resp_" + "0" * 50, "conv_" + "0" * 48
_TEXT = "the quick brown fox jumps over the lazy dog while rain falls on plains and rivers run to sea again"
_WORDS = _TEXT.split(" ")

pace: JSON = {"first_ms": 0, "gap_ms": 0, "deltas": 20}
counts: Counter[str] = Counter()
under_way = 0


def _response(status: str, text: str | None) -> JSON:
    content = [{"type": "output_text", "annotations": [], "logprobs": [], "text": text}]
    message = {"id": "msg_" + "0" * 48, "type": "message", "status": status, "content": content, "role": "assistant"}
    usage = {
        "input_tokens": 36,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 56,
    }
    return {
        "id": _RESPONSE_ID,
        "object": "response",
        "created_at": 1_760_000_000,
        "status": status,
        "background": False,
        "conversation": {"id": _CONVERSATION_ID},
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "model": "gpt-5.4-mini",
        "output": [] if text is None else [message],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "auto",
        "usage": None if text is None else usage,
        "user": None,
        "metadata": {},
    }


def _chunk(number: int, kind: str, **members: Any) -> bytes:
    event = orjson.dumps({"type": kind, **members, "sequence_number": number})
    frame = b"event: %b\ndata: %b\n\n" % (kind.encode(), event)
    return b"%x\r\n%b\r\n" % (len(frame), frame)


def _stream(deltas: int) -> tuple[bytes, list[bytes], bytes]:
    """What comes before the words, each word, and what comes after them."""
    place = {"item_id": "msg_" + "0" * 48, "output_index": 0, "content_index": 0}
    words = [f"{_WORDS[number % len(_WORDS)]} " for number in range(deltas)]
    text = "".join(words)
    before = [
        ("response.created", {"response": _response("in_progress", None)}),
        ("response.in_progress", {"response": _response("in_progress", None)}),
        ("response.output_item.added", {"output_index": 0, "item": {"type": "message", "content": []}}),
        ("response.content_part.added", {**place, "part": {"type": "output_text", "annotations": [], "text": ""}}),
    ]
    after = [
        ("response.output_text.done", {**place, "text": text}),
        ("response.content_part.done", {**place, "part": {"type": "output_text", "annotations": [], "text": text}}),
        ("response.output_item.done", {"output_index": 0, "item": _response("completed", text)["output"][0]}),
        ("response.completed", {"response": _response("completed", text)}),
    ]
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n" + _TRACES
    first = b"".join(_chunk(number, kind, **members) for number, (kind, members) in enumerate(before))
    middle = [
        _chunk(4 + number, "response.output_text.delta", **place, delta=word, logprobs=[], obfuscation="7Fv0qLx2")
        for number, word in enumerate(words)
    ]
    last = b"".join(_chunk(4 + deltas + number, kind, **members) for number, (kind, members) in enumerate(after))
    return head + first, middle, last + b"0\r\n\r\n"


def _answer(body: JSON) -> bytes:
    content = orjson.dumps(body)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + _TRACES.rstrip(b"\r\n")
    return head + b"\r\ncontent-length: %d\r\n\r\n%b" % (len(content), content)


_TRACES = (
    b"openai-version: 2020-10-01\r\nopenai-organization: org-bench\r\nopenai-processing-ms: 1\r\n"
    b"x-request-id: req_0123456789abcdef0123456789abcdef\r\nserver: bench\r\n\r\n"
)
_JSON_ANSWER = _answer(_response("completed", " ".join(_WORDS)))
_STREAMS = {pace["deltas"]: _stream(pace["deltas"])}


class Connection(asyncio.Protocol):
    """One connection; requests come one after the other."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._read = b""

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            head = self._read[:end].lower()
            at = head.find(b"content-length:")
            size = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._read) < end + 4 + size:
                return
            method, path, _ = self._read[:end].split(b" ", 2)
            body, self._read = self._read[end + 4 : end + 4 + size], self._read[end + 4 + size :]
            self._serve(method, path, body)

    def _serve(self, method: bytes, path: bytes, body: bytes) -> None:
        if method == b"POST" and path == b"/v1/responses":
            self._respond(body)
        elif method == b"POST" and path == b"/v1/conversations":
            counts["conversations"] += 1
            made = {"id": f"conv_{secrets.token_hex(24)}", "object": "conversation", "created_at": 0, "metadata": {}}
            self._transport.write(_answer(made))
        elif path == b"/_pace":
            pace.update(orjson.loads(body))
            _STREAMS.setdefault(pace["deltas"], _stream(pace["deltas"]))
            counts.clear()
            self._transport.write(_answer(pace))
        else:
            self._transport.write(_answer(dict(counts)))

    def _respond(self, body: bytes) -> None:
        global under_way
        under_way += 1
        counts["responses"] += 1
        counts["most_at_once"] = max(counts["most_at_once"], under_way)
        at = body.find(b'"conv_')
        conversation = body[at + 1 : at + 54] if at >= 0 else _CONVERSATION_ID.encode()
        ids = (
            (_RESPONSE_ID.encode(), f"resp_{secrets.token_hex(25)}".encode()),
            (_CONVERSATION_ID.encode(), conversation),
        )

        def fill(template: bytes) -> bytes:
            for old, new in ids:
                template = template.replace(old, new)
            return template

        if b'"stream":true' not in body and b'"stream": true' not in body:
            self._transport.write(fill(_JSON_ANSWER))
            under_way -= 1
            return
        first, words, last = _STREAMS[pace["deltas"]]
        if not pace["first_ms"] and not pace["gap_ms"]:
            self._transport.write(b"".join([fill(first), *words, fill(last)]))
            under_way -= 1
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + pace["first_ms"] / 1000
        loop.call_at(due, self._speak, iter([fill(first) + words[0], *words[1:]]), fill(last), due)

    def _speak(self, pieces: Iterator[bytes], last: bytes, due: float) -> None:
        global under_way
        piece = next(pieces, None)
        self._transport.write(last if piece is None else piece)
        if piece is None:
            under_way -= 1
            return
        due += pace["gap_ms"] / 1000
        asyncio.get_running_loop().call_at(due, self._speak, pieces, last, due)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", port, backlog=4096)
    parent = os.getppid()
    while os.getppid() == parent:
        await asyncio.sleep(1)
    server.close()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
