"""The queue of each session in SQL: who holds it, who waits, and whose ticket has died."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from gateway.database.engine import ATTEMPTS, CollisionError, Database
from gateway.errors import QueueFullError, StoreUnavailableError, TurnBusyError
from gateway.liveness import Liveness
from gateway.model import SessionKey, TurnRecord
from gateway.sessions.base import KEY_LIFETIME_MS, KeyTakenError, SessionManager, Standing
from gateway.sessions.sql.records import Records, decode_record, key_is_old
from gateway.sessions.sql.schema import Tables
from gateway.sessions.sql.tickets import HOLDS, WAITING, Tickets

_RENEWED_AT_ONCE = 500


class SqlQueue(SessionManager):
    """The steps on tickets."""

    def __init__(self, database: Database, tables: Tables, alive: Liveness, **options: Any) -> None:
        self._database = database
        self._alive = alive
        self._tickets = Tickets(tables.turns, database.tick)
        self._records = Records(tables, self._tickets)
        self._ping = sa.select(tables.meta.c.value)
        self._scrub_owed = False
        super().__init__(**options)
        self._lease_us = round(self.lease_seconds * 1_000_000)

    def now(self) -> int:
        return super().now() if self._clock is not None else self._database.epoch_us() // 1000

    def ping(self) -> None:
        if not self._database.rows(self._ping):
            raise StoreUnavailableError("The session store's tables are gone.", retry_after=1)

    def close(self) -> None:
        super().close()
        self._alive.close()
        self._database.close()

    def _enter(self, record: TurnRecord, *, queue_limit: int) -> Standing:
        database, key = self._database, record.key
        entered_at = self.now()
        ticket = {
            "turn_id": record.turn_id,
            "tenant": record.tenant,
            "session_id": record.session_id,
            "owner": self._alive.owner,
            "workflow": record.workflow,
            "idempotency_key": record.idempotency_key,
            "fingerprint": record.fingerprint,
            "entered_at": entered_at,
            "started_at": record.started_at,
            "prune_at": entered_at + KEY_LIFETIME_MS,
            "lease_us": self._lease_us,
        }
        fence = database.epoch_us()
        for _ in range(ATTEMPTS):
            try:
                # Nearly always nobody is there, and this one statement is all.
                if standing := self._enter_free({**ticket, "fence": fence}):
                    return standing
            except CollisionError:
                pass
            # Otherwise: the key is another turn's, somebody is in the queue (dead or alive), or a fence is higher.
            self._claim_key(record)
            queue = self._queue(key)
            if any(row.turn_id == record.turn_id for row in queue):
                break  # it had entered, but the answer was lost
            if not queue:
                fence = max(database.epoch_us(), self._top_fence(key) + 1)
                continue
            if queue_limit <= 0:
                raise TurnBusyError(retry_after=1)
            try:
                if database.change(self._tickets.enter_queue, {**ticket, "queue_limit": queue_limit}):
                    break
            except CollisionError:
                continue
            raise QueueFullError(retry_after=1)
        else:
            raise StoreUnavailableError("Too many turns of this session came at once.", retry_after=1)
        return self._poll(key, record.turn_id) or Standing(1, 0)

    def _enter_free(self, ticket: dict[str, Any]) -> Standing | None:
        """Into a session that nobody has or waits for; None if somebody does."""
        entered = self._database.change(self._tickets.enter_free, ticket)
        return Standing(0, ticket["fence"]) if entered else None

    def _claim_key(self, record: TurnRecord) -> None:
        """Frees the idempotency key of a record that no longer has a right to it; `KeyTakenError` otherwise."""
        if record.idempotency_key is None:
            return
        of_key = {"of_tenant": record.tenant, "key": record.idempotency_key}
        for row in self._database.rows(self._records.by_key, of_key):
            if row.turn_id == record.turn_id:
                return
            if row.place is not None and not self._lives(row):
                self._bury(row)
            elif not key_is_old(row, self.now()):
                raise KeyTakenError(decode_record(row, live=self._lives(row)))
            else:
                self._database.change(self._records.free_key, {"ticket": row.turn_id, "key": record.idempotency_key})

    def _poll(self, key: SessionKey, turn_id: str) -> Standing | None:
        for _ in range(ATTEMPTS):
            queue = self._queue(key)
            before = next((number for number, row in enumerate(queue) if row.turn_id == turn_id), None)
            if before is None:
                return None
            ticket = queue[before]
            if ticket.place == HOLDS:
                return Standing(0, ticket.fence)
            if before:
                return Standing(before, 0)
            fence = max(self._database.epoch_us(), self._top_fence(key) + 1)
            grant = {"ticket": turn_id, "at": ticket.place, "higher": fence, **of_session(key)}
            try:
                if self._database.change(self._tickets.grant, grant):
                    return Standing(0, fence)
            except CollisionError:
                pass  # another was granted in between: the index on `place` lets only one hold
        return Standing(1, 0)

    def _queue(self, key: SessionKey) -> list[sa.Row[Any]]:
        """The live tickets in their order; the dead are taken out of the queue."""
        living = []
        for row in self._database.rows(self._tickets.queue, of_session(key)):
            if self._lives(row):
                living.append(row)
            else:
                self._bury(row)
        return living

    def _lives(self, row: sa.Row[Any]) -> bool:
        return row.place is not None and bool(row.leased) and self._alive.is_alive(row.owner)

    def _bury(self, row: sa.Row[Any]) -> None:
        """Takes a dead ticket out of its queue: without a trace if it had not begun, else it is a record in doubt."""
        # A dead owner stays dead. A dead lease is judged again by the statement, in case it was renewed in time.
        dead_owner = "" if self._alive.is_alive(row.owner) else row.owner
        bury = self._tickets.bury_waiting if row.state == WAITING else self._tickets.bury_running
        self._database.change(bury, {"ticket": row.turn_id, "at": row.place, "dead_owner": dead_owner})

    def _top_fence(self, key: SessionKey) -> int:
        return self._database.rows(self._tickets.top_fence, of_session(key))[0][0] or 0

    def _held(self, key: SessionKey) -> bool:
        rows = self._database.rows(self._tickets.queue, of_session(key))
        return any(row.place == HOLDS and self._lives(row) for row in rows)

    def _renew(self, tickets: Sequence[tuple[SessionKey, str]]) -> set[str]:
        self._alive.refresh()
        turn_ids = [turn_id for _, turn_id in tickets]
        alive: set[str] = set()
        for start in range(0, len(turn_ids), _RENEWED_AT_ONCE):
            some = turn_ids[start : start + _RENEWED_AT_ONCE]
            renewed = self._database.change(self._tickets.renew, {"tickets": some, "lease_us": self._lease_us})
            if renewed == len(some):
                alive.update(some)
            else:
                alive.update(row[0] for row in self._database.rows(self._tickets.renewed, {"tickets": some}))
        return alive

    def _withdraw(self, key: SessionKey, turn_id: str) -> None:
        if not self._database.change(self._tickets.withdraw_waiting, {"ticket": turn_id}):
            self._database.change(self._tickets.withdraw_running, {"ticket": turn_id})
        # Only now: the eraser's own ticket named the session too.
        self._scrub()

    def _scrub(self) -> None:
        """Takes what was erased out of the database's files; what could not be done now is owed to the next call."""
        if self._scrub_owed:
            self._scrub_owed = not self._database.scrub()


def of_session(key: SessionKey) -> dict[str, str]:
    return {"of_tenant": key.tenant, "of_session": key.session_id}
