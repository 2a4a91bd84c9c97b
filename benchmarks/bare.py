"""What one would write without the gateway: Flask and the SDK, no sessions kept, nothing promised.

`BENCH_WAY=documented` is what the SDK's documentation shows; `own` parses the answers itself, the least that can be
done with the SDK. The conversation's id is made up from the session's.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import orjson
from flask import Flask, Response, request

app = Flask("bare")
client = openai.OpenAI()
documented = os.environ["BENCH_WAY"] == "documented"


@app.post("/workflow")
def workflow() -> Response:
    asked = request.get_json()
    body = {
        "model": "gpt-5.4-mini",
        "input": asked["input_as_text"],
        "conversation": f"conv_{hashlib.sha384(asked['session_id'].encode()).hexdigest()[:48]}",
    }
    if asked.get("stream"):
        return Response(speak(body), mimetype="text/event-stream")
    if documented:
        text = client.responses.create(**body).output_text
    else:
        answer = orjson.loads(client.post("/responses", body=body, cast_to=httpx2.Response).content)
        text = "".join(part["text"] for item in answer["output"] for part in item["content"])
    return Response(orjson.dumps({"session_id": asked["session_id"], "output_text": text}), mimetype="application/json")


def speak(body: dict[str, Any]) -> Iterator[bytes]:
    if documented:
        with client.responses.create(**body, stream=True) as events:
            for event in events:
                if event.type == "response.output_text.delta":
                    yield frame("delta", {"text": event.delta})
        yield frame("done", {})
        return
    with client.responses.with_streaming_response.create(**body, stream=True) as answer:
        read = b""
        for piece in answer.iter_bytes():
            *blocks, read = (read + piece).split(b"\n\n")
            for block in blocks:
                if block.startswith(b"event: response.output_text.delta\n"):
                    yield frame("delta", {"text": orjson.loads(block[block.index(b"data: ") + 6 :])["delta"]})
    yield frame("done", {})


def frame(name: str, data: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(data))


@app.get("/readyz")
def ready() -> str:
    return "ready"
