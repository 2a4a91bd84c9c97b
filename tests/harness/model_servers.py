"""A model server that says what it is told to, and what such servers say."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from flask import Flask, Response, request

from tests.harness.upstream_http import HangUp, serving

JSON = dict[str, Any]


class ModelServer:
    """Answers every POST with `answer` (events, these very bytes, or an error for a `status`), and remembers what it
    was asked. Before each event it calls `pause`.
    """

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[JSON] = []
        self.keys: list[str | None] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        self.answer: Any = []
        self.models: Any = [{"id": "tiny", "object": "model"}]
        self.breaks_off = False
        self.pause: Callable[[], object] = lambda: None
        self.app = Flask("model")
        self.app.config["PROPAGATE_EXCEPTIONS"] = True
        self.app.post("/v1/<path:path>")(self._post)
        self.app.get("/v1/models")(lambda: {"object": "list", "data": self.models})

    def _post(self, path: str) -> Response:
        self.asked.append({"path": path, **request.get_json()})
        self.keys.append(request.headers.get("authorization"))
        if self.status != 200:
            return Response(json.dumps(self.answer), self.status, self.headers)
        return Response(self._frames(), mimetype="text/event-stream")

    def _frames(self) -> Iterator[bytes]:
        if isinstance(self.answer, bytes):
            yield self.answer
            return
        for event in self.answer:
            self.pause()
            yield b"data: %s\n\n" % (event if isinstance(event, bytes) else orjson.dumps(event))
        if self.breaks_off:
            raise HangUp


@contextmanager
def model_server() -> Iterator[ModelServer]:
    server = ModelServer()
    with serving(server.app) as url:
        server.url = f"{url}/v1"
        yield server


def chunk(finish_reason: str | None = None, **delta: Any) -> JSON:
    return {"model": "tiny-1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}


CHAT_USAGE = {
    "model": "tiny-1",
    "choices": [],
    "usage": {
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 1},
    },
}
CHAT = [chunk(role="assistant", content=""), chunk(content="Good"), chunk(content=" day"), chunk("stop"), CHAT_USAGE]
RESPONSES: list[JSON] = [
    {"type": "response.created", "response": {}},
    {"type": "response.output_item.added", "item": {"type": "reasoning", "id": "rs_theirs", "summary": []}},
    {
        "type": "response.output_item.done",
        "item": {"type": "reasoning", "id": "rs_theirs", "summary": [], "encrypted_content": "xyz"},
    },
    {"type": "response.output_item.added", "item": {"type": "message", "id": "msg_theirs"}},
    {"type": "response.output_text.delta", "delta": "Good"},
    {"type": "response.output_text.delta", "delta": " day"},
    {"type": "response.output_text.annotation.added", "annotation": {"type": "url_citation", "url": "https://x.test"}},
    {"type": "response.output_item.done", "item": {"type": "message", "id": "msg_theirs"}},
    {
        "type": "response.completed",
        "response": {
            "model": "tiny-1",
            "usage": {
                "input_tokens": 7,
                "output_tokens": 3,
                "input_tokens_details": {"cached_tokens": 2},
                "output_tokens_details": {"reasoning_tokens": 1},
            },
        },
    },
]
ANSWERS = {"chat": [*CHAT, b"[DONE]"], "responses": RESPONSES}
CHAT_CALLS = [
    chunk(tool_calls=[{"index": 0, "id": "call_a", "function": {"name": "look_up", "arguments": ""}}]),
    chunk(tool_calls=[{"index": 0, "function": {"arguments": '{"a"'}}]),
    chunk(tool_calls=[{"index": 0, "function": {"arguments": ":1}"}}]),
    chunk(tool_calls=[{"index": 1, "id": "call_b", "function": {"name": "ring", "arguments": "{}"}}]),
    chunk("tool_calls"),
    b"[DONE]",
]
RESPONSES_CALLS: list[JSON] = [
    {"type": "response.output_item.added", "item": {"type": "function_call", "name": "look_up", "call_id": "call_a"}},
    {"type": "response.function_call_arguments.delta", "delta": '{"a"'},
    {"type": "response.function_call_arguments.delta", "delta": ":1}"},
    {"type": "response.output_item.done", "item": {"type": "function_call"}},
    {"type": "response.output_item.added", "item": {"type": "function_call", "name": "ring", "call_id": "call_b"}},
    {"type": "response.function_call_arguments.delta", "delta": "{}"},
    {"type": "response.output_item.done", "item": {"type": "function_call"}},
    {"type": "response.completed", "response": {}},
]
CALLS = {"chat": CHAT_CALLS, "responses": RESPONSES_CALLS}
