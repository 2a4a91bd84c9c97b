"""What a process does while its turns wait and run: wakes its own waiters, and keeps its tickets alive."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from gateway.errors import GatewayError, QueueFullError, ShuttingDownError
from gateway.model import SessionKey


class Rung:
    """One who listens: woken by the bell, or by the end of its patience."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._event = threading.Event()
        self.waits = False

    def set(self) -> None:
        self._event.set()

    def wait(self, seconds: float) -> None:
        """Returns when rung or after `seconds`. `QueueFullError` when too many of this process wait already,
        `ShuttingDownError` when nobody is to wait any more."""
        self._bell.admit(self)
        self._event.wait(seconds)
        self._event.clear()
        self._bell.admit(self)


class Bell:
    """Wakes those of this process who wait for a session. A ring is missed by nobody who listens."""

    def __init__(self, max_waiting: int | None = None) -> None:
        self._max_waiting = max_waiting
        self._lock = threading.Lock()
        self._listening: dict[SessionKey, OrderedDict[int, Rung]] = {}
        self._waiting = 0
        self._silent = False

    @property
    def waiting(self) -> int:
        """How many of this process wait now."""
        return self._waiting

    @contextmanager
    def listen(self, key: SessionKey) -> Iterator[Rung]:
        rung = Rung(self)
        with self._lock:
            self._listening.setdefault(key, OrderedDict())[id(rung)] = rung
        try:
            yield rung
        finally:
            with self._lock:
                self._waiting -= rung.waits
                queue = self._listening[key]
                del queue[id(rung)]
                if not queue:
                    del self._listening[key]

    def ring(self, key: SessionKey) -> None:
        """Wakes the one that has listened longest; the others would find it before them."""
        with self._lock:
            for rung in self._listening.get(key, {}).values():
                rung.set()
                return

    def silence(self) -> None:
        """Ends every wait, now and from now on."""
        with self._lock:
            self._silent = True
            for queue in self._listening.values():
                for rung in queue.values():
                    rung.set()

    def admit(self, rung: Rung) -> None:
        """Counts one who starts to wait, for as long as it listens."""
        with self._lock:
            if self._silent:
                raise ShuttingDownError(retry_after=1)
            if rung.waits:
                return
            if self._max_waiting is not None and self._waiting >= self._max_waiting:
                raise QueueFullError("Too many turns are waiting in this process of the gateway.", retry_after=1)
            rung.waits = True
            self._waiting += 1


class Keeper:
    """Renews all tickets of this process in one call, three times a lease, on one thread."""

    def __init__(self, lease_seconds: float, renew: Callable[[Sequence[tuple[SessionKey, str]]], set[str]]) -> None:
        self._lease_seconds = lease_seconds
        self._renew = renew
        self._lock = threading.Lock()
        self._tickets: dict[str, tuple[SessionKey, float]] = {}
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def add(self, key: SessionKey, turn_id: str, since: float) -> None:
        """`since` (monotonic) was before the store took the ticket: what is believed here never outlives the store's
        lease."""
        with self._lock:
            self._tickets[turn_id] = (key, since)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="gateway-keeper", daemon=True)
                self._thread.start()

    def remove(self, turn_id: str) -> None:
        with self._lock:
            self._tickets.pop(turn_id, None)

    def may_live(self, turn_id: str) -> bool:
        """False once the ticket is surely dead: dropped, refused by the store, or past its lease unrenewed."""
        with self._lock:
            ticket = self._tickets.get(turn_id)
        return ticket is not None and time.monotonic() - ticket[1] < self._lease_seconds

    def close(self) -> None:
        self._closed.set()

    def _run(self) -> None:
        pause = self._lease_seconds / 3
        while not self._closed.wait(pause):
            with self._lock:
                held = {turn_id: key for turn_id, (key, _) in self._tickets.items()}
            if not held:
                continue
            asked = time.monotonic()
            try:
                alive = self._renew([(key, turn_id) for turn_id, key in held.items()])
            except GatewayError:
                # The store is away: try again soon, for a lease leaves little time.
                pause = self._lease_seconds / 10
                continue
            pause = self._lease_seconds / 3
            with self._lock:
                for turn_id, key in held.items():
                    if turn_id not in self._tickets:
                        continue
                    if turn_id in alive:
                        self._tickets[turn_id] = (key, asked)
                    else:
                        del self._tickets[turn_id]
