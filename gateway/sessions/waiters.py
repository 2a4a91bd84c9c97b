"""Those of this process who wait for a session: woken when its turn ends here, and counted."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.errors import QueueFullError, ShuttingDownError
from gateway.model import SessionKey


class Waiter:
    """One who listens for a session: woken by `Waiters.wake`, or by the end of its patience."""

    def __init__(self, waiters: Waiters) -> None:
        self._waiters = waiters
        self._event = threading.Event()
        self.is_counted = False

    def set(self) -> None:
        self._event.set()

    def wait(self, seconds: float) -> None:
        """Returns when woken or after `seconds`. `QueueFullError` when too many of this process wait already,
        `ShuttingDownError` when nobody is to wait any more."""
        self._waiters.admit(self)
        self._event.wait(seconds)
        self._event.clear()
        self._waiters.admit(self)


class Waiters:
    """All of this process. Nobody who listens misses being woken."""

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._listening: dict[SessionKey, OrderedDict[int, Waiter]] = {}
        self._count = 0
        self._ended = False

    @property
    def count(self) -> int:
        """How many wait now."""
        return self._count

    @contextmanager
    def listen(self, key: SessionKey) -> Iterator[Waiter]:
        waiter = Waiter(self)
        with self._lock:
            self._listening.setdefault(key, OrderedDict())[id(waiter)] = waiter
        try:
            yield waiter
        finally:
            with self._lock:
                self._count -= waiter.is_counted
                queue = self._listening[key]
                del queue[id(waiter)]
                if not queue:
                    del self._listening[key]

    def wake(self, key: SessionKey) -> None:
        """Wakes the one that has listened longest; the others would find it before them."""
        with self._lock:
            for waiter in self._listening.get(key, {}).values():
                waiter.set()
                return

    def end(self) -> None:
        """Ends every wait, now and from now on."""
        with self._lock:
            self._ended = True
            for queue in self._listening.values():
                for waiter in queue.values():
                    waiter.set()

    def admit(self, waiter: Waiter) -> None:
        """Counts one who starts to wait, for as long as it listens."""
        with self._lock:
            if self._ended:
                raise ShuttingDownError(retry_after=1)
            if waiter.is_counted:
                return
            if self._most is not None and self._count >= self._most:
                raise QueueFullError("Too many turns are waiting in this process of the gateway.", retry_after=1)
            waiter.is_counted = True
            self._count += 1
