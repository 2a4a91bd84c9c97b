"""A provider that answers at once and keeps nothing, so that what grows is the gateway.

python -m tests.soak.fast_provider --port PORT
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import requests

from tests.harness.server import Server
from tests.harness.upstream_http import WSGIServer

JSON = dict[str, Any]
WORDS = ["You", " said", " something", "."]


def answer(environ: JSON, start_response: Any) -> Iterable[bytes]:
    """POST /v1/conversations and POST /v1/responses, plain and streamed; nothing else is asked for."""
    if environ["PATH_INFO"] != "/v1/responses":
        return _plain(start_response, {"id": f"conv_{secrets.token_hex(24)}", "object": "conversation", "metadata": {}})
    body = orjson.loads(environ["wsgi.input"].getbuffer())
    response = {
        "id": f"resp_{secrets.token_hex(25)}",
        "object": "response",
        "status": "completed",
        "model": body["model"],
        "output": [
            {
                "id": f"msg_{secrets.token_hex(25)}",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "".join(WORDS), "annotations": []}],
            }
        ],
        "usage": {"input_tokens": 4, "output_tokens": 4, "total_tokens": 8},
    }
    if not body.get("stream"):
        return _plain(start_response, response)
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    return _frames(response)


def _plain(start_response: Any, body: JSON) -> Iterable[bytes]:
    data = orjson.dumps(body)
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(data)))])
    return [data]


def _frames(response: JSON) -> Iterable[bytes]:
    begun = {**response, "status": "in_progress", "output": [], "usage": None}
    yield _frame("response.created", response=begun)
    for word in WORDS:
        yield _frame("response.output_text.delta", delta=word)
    yield _frame("response.completed", response=response)


def _frame(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind, **fields}))


class FastProvider(Server):
    """It in a process of its own."""

    name = "fast provider"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def command(self) -> list[str | Path]:
        return [sys.executable, "-m", "tests.soak.fast_provider", "--port", str(self.port)]

    def environ(self) -> dict[str, str]:
        root = str(Path(__file__).parents[2])
        return {**super().environ(), "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}

    def ping(self) -> None:
        requests.post(f"{self.url}/conversations", json={}, timeout=5).raise_for_status()


def main() -> None:
    options = argparse.ArgumentParser(prog="tests.soak.fast_provider")
    options.add_argument("--port", type=int, required=True)
    given = options.parse_args()
    WSGIServer(answer, given.port).serve_forever()


if __name__ == "__main__":
    main()
