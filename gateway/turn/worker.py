"""Reads a turn to its end whether or not anybody listens.

A provider loses the turn of a caller that hangs up. So the turn runs in a worker of its own that never hangs up, and
the client's connection reads what the worker has put down for it, at its own pace.
"""

from __future__ import annotations

import _thread
import logging
import threading
import time
from collections import deque
from collections.abc import Iterator

from gateway import logs
from gateway.errors import GatewayError, QueueFullError, StreamGoneError
from gateway.events import Delta, StreamEvent, TurnEvent

log = logging.getLogger("gateway.turn")

MOST_BEHIND = 1024**2
"""So many bytes a client may be behind its turn. It costs no more memory than that, however long the turn speaks."""

PATIENCE_SECONDS = 2.0
"""How long a turn waits, in all, for a client that is too far behind."""

FAST_ENOUGH = 1024**2
"""So many bytes a second have a client waited for however long it takes: reading them wins back a second."""

_AN_EVENT = 200
"""What an event costs beside its words."""

_PIECE = 65536
"""So many bytes are given at a time: while they are written more may come."""


class _Bell:
    """What one thread waits at and another one rings: a Condition costs as much as all the rest here."""

    def __init__(self) -> None:
        self._rope: threading.Lock | None = None

    def hang(self) -> threading.Lock:
        """To be acquired, which takes until it is rung."""
        self._rope = threading.Lock()
        self._rope.acquire()
        return self._rope

    def ring(self) -> None:
        if self._rope is not None:
            self._rope.release()
            self._rope = None


class Reading:
    """One turn on its way to one client."""

    def __init__(self, events: Iterator[TurnEvent]) -> None:
        self._events = events
        self._lock = threading.Lock()
        self._came, self._went = _Bell(), _Bell()
        self._queue: deque[TurnEvent] = deque()
        self._behind = 0
        self._patience = PATIENCE_SECONDS
        self._error: BaseException | None = None
        self._over = False
        self._deserted = False

    def run(self) -> None:
        """Reads the turn to its end."""
        try:
            for event in self._events:
                self._put(event)
        except GatewayError as exc:
            self._end(exc)
        except BaseException as exc:
            log.exception("a turn failed in a way that it should not")
            self._end(exc)
        else:
            self._end(None)

    def take(self, seconds: float | None = None) -> list[TurnEvent] | None:
        """What comes next, waited for at most `seconds`: empty when nothing came, None after the end. The turn's error
        is raised in its place, and `StreamGoneError` for one who is too far behind."""
        with self._lock:
            rope = None if self._queue or self._over else self._came.hang()
        if rope is not None:
            rope.acquire(timeout=-1 if seconds is None else seconds)
        with self._lock:
            taken = []
            size = 0
            while self._queue and size < _PIECE:
                taken.append(self._queue.popleft())
                size += _size_of(taken[-1])
            self._behind -= size
            self._patience = min(PATIENCE_SECONDS, self._patience + size / FAST_ENOUGH)
            if self._behind <= MOST_BEHIND:
                self._went.ring()
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
            self._went.ring()

    def _put(self, event: TurnEvent) -> None:
        with self._lock:
            if self._deserted:
                return
            self._queue.append(event)
            self._behind += _size_of(event)
            self._came.ring()
            if self._behind <= MOST_BEHIND or len(self._queue) == 1:
                return
            rope = self._went.hang()
        if not self._is_rung(rope):
            self._end(StreamGoneError())
            self.desert()

    def _is_rung(self, rope: threading.Lock) -> bool:
        """False when the patience was at an end before."""
        while True:
            began = time.monotonic()
            rung = rope.acquire(timeout=self._patience)
            with self._lock:
                self._patience = max(0.0, self._patience - (time.monotonic() - began))
                if rung or not self._patience:
                    return rung

    def _end(self, error: BaseException | None) -> None:
        with self._lock:
            if not self._over:
                self._over, self._error = True, error
            self._came.ring()


def _size_of(event: TurnEvent) -> int:
    words = event.text if isinstance(event, Delta) else event.data if isinstance(event, StreamEvent) else ""
    return len(words) + _AN_EVENT


class Readers:
    """The turns that this process reads, so that a stop can wait for them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = 0

    def start(self, events: Iterator[TurnEvent]) -> Reading:
        reading = Reading(events)
        with self._changed:
            self._running += 1
        try:
            # A Thread's start would wait until it runs.
            _thread.start_new_thread(self._read, (reading, logs.request_id.get()))
        except RuntimeError as exc:
            self._ended()
            raise QueueFullError("This process cannot begin another turn now.", retry_after=1) from exc
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
            self._ended()

    def _ended(self) -> None:
        with self._changed:
            self._running -= 1
            self._changed.notify_all()
