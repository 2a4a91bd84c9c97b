"""The events of a response that is over: what its stream would have been, out of what is stored of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from gateway.events import StreamEvent
from gateway.model import JSON

_LATER = ("usage", "incomplete_details", "error", "completed_at")
"""What a response does not know of itself before it is over."""


def events_of(response: Mapping[str, Any]) -> list[StreamEvent]:
    """The whole sequence, each text and each call in one piece."""
    unknown = {name: None for name in _LATER if name in response}
    begun = {**response, "status": "in_progress", "output": [], **unknown}
    told: list[JSON] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for index, item in enumerate(response.get("output") or ()):
        told += _of_item(item, index)
    events = [_event(each, number) for number, each in enumerate(told)]
    return [*events, ending(response, len(events))]


def ending(response: Mapping[str, Any], number: int) -> StreamEvent:
    """The event that ends the response's stream."""
    status = response.get("status")
    kind = status if status in ("incomplete", "failed") else "completed"
    return _event({"type": f"response.{kind}", "response": response}, number)


def _of_item(item: JSON, index: int) -> Iterator[JSON]:
    place = {"output_index": index, "item_id": item.get("id")}
    match item.get("type"):
        case "message":
            yield _added({**item, "status": "in_progress", "content": []}, index)
            for number, part in enumerate(item.get("content") or ()):
                yield from _of_part(part, {**place, "content_index": number})
        case "function_call":
            words = item.get("arguments", "")
            yield _added({**item, "status": "in_progress", "arguments": ""}, index)
            yield {"type": "response.function_call_arguments.delta", **place, "delta": words}
            yield {"type": "response.function_call_arguments.done", **place, "arguments": words}
        case _:
            yield _added(item, index)
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _added(item: JSON, index: int) -> JSON:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def _of_part(part: JSON, place: JSON) -> Iterator[JSON]:
    kind, word, more = {
        "output_text": ("response.output_text", "text", {"logprobs": part.get("logprobs") or []}),
        "refusal": ("response.refusal", "refusal", {}),
    }.get(str(part.get("type")), ("", "", {}))
    empty = {**part, word: "", **({"annotations": []} if "annotations" in part else {})} if kind else part
    yield {"type": "response.content_part.added", **place, "part": empty}
    if kind:
        yield {"type": f"{kind}.delta", **place, "delta": part.get(word, ""), **more}
        for number, annotation in enumerate(part.get("annotations") or ()):
            added = {"annotation_index": number, "annotation": annotation}
            yield {"type": "response.output_text.annotation.added", **place, **added}
        yield {"type": f"{kind}.done", **place, word: part.get(word, ""), **more}
    yield {"type": "response.content_part.done", **place, "part": part}


def _event(told: JSON, number: int) -> StreamEvent:
    return StreamEvent(told["type"], orjson.dumps({**told, "sequence_number": number}))
