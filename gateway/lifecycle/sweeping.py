"""The sweeper: drops sessions that expired and finishes erasures, a little at a time, on one thread of each process.

Over all processes of a store one sweeps at a time: it holds the turn of a session that no client can name.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, fields

from gateway.errors import GatewayError, TurnBusyError
from gateway.lifecycle.erasures import Eraser, Unfinished
from gateway.metrics.series import SESSIONS_EXPIRED, SWEEPS
from gateway.model import SessionKey
from gateway.sessions.base import Erasure

log = logging.getLogger("gateway.sweeper")

PERIOD_SECONDS = 30.0
SOON_SECONDS = 1.0
"""How soon a round follows one that left work behind."""

EXPIRED_A_ROUND = 100
ERASURES_A_ROUND = 20
FAILURES_A_ROUND = 3
"""After so many failures in a row a round ends: then the provider itself is most likely away."""

REMEMBERED_FAILURES = 1000

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


class Sweeper:
    """`sweep` is one round; `start` lets a thread do rounds until `stop`. `totals` are there to be read."""

    def __init__(self, eraser: Eraser, *, period_seconds: float = PERIOD_SECONDS) -> None:
        self._eraser = eraser
        self._sessions = eraser.sessions
        self._period_seconds = period_seconds
        self._changed = threading.Condition()
        self._woken = False
        self._stopped = False
        self._thread: threading.Thread | None = None
        # Erasures that failed here, and how often: they go behind those that did not.
        self._failures: dict[tuple[str, str, str], int] = {}
        self._more = False
        self.totals = Sweep()

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="gateway-sweeper", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """The next round begins now."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def stop(self) -> None:
        """No round begins any more, and one under way ends after the erasure that it is at."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def join(self, seconds: float) -> None:
        """Waits for a round under way."""
        if self._thread is not None:
            self._thread.join(seconds)

    def sweep(self) -> Sweep | None:
        """One round, bounded in its work; None when another process of the store is just sweeping."""
        try:
            with self._sessions.turn(SWEEPERS_TURN, wait_seconds=0):
                done = self._round()
        except TurnBusyError:
            return None
        self.totals.add(done)
        SWEEPS.labels("done").inc()
        SESSIONS_EXPIRED.inc(done.expired)
        if done.expired or done.erased or done.failed:
            log.info(
                "swept: %d sessions expired, %d conversations erased (%d items, %d responses), %d erasures failed",
                *(done.expired, done.erased, done.items_deleted, done.responses_deleted, done.failed),
            )
        return done

    def _round(self) -> Sweep:
        done = Sweep(rounds=1, expired=self._sessions.expire(limit=EXPIRED_A_ROUND))
        self._more = done.expired >= EXPIRED_A_ROUND
        in_a_row = 0
        for erasure in self._due():
            if self._stopped or in_a_row >= FAILURES_A_ROUND:
                break
            try:
                outcome = self._eraser.resume(erasure)
            except TurnBusyError:
                continue  # somebody else is at it
            except GatewayError:
                raise
            except Exception:
                # A defect in erasing this one must not keep the others from being erased.
                log.exception("an erasure failed in a way that it should not")
                outcome = Unfinished(erasure.session_id, erasure.conversation_id, 0, GatewayError.code)
            done.items_deleted += outcome.items_deleted
            if not isinstance(outcome, Unfinished):
                done.erased += 1
                done.responses_deleted += outcome.responses_deleted
                self._failures.pop(_name(erasure), None)
            elif outcome.failed:
                done.failed += 1
                self._failures[_name(erasure)] = self._failures.get(_name(erasure), 0) + 1
            else:
                self._more = True
            in_a_row = in_a_row + 1 if isinstance(outcome, Unfinished) and outcome.failed else 0
        return done

    def _due(self) -> Iterator[Erasure]:
        """The oldest erasures, those that failed before behind the others, so that they hold nobody up."""
        if len(self._failures) > REMEMBERED_FAILURES:
            self._failures.clear()
        waiting = self._sessions.erasures(limit=ERASURES_A_ROUND + len(self._failures) + 1)
        there = {_name(erasure) for erasure in waiting}
        self._failures = {name: count for name, count in self._failures.items() if name in there}
        fresh = len(there) - len(self._failures)
        self._more = self._more or fresh > ERASURES_A_ROUND
        # Sorting keeps the order of equals: oldest first.
        yield from sorted(waiting, key=lambda erasure: self._failures.get(_name(erasure), 0))[:ERASURES_A_ROUND]

    def _run(self) -> None:
        pause = self._jittered()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._woken or self._stopped, pause)
                self._woken = False
                if self._stopped:
                    return
            done = None
            try:
                done = self.sweep()
            except GatewayError as exc:
                SWEEPS.labels("failed").inc()
                log.warning("the sweeper could not work: %s", exc.code)
            except Exception:
                # Whatever it is: the next round must come.
                SWEEPS.labels("failed").inc()
                log.exception("the sweeper failed in a way that it should not")
            pause = min(SOON_SECONDS, self._period_seconds) if done is not None and self._more else self._jittered()

    def _jittered(self) -> float:
        """Processes that began together do not sweep together."""
        return self._period_seconds * random.uniform(0.5, 1.5)  # noqa: S311


def _name(erasure: Erasure) -> tuple[str, str, str]:
    return erasure.tenant, erasure.session_id, erasure.conversation_id
