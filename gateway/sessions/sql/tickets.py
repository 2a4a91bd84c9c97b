"""The queue of each session in SQL: who holds it, who waits, and whose ticket has died."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from gateway.database.engine import ATTEMPTS, CollisionError, Database
from gateway.errors import QueueFullError, StoreUnavailableError, TurnBusyError
from gateway.liveness import Liveness
from gateway.model import SessionKey, TurnRecord
from gateway.sessions.sql.rows import decode_record, of_session, parts
from gateway.sessions.sql.schema import Tables
from gateway.sessions.sql.ticket_statements import HOLDS, WAITING, TicketStatements
from gateway.sessions.store import Tickets, lost
from gateway.sessions.values import KeyTakenError, Standing, Terms


class SqlTickets(Tickets):
    """The queues, and what the other parts of a store need of them: its time, its terms, and who is alive."""

    def __init__(self, database: Database, tables: Tables, liveness: Liveness, terms: Terms) -> None:
        self.database = database
        self.terms = terms
        self.statements = TicketStatements(tables.turns, database.tick, round(terms.lease_seconds * 1_000_000))
        self._liveness = liveness
        self._scrub_is_due = False
        self._scrub_failed = False

    def now(self) -> int:
        return self.terms.now(lambda: self.database.epoch_us() // 1000)

    # --- In and out of a queue -----------------------------------------------------------------------------

    def enter(self, record: TurnRecord, *, queue_limit: int) -> Standing:
        database, key = self.database, record.key
        entered_at = self.now()
        ticket = {
            "turn_id": record.turn_id,
            "tenant": record.tenant,
            "session_id": record.session_id,
            "owner": self._liveness.owner,
            "workflow": record.workflow,
            "idempotency_key": record.idempotency_key,
            "fingerprint": record.fingerprint,
            "entered_at": entered_at,
            "started_at": record.started_at,
            "prune_at": entered_at + self.terms.retention.record_ms,
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
            queue = self.queue(key)
            if any(row.turn_id == record.turn_id for row in queue):
                break  # it had entered, but the answer was lost
            if not queue:
                fence = max(database.epoch_us(), self._top_fence(key) + 1)
                continue
            if queue_limit <= 0:
                raise TurnBusyError(retry_after=1)
            try:
                if database.change(self.statements.enter_queue, {**ticket, "queue_limit": queue_limit}):
                    break
            except CollisionError:
                continue
            raise QueueFullError(retry_after=1)
        else:
            raise StoreUnavailableError("Too many turns of this session came at once.", retry_after=1)
        return self.poll(key, record.turn_id) or Standing(1, 0)

    def _enter_free(self, ticket: dict[str, Any]) -> Standing | None:
        """Into a session that nobody has or waits for; None if somebody does."""
        return Standing(0, ticket["fence"]) if self.database.change(self.statements.enter_free, ticket) else None

    def _claim_key(self, record: TurnRecord) -> None:
        """Frees the idempotency key of a record that no longer has a right to it; `KeyTakenError` otherwise."""
        if record.idempotency_key is None:
            return
        of_key = {"of_tenant": record.tenant, "key": record.idempotency_key}
        for row in self.database.rows(self.statements.by_key, of_key):
            if row.turn_id == record.turn_id:
                return
            if row.place is not None and not self.lives(row):
                self._bury(row)
            elif not self.key_is_old(row):
                raise KeyTakenError(decode_record(row, live=self.lives(row)))
            else:
                self.database.change(self.statements.free_key, {"ticket": row.turn_id, "key": record.idempotency_key})

    def poll(self, key: SessionKey, turn_id: str) -> Standing | None:
        for _ in range(ATTEMPTS):
            queue = self.queue(key)
            before = next((number for number, row in enumerate(queue) if row.turn_id == turn_id), None)
            if before is None:
                return None
            ticket = queue[before]
            if ticket.place == HOLDS:
                return Standing(0, ticket.fence)
            if before:
                return Standing(before, 0)
            fence = max(self.database.epoch_us(), self._top_fence(key) + 1)
            grant = {"ticket": turn_id, "at": ticket.place, "higher": fence, **of_session(key)}
            try:
                if self.database.change(self.statements.grant, grant):
                    return Standing(0, fence)
            except CollisionError:
                pass  # another was granted in between: the index on `place` lets only one hold
        return Standing(1, 0)

    def renew(self, tickets: Sequence[tuple[SessionKey, str]]) -> set[str]:
        self._liveness.refresh()
        turn_ids = [turn_id for _, turn_id in tickets]
        alive: set[str] = set()
        for some in parts(turn_ids):
            if self.database.change(self.statements.renew, {"tickets": some}, urgent=True) == len(some):
                alive.update(some)
            else:
                renewed = self.database.rows(self.statements.renewed, {"tickets": some}, urgent=True)
                alive.update(row[0] for row in renewed)
        return alive

    def withdraw(self, key: SessionKey, turn_id: str) -> None:
        if not self.database.change(self.statements.withdraw_waiting, {"ticket": turn_id}):
            self.database.change(self.statements.withdraw_begun, {"ticket": turn_id})
        if self._scrub_is_due:
            # Only now: the eraser's own ticket named the session too.
            self._scrub()

    def is_held(self, key: SessionKey) -> bool:
        rows = self.database.rows(self.statements.queue, of_session(key))
        return any(row.place == HOLDS and self.lives(row) for row in rows)

    # --- For the other parts -------------------------------------------------------------------------------

    def queue(self, key: SessionKey) -> list[sa.Row[Any]]:
        """The live tickets in their order; the dead are passed over."""
        living = []
        for row in self.database.rows(self.statements.queue, of_session(key)):
            if not self.lives(row):
                self._bury(row)
                continue
            if row.too_long:
                # A clock has stepped back since: whoever died meanwhile would hold the session for as long.
                self.database.change(self.statements.shorten, {"ticket": row.turn_id})
            living.append(row)
        return living

    def lives(self, row: sa.Row[Any]) -> bool:
        """Whether the ticket of this row is in a queue, and neither its lease is over nor its process dead."""
        return row.place is not None and bool(row.leased) and self._liveness.is_alive(row.owner)

    def key_is_old(self, row: sa.Row[Any]) -> bool:
        """Whether the row's idempotency key is no longer remembered."""
        return bool(row.entered_at + self.terms.retention.key_ms <= self.now())

    def holds(self, turn_id: str) -> bool:
        """Whether the turn is the one written as its session's holder."""
        return bool(self.database.rows(self.statements.check, {"ticket": turn_id}))

    def check(self, work: sa.Connection, *turn_ids: str) -> None:
        """Nothing when these turns hold their sessions, and until the transaction's end nobody can take them away;
        `lost()` otherwise."""
        for turn_id in turn_ids:
            if work.execute(self.statements.check, {"ticket": turn_id}).fetchone() is None:
                raise lost()

    def owe_scrub(self) -> None:
        """Something was erased: it leaves the database's files too, with the next ticket that is withdrawn."""
        self._scrub_is_due = True

    def scrub(self) -> None:
        """Makes up for what is owed, and for what could not be done when it was."""
        if self._scrub_is_due or self._scrub_failed:
            self._scrub()

    def _scrub(self) -> None:
        self._scrub_is_due = False
        self._scrub_failed = not self.database.scrub()

    def _bury(self, row: sa.Row[Any]) -> None:
        """Takes a dead ticket out of its queue: without a trace if it had not begun, else it is a record in doubt."""
        # A dead owner stays dead. A dead lease is judged again by the statement, in case it was renewed in time.
        dead_owner = "" if self._liveness.is_alive(row.owner) else row.owner
        bury = self.statements.bury_waiting if row.state == WAITING else self.statements.bury_begun
        self.database.change(bury, {"ticket": row.turn_id, "at": row.place, "dead_owner": dead_owner})

    def _top_fence(self, key: SessionKey) -> int:
        return self.database.rows(self.statements.top_fence, of_session(key))[0][0] or 0
