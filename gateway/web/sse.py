"""A turn as server-sent events, at the client's pace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import orjson
from flask import Response, stream_with_context

from gateway.events import Delta, Done, Held, TurnEvent
from gateway.sse import encode_event
from gateway.turn.worker import Reading
from gateway.web.errors import error_event
from gateway.web.replies import DeltaEvent, SessionEvent

KEEP_ALIVE_SECONDS = 15.0
KEEP_ALIVE = b": still here\n\n"


class Writer(Protocol):
    """Writes one stream, in the words of one API."""

    def frames(self, event: TurnEvent) -> Iterator[bytes]:
        """What is to be said of this event."""

    def rest(self) -> Iterator[bytes]:
        """What is to be said when there are no more."""

    def failure(self, error: BaseException) -> bytes:
        """How it is told that the turn failed, in the middle of the stream."""

    def left(self) -> None:
        """The client went before the end."""


def stream_reply(reading: Reading, begun: Sequence[TurnEvent], writer: Writer) -> Response:
    """The reply that begins with these events, and goes on with what is read."""
    frames = encode_stream(reading, begun, writer)
    reply = Response(stream_with_context(frames), mimetype="text/event-stream")
    # Proxies are asked not to collect the words.
    reply.headers["X-Accel-Buffering"] = "no"
    return reply


def encode_stream(reading: Reading, begun: Sequence[TurnEvent], writer: Writer) -> Iterator[bytes]:
    """The bytes of the stream. While nothing happens a comment keeps the connection awake."""
    events: Sequence[TurnEvent] | None = begun
    try:
        while events is not None:
            frames = b"".join(frame for event in events for frame in writer.frames(event))
            if frames or not events or events is begun:
                yield frames or KEEP_ALIVE
            events = reading.take(KEEP_ALIVE_SECONDS)
        if frames := b"".join(writer.rest()):
            yield frames
    except GeneratorExit:
        writer.left()
        raise
    except BaseException as exc:
        yield writer.failure(exc)
    finally:
        reading.desert()


def event_stream(reading: Reading) -> Response:
    """The stream of POST /workflow, once its first event is there: until then an error is a plain HTTP error."""
    return stream_reply(reading, reading.take() or [], TurnWriter())


class TurnWriter:
    """The gateway's own events, numbered: session, delta, and done or error."""

    def __init__(self) -> None:
        self._number = 0

    def frames(self, event: TurnEvent) -> Iterator[bytes]:
        if isinstance(event, Delta):
            yield self._frame("delta", DeltaEvent(text=event.text))
        elif isinstance(event, Held):
            told = SessionEvent(
                session_id=event.session_id,
                conversation_id=event.conversation_id,
                turn_id=event.turn_id,
                created=event.created,
            )
            yield self._frame("session", told)
        elif isinstance(event, Done):
            yield self._frame("done", event.reply.as_dict())

    def rest(self) -> Iterator[bytes]:
        return iter(())

    def failure(self, error: BaseException) -> bytes:
        return self._frame("error", error_event(error))

    def left(self) -> None:
        """The turn goes on, and whoever asks for it later finds it."""

    def _frame(self, name: str, data: Mapping[str, object]) -> bytes:
        self._number += 1
        return encode_event(name, orjson.dumps(data), self._number)
