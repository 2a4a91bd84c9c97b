"""A line before a few places, such as connections: first come, first served.

Python's semaphores and SQLAlchemy's pool let a newcomer pass those who wait, so that under load the unlucky wait for
seconds while others come and go.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.errors import StoreUnavailableError


class Line:
    """Lets in as many at once as there are `places`, in the order in which they came; for threads and greenlets."""

    def __init__(self, places: int) -> None:
        self._guard = threading.Lock()
        self._free = places
        # Each waits at a lock of its own; a place is handed to the first by opening that one.
        self._waiting: deque[threading.Lock] = deque()

    @contextmanager
    def place(self, timeout_seconds: float, *, urgent: bool = False) -> Iterator[None]:
        """Holds one of the places; `urgent` is let in next. `StoreUnavailableError` when none came free in time."""
        self.enter(timeout_seconds, urgent=urgent)
        try:
            yield
        finally:
            self.leave()

    def enter(self, timeout_seconds: float, *, urgent: bool = False) -> None:
        """The same in two halves, for whoever counts microseconds: who has entered leaves."""
        with self._guard:
            # Nobody waits while a place is free: who comes now passes nobody.
            if self._free:
                self._free -= 1
                return
            gate = threading.Lock()
            gate.acquire()
            if urgent:
                self._waiting.appendleft(gate)
            else:
                self._waiting.append(gate)
        if not self._wait(gate, timeout_seconds):
            raise StoreUnavailableError("The store has more to do than it can just now.", retry_after=1)

    def _wait(self, gate: threading.Lock, timeout_seconds: float) -> bool:
        try:
            came = gate.acquire(timeout=timeout_seconds)
        except BaseException:
            # Killed while it waited: a place that was handed over at this moment goes to the next.
            if not self._give_up(gate):
                self.leave()
            raise
        return came or not self._give_up(gate)

    def _give_up(self, gate: threading.Lock) -> bool:
        """Stops waiting; False when a place was handed over just before."""
        with self._guard:
            if gate in self._waiting:
                self._waiting.remove(gate)
                return True
            return False

    def leave(self) -> None:
        """The place is the next one's."""
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1
