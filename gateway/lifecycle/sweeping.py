"""The sweeper: drops what is past its time and goes on with erasures, on one thread of each process.

Over all processes of a store one drops at a time: it holds the turn of a session that no client can name. All of them
erase: each claims a few, which nobody else gets meanwhile.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, fields

from gateway.errors import GatewayError, TurnBusyError
from gateway.lifecycle.erasures import Eraser, Receipt
from gateway.liveness import uptime_us
from gateway.metrics.series import SESSIONS_EXPIRED, SWEEPS
from gateway.model import SessionKey
from gateway.providers.retry import Patience
from gateway.sessions.values import CLAIM_MS, Erasure

log = logging.getLogger("gateway.sweeper")

PERIOD_SECONDS = 30.0

DROPPED_AT_ONCE = 1000

CLAIMED = 5
"""How many erasures one process takes at a time."""

WORK_SECONDS = 45.0
"""How long it works at them before it leaves the rest: less than it has them to itself (`CLAIM_MS`)."""

FAILURES_A_ROUND = 3
"""After so many failures in a row a round ends: then the provider itself is most likely away."""

CLOCKS_APART_MS = 60_000
DISTRUST_MS = 3_600_000
"""When the store's clock and this host's go so far apart between two rounds one of them was set, most likely to a wrong
time, and for so long nothing is dropped by it."""

SWEEPERS_TURN = SessionKey("", ".")


@dataclass(slots=True)
class Sweep:
    """What was done: in one round, or in all rounds of this process."""

    rounds: int = 0
    expired: int = 0
    erased: int = 0
    items_deleted: int = 0
    responses_deleted: int = 0
    failed: int = 0

    def add(self, other: Sweep) -> None:
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


class Clocks:
    """Whether the store's clock (milliseconds since an epoch) goes as this host's uptime (microseconds) does."""

    def __init__(self, now: Callable[[], int], uptime: Callable[[], int]) -> None:
        self._now = now
        self._uptime = uptime
        self._apart: int | None = None
        self._distrusted_until = 0

    def are_trusted(self) -> bool:
        """Compares them with how they stood when this was asked last."""
        uptime_ms = self._uptime() // 1000
        apart, before = self._now() - uptime_ms, self._apart
        self._apart = apart
        if before is not None and abs(apart - before) > CLOCKS_APART_MS:
            self._distrusted_until = uptime_ms + DISTRUST_MS
            log.warning(
                "the store's clock went %+d s against this host's: nothing expires for an hour from now",
                (apart - before) // 1000,
            )
        return uptime_ms >= self._distrusted_until


class Sweeper:
    """`sweep` is one round; `start` lets a thread do rounds until `stop`. `totals` are there to be read."""

    def __init__(
        self, eraser: Eraser, *, period_seconds: float = PERIOD_SECONDS, uptime: Callable[[], int] = uptime_us
    ) -> None:
        self._eraser = eraser
        self._sessions = eraser.sessions
        self._period_seconds = period_seconds
        self._clocks = Clocks(self._sessions.now, uptime)
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._more = False
        self.totals = Sweep()

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="gateway-sweeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """No round begins any more, and one under way ends after the erasure or the batch that it is at."""
        self._stopped.set()

    def join(self, seconds: float) -> None:
        """Waits for a round under way."""
        if self._thread is not None:
            self._thread.join(seconds)

    def sweep(self) -> Sweep:
        """One round. Neither half of it keeps the other from its work, whatever happens."""
        done = Sweep(rounds=1)
        self._more = False
        well = [self._attempt(half, done) for half in (self._drop, self._erase)]
        SWEEPS.labels("done" if all(well) else "failed").inc()
        SESSIONS_EXPIRED.inc(done.expired)
        self.totals.add(done)
        if done.expired or done.erased or done.failed:
            log.info(
                "swept: %d sessions expired, %d conversations erased (%d items, %d responses), %d erasures failed",
                *(done.expired, done.erased, done.items_deleted, done.responses_deleted, done.failed),
            )
        return done

    @staticmethod
    def _attempt(half: Callable[[Sweep], None], done: Sweep) -> bool:
        try:
            half(done)
        except GatewayError as exc:
            log.warning("the sweeper could not work: %s", exc.code)
        except Exception:
            log.exception("the sweeper failed in a way that it should not")
        else:
            return True
        return False

    def _drop(self, done: Sweep) -> None:
        """Drops what is past its time, all of it, unless somebody else is at it."""
        if not self._clocks.are_trusted():
            return
        try:
            with self._sessions.turn(SWEEPERS_TURN, wait_seconds=0) as turn:
                more = True
                while more and not self._stopped.is_set():
                    turn.check()
                    expired = self._sessions.expire(DROPPED_AT_ONCE)
                    done.expired += expired
                    full = max(expired, self._sessions.prune(DROPPED_AT_ONCE)) >= DROPPED_AT_ONCE
                    more = full and self._clocks.are_trusted()
        except TurnBusyError:
            return

    def _erase(self, done: Sweep) -> None:
        """Works at a few erasures, and leaves to others what it does not come to."""
        claimed = self._sessions.claim_erasures(CLAIMED, self._sessions.now() + CLAIM_MS)
        budget = Patience(WORK_SECONDS)
        in_a_row = 0
        for erasure in claimed:
            if self._stopped.is_set() or in_a_row >= FAILURES_A_ROUND:
                self._eraser.leave(erasure)
                continue
            failed = self._resume(erasure, budget, done)
            in_a_row = in_a_row + 1 if failed else 0
        self._more = bool(claimed) and in_a_row < FAILURES_A_ROUND

    def _resume(self, erasure: Erasure, budget: Patience, done: Sweep) -> bool:
        """True when it failed."""
        try:
            outcome = self._eraser.resume(erasure, budget)
        except TurnBusyError:
            return False  # somebody else is at it
        except GatewayError:
            raise
        except Exception:
            # A defect in erasing this one must not keep the others from being erased.
            log.exception("an erasure failed in a way that it should not")
            done.failed += 1
            return True
        done.items_deleted += outcome.items_deleted
        done.responses_deleted += outcome.responses_deleted
        if isinstance(outcome, Receipt):
            done.erased += 1
            return False
        done.failed += outcome.failed
        return outcome.failed

    def _run(self) -> None:
        # Processes that began together do not sweep together.
        while not self._stopped.wait(0 if self._more else self._period_seconds * random.uniform(0.5, 1.5)):  # noqa: S311
            self.sweep()
