"""A turn as server-sent events, at the client's pace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import orjson
from flask import Response, stream_with_context

from gateway.model import JSON, Delta, Done, Held, TurnEvent
from gateway.reader import Reading
from gateway.web.errors import error_event

KEEP_ALIVE_SECONDS = 15.0
KEEP_ALIVE = b": still here\n\n"


def event_stream(reading: Reading) -> Response:
    """The reply, once the first event is there: until then an error is a plain HTTP error."""
    first = reading.take()
    reply = Response(stream_with_context(_encode(reading, first or [])), mimetype="text/event-stream")
    # Proxies are asked not to collect the words.
    reply.headers["X-Accel-Buffering"] = "no"
    return reply


def _encode(reading: Reading, first: Sequence[TurnEvent]) -> Iterator[bytes]:
    number = 0
    events: Sequence[TurnEvent] | None = first
    try:
        while events is not None:
            frames = []
            for event in events:
                number += 1
                frames.append(_frame(number, *_named(event)))
            yield b"".join(frames) or KEEP_ALIVE
            events = reading.take(KEEP_ALIVE_SECONDS)
    except GeneratorExit:
        raise
    except BaseException as exc:
        yield _frame(number + 1, "error", error_event(exc))
    finally:
        reading.desert()


def _named(event: TurnEvent) -> tuple[str, JSON]:
    if isinstance(event, Delta):
        return "delta", {"text": event.text}
    if isinstance(event, Held):
        return "session", {
            "session_id": event.session_id,
            "conversation_id": event.conversation_id,
            "turn_id": event.turn_id,
            "created": event.created,
        }
    assert isinstance(event, Done)
    return "done", event.reply.as_dict()


def _frame(number: int, name: str, data: JSON) -> bytes:
    return b"event: %b\nid: %d\ndata: %b\n\n" % (name.encode(), number, orjson.dumps(data))
