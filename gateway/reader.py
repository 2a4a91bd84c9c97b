"""Reads a turn to its end whether or not anybody listens.

A provider loses the turn of a caller that hangs up. So the turn runs in a worker of its own that never hangs up, and
the client's connection reads what the worker has put down for it, at its own pace.
"""

from __future__ import annotations

import _thread
import logging
import threading
from collections import deque
from collections.abc import Iterator

from gateway import logs
from gateway.errors import GatewayError
from gateway.model import Delta, TurnEvent

log = logging.getLogger("gateway.turn")

_QUEUED_EVENTS = 64
"""From this many on the words for a slow client are joined instead of queued: memory holds the text once, at most.
The provider's own events are not joined: of these it holds what one response's stream has."""


class Reading:
    """One turn on its way to one client."""

    def __init__(self, events: Iterator[TurnEvent]) -> None:
        self._events = events
        self._lock = threading.Lock()
        self._bell: threading.Lock | None = None
        """What the client's side waits at, while it does: a Condition costs as much as all the rest here."""
        self._queue: deque[TurnEvent] = deque()
        self._error: BaseException | None = None
        self._over = False
        self._deserted = False

    def run(self) -> None:
        """Reads the turn to its end."""
        try:
            for event in self._events:
                self._put(event)
        except GatewayError as exc:
            self._error = exc
        except BaseException as exc:
            log.exception("a turn failed in a way that it should not")
            self._error = exc
        with self._lock:
            self._over = True
            self._ring()

    def take(self, seconds: float | None = None) -> list[TurnEvent] | None:
        """What has come since the last call, waited for at most `seconds`: empty when nothing came, None after the
        end. The turn's error is raised in its place."""
        with self._lock:
            bell = None
            if not self._queue and not self._over:
                bell = self._bell = threading.Lock()
                bell.acquire()
        if bell is not None:
            bell.acquire(timeout=-1 if seconds is None else seconds)
        with self._lock:
            self._bell = None
            taken = list(self._queue)
            self._queue.clear()
            if taken or not self._over:
                return taken
        if self._error is not None:
            raise self._error
        return None

    def desert(self) -> None:
        """Nobody listens any more: the turn goes on, its words are dropped."""
        with self._lock:
            self._deserted = True
            self._queue.clear()

    def _put(self, event: TurnEvent) -> None:
        with self._lock:
            if self._deserted:
                return
            last = self._queue[-1] if self._queue else None
            if len(self._queue) >= _QUEUED_EVENTS and isinstance(event, Delta) and isinstance(last, Delta):
                self._queue[-1] = Delta(last.text + event.text)
            else:
                self._queue.append(event)
            self._ring()

    def _ring(self) -> None:
        if self._bell is not None:
            self._bell.release()
            self._bell = None


class Readers:
    """The turns that this process reads, so that a stop can wait for them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = 0

    def start(self, events: Iterator[TurnEvent]) -> Reading:
        reading = Reading(events)
        with self._changed:
            self._running += 1
        # A Thread's start would wait until it runs.
        _thread.start_new_thread(self._read, (reading, logs.request_id.get()))
        return reading

    def drain(self, seconds: float) -> bool:
        """Waits until every turn has come to its end; False when `seconds` were not enough."""
        with self._changed:
            return self._changed.wait_for(lambda: self._running == 0, seconds)

    def _read(self, reading: Reading, request_id: str | None) -> None:
        # What is logged here belongs to the request that began the turn.
        logs.request_id.set(request_id)
        try:
            reading.run()
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()
