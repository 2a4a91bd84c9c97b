"""The stream of a response that is over: what was told when it was made."""

from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from gateway.events import StreamEvent
from gateway.providers.local import LocalProvider
from gateway.web.v1.replaying import events_of

TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}


def told(events: list[StreamEvent]) -> list[Any]:
    """Each event without what the clock and the size of its pieces made of it; pieces in a row as one."""
    found: list[Any] = []
    for _, same in groupby((event.json() for event in events), key=lambda event: (event["type"], event.get("item_id"))):
        one, *more = same
        if "delta" in one:
            one["delta"] = "".join([one["delta"], *(event["delta"] for event in more)])
        one.pop("sequence_number")
        # What only the finished response knows: how it was served, and by which model.
        for volatile in ("usage", "service_tier", "model"):
            (one.get("response") or {}).pop(volatile, None)
        found.append(one)
    return found


@pytest.mark.parametrize(
    "body",
    [
        {"input": "Hello"},
        {"input": "Hello", "max_output_tokens": 3},
        {"input": 'call weather {"a": 1} and call weather', "tools": [TOOL]},
    ],
)
def test_it_is_the_stream_that_there_was(tmp_path: Path, body: Any) -> None:
    provider = LocalProvider(str(tmp_path / "provider.db"))
    events = list(provider.stream_response({"model": "demo", **body}))
    again = events_of(events[-1].json()["response"])
    assert told(again) == told(events)
    assert [event.json()["sequence_number"] for event in again] == list(range(len(again)))
    provider.close()


def test_what_is_not_known_is_told_whole() -> None:
    refusal = {"type": "refusal", "refusal": "No."}
    cited = {"type": "output_text", "text": "Tea.", "annotations": [{"type": "url_citation", "url": "u"}]}
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [refusal, cited],
    }
    future = {"id": "new_1", "type": "from_the_future", "deep": {"a": 1}}
    response = {"id": "resp_1", "status": "completed", "output": [future, message]}
    events = [event.json() for event in events_of(response)]
    assert [event["type"].removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        *("output_item.added", "output_item.done"),
        "output_item.added",
        *("content_part.added", "refusal.delta", "refusal.done", "content_part.done"),
        *("content_part.added", "output_text.delta", "output_text.annotation.added"),
        *("output_text.done", "content_part.done"),
        "output_item.done",
        "completed",
    ]
    assert [event["item"] for event in events if event["type"] == "response.output_item.done"] == [future, message]
    assert events[2]["item"] == future
    assert events[-1]["response"] == response
    assert [event["part"] for event in events if event["type"] == "response.content_part.done"] == [refusal, cited]
