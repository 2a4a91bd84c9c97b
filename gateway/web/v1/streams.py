"""A response's own events, passed on as they come.

The event that ends a response is given only once its turn is recorded: who has read it can rely on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import orjson
from flask import Response

from gateway.errors import GatewayError, UnreadableAnswerError
from gateway.events import Done, Held, StreamEvent, TurnEvent
from gateway.model import JSON
from gateway.providers.base import ENDS, FAILURES
from gateway.sse import encode_event
from gateway.turn.worker import Reading
from gateway.web import sse
from gateway.web.errors import error_event
from gateway.web.v1.names import Names, named_error
from gateway.web.v1.replaying import ending, events_of


def event_stream(reading: Reading, names: Names, left: Callable[[Held | None], None]) -> Response:
    """The stream, once its first event is there: until then an error is a plain HTTP error. Where that takes long (in
    the queue, or a provider that thinks) a word keeps the connection alive, and an error is an event. `left` is told
    when the client goes before the end."""
    begun: list[TurnEvent] = []
    until = time.monotonic() + sse.KEEP_ALIVE_SECONDS
    while not any(isinstance(event, StreamEvent | Done) for event in begun):
        taken = reading.take(max(0.0, until - time.monotonic()))
        begun += taken or ()
        if taken is None or time.monotonic() >= until:
            break
    return sse.stream_reply(reading, begun, _Writer(names, left))


class _Writer:
    """A response's own events; remembers how far it is."""

    def __init__(self, names: Names, left: Callable[[Held | None], None]) -> None:
        self._names = names
        self._left = left
        self._held: Held | None = None
        self._last: StreamEvent | None = None
        self._end: StreamEvent | None = None

    def frames(self, event: TurnEvent) -> Iterator[bytes]:
        if isinstance(event, Held):
            self._held = event
            self._names.learn(event.conversation_id)
        elif isinstance(event, StreamEvent):
            if event.type in ENDS or event.type in FAILURES:
                self._end = event
            else:
                self._last = event
                yield self._frame(event)
        elif isinstance(event, Done):
            if self._end is None:
                # The turn took place before, or its answer was lost on its way to us.
                made = events_of(event.response) if self._last is None else [ending(event.response, self._next())]
                *before, self._end = made
                for each in before:
                    yield self._frame(each)
            yield from self.rest()

    def rest(self) -> Iterator[bytes]:
        """The event that ends the response, if it is not written yet."""
        if self._end is not None:
            yield self._frame(self._end)
            self._last, self._end = self._end, None

    def failure(self, error: BaseException) -> bytes:
        """How a failure is told in the middle of a stream: as the provider told it, or in the same shape."""
        if self._end is not None and self._end.type in FAILURES:
            return self._frame(self._end)
        if isinstance(error, GatewayError):
            named_error(error)
        told: JSON = error_event(error)["error"]
        flat = {"type": "error", "sequence_number": self._next()}
        flat |= {name: told[name] for name in ("code", "message", "param", "request_id")}
        if isinstance(error, GatewayError) and error.in_doubt:
            # For a gateway whose provider this one is.
            flat["in_doubt"] = True
        return self._frame(StreamEvent("error", orjson.dumps(flat)))

    def left(self) -> None:
        self._left(self._held)

    def _next(self) -> int:
        last = None
        with suppress(UnreadableAnswerError):
            last = self._last.json().get("sequence_number") if self._last else None
        return last + 1 if isinstance(last, int) else 0

    def _frame(self, event: StreamEvent) -> bytes:
        return encode_event(event.type, self._names.event(event))
