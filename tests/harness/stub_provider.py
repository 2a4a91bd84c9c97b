"""A hosted provider whose answers to POST /responses are the test's own bytes; it counts how often it was asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from tests.harness.upstream_http import serving

JSON = dict[str, Any]
RESPONSE_ID = f"resp_{'0' * 50}"
CONVERSATION_ID = f"conv_{'0' * 48}"


def response(text: str = "", *, status: str = "completed") -> JSON:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": content}
    output = [message] if status != "in_progress" else []
    return {"id": RESPONSE_ID, "object": "response", "status": status, "model": "m", "output": output}


def frame(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind, **fields}))


CREATED = frame("response.created", response=response(status="in_progress"))


def words(*some: str) -> list[bytes]:
    """The frames of a stream that says these."""
    deltas = [frame("response.output_text.delta", delta=each) for each in some]
    return [CREATED, *deltas, frame("response.completed", response=response("".join(some)))]


class StubProvider:
    """`answer` is status, headers and body of the next answers; a body that is a stream may be a function."""

    def __init__(self, url: str = "") -> None:
        self.url = url
        self.asked: list[JSON] = []
        self._lock = threading.Lock()
        self.says(*words("Hello"))

    def says(self, *chunks: bytes) -> None:
        """A stream of these chunks, which then ends."""
        self.answers("200 OK", lambda: iter(chunks), content_type="text/event-stream")

    def answers(
        self,
        status: str,
        body: bytes | Callable[[], Iterable[bytes]],
        *,
        content_type: str = "application/json",
        **headers: str,
    ) -> None:
        named = [(name.replace("_", "-"), value) for name, value in headers.items()]
        self._answer = status, [("Content-Type", content_type), *named], body

    def __call__(self, environ: JSON, start_response: Any) -> Iterable[bytes]:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        found: tuple[str, Any] = ("200 OK", {"id": CONVERSATION_ID, "object": "conversation", "metadata": {}})
        if (method, path) == ("POST", "/v1/responses"):
            with self._lock:
                self.asked.append(orjson.loads(environ["wsgi.input"].read()))
            status, headers, body = self._answer
            sized = [("Content-Length", str(len(body)))] if isinstance(body, bytes) else []
            start_response(status, [*headers, *sized])
            return [body] if isinstance(body, bytes) else body()
        if path.endswith("/items"):
            found = ("200 OK", {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False})
        elif path.startswith("/v1/responses/"):
            error = {"message": f"Response with id '{RESPONSE_ID}' not found.", "type": "invalid_request_error"}
            found = ("404 Not Found", {"error": {**error, "param": None, "code": None}})
        content = orjson.dumps(found[1])
        start_response(found[0], [("Content-Type", "application/json"), ("Content-Length", str(len(content)))])
        return [content]


@contextmanager
def stub_provider() -> Iterator[StubProvider]:
    stub = StubProvider()
    with serving(stub) as address:
        stub.url = f"{address}/v1"
        yield stub
