"""What keeps this process's tickets alive, and takes back those that a store which was away never heard the end of."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from gateway.errors import GatewayError, StoreUnavailableError
from gateway.liveness import uptime_us
from gateway.model import SessionKey

log = logging.getLogger("gateway.sessions")

AGAIN_SECONDS = 1.0
"""How soon a withdrawal is tried again that the store did not hear."""

LATE_SECONDS = 3.0
"""So long after it was lost a step may still arrive at a store that had only been slow: until then a withdrawal is
repeated although it came through."""


class Leases:
    """Renews all tickets of this process in one call, three times a lease, on one thread that nothing ends. It asks the
    store also when there is none: so whoever sees its steps sees that it lives."""

    def __init__(self, lease_seconds: float, renew: Callable[[Sequence[tuple[SessionKey, str]]], set[str]]) -> None:
        self.lease_seconds = lease_seconds
        self._renew = renew
        self._lock = threading.Lock()
        self._tickets: dict[str, tuple[SessionKey, int]] = {}
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def add(self, key: SessionKey, turn_id: str, since: int) -> None:
        """`since` (`uptime_us`) was before the store took the ticket: what is believed here never outlives the store's
        lease."""
        with self._lock:
            self._tickets[turn_id] = (key, since)
        self.start()

    def start(self) -> None:
        """Sees to it that the thread is there: anew where a fork, or a machine with no thread to spare, has left
        none."""
        with self._lock:
            self._thread = _running(self._thread, self._run, "gateway-leases", "nothing renews leases now")

    def remove(self, turn_id: str) -> None:
        with self._lock:
            self._tickets.pop(turn_id, None)

    def may_live(self, turn_id: str) -> bool:
        """False once the ticket may be somebody else's: dropped, refused by the store, or past its lease unrenewed."""
        with self._lock:
            ticket = self._tickets.get(turn_id)
        return ticket is not None and uptime_us() - ticket[1] < self.lease_seconds * 1e6

    @property
    def age_seconds(self) -> float:
        """How long ago the ticket that was renewed longest ago was; 0 when there is none to renew."""
        with self._lock:
            oldest = min((since for _, since in self._tickets.values()), default=None)
        return 0.0 if oldest is None else (uptime_us() - oldest) / 1e6

    def check(self) -> None:
        """`StoreUnavailableError` when a ticket of this process is past its lease: then its turns may be lost."""
        if self.age_seconds > self.lease_seconds:
            raise StoreUnavailableError("The leases of turns that run here are not renewed.", retry_after=1)

    def close(self) -> None:
        self._closed.set()

    def _run(self) -> None:
        # What has just been entered has its whole lease still.
        pause = self.lease_seconds / 3 if self._tickets else 0.0
        while not self._closed.wait(pause):
            try:
                self._renew_all()
            except GatewayError:
                # The store is away: try again soon, for a lease leaves little time.
                pause = self.lease_seconds / 10
            except Exception:
                # Whatever it is: the next round must come.
                log.exception("leases could not be renewed, in a way that they should not")
                pause = self.lease_seconds / 10
            else:
                pause = self.lease_seconds / 3

    def _renew_all(self) -> None:
        with self._lock:
            held = {turn_id: key for turn_id, (key, _) in self._tickets.items()}
        asked = uptime_us()
        alive = self._renew([(key, turn_id) for turn_id, key in held.items()])
        with self._lock:
            for turn_id, key in held.items():
                if turn_id not in self._tickets:
                    continue
                if turn_id in alive:
                    self._tickets[turn_id] = (key, asked)
                else:
                    del self._tickets[turn_id]


class Withdrawals:
    """Tickets that nobody wants any more, and of which the store was told in vain: told again until it has heard, so
    that they hold their sessions no longer than it was away. On a thread that is there only while there is one."""

    def __init__(self, withdraw: Callable[[SessionKey, str], None], *, keep_seconds: float) -> None:
        self._withdraw = withdraw
        self._keep_seconds = keep_seconds
        """By then a ticket has died by itself."""
        self._lock = threading.Lock()
        self._lost: dict[str, tuple[SessionKey, int]] = {}
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def add(self, key: SessionKey, turn_id: str) -> None:
        with self._lock:
            self._lost[turn_id] = (key, uptime_us())
            self._thread = _running(
                self._thread, self._run, "gateway-withdrawals", "a place in a queue stays taken for a lease"
            )

    @property
    def is_idle(self) -> bool:
        """Whether every one was heard."""
        return not self._lost

    def close(self) -> None:
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.wait(AGAIN_SECONDS):
            with self._lock:
                if not self._lost:
                    self._thread = None
                    return
                lost = list(self._lost.items())
            for turn_id, (key, since) in lost:
                try:
                    self._withdraw(key, turn_id)
                    done = uptime_us() - since > LATE_SECONDS * 1e6
                except GatewayError:
                    done = uptime_us() - since > self._keep_seconds * 1e6
                    if not done:
                        break  # the store is away: it need not be asked for each of them
                except Exception:
                    log.exception("a place in a queue could not be given back, in a way that it should not")
                    done = True
                if done:
                    with self._lock:
                        self._lost.pop(turn_id, None)


def _running(
    thread: threading.Thread | None, run: Callable[[], None], name: str, otherwise: str
) -> threading.Thread | None:
    """The thread while it lives, or a new one; None, and logged, where the machine has none to spare."""
    if thread is not None and thread.is_alive():
        return thread
    fresh = threading.Thread(target=run, name=name, daemon=True)
    try:
        fresh.start()
    except RuntimeError:
        log.exception("%s: a thread could not be started", otherwise)
        return None
    return fresh
