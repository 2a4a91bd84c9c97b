"""Turn records in SQL: written while a turn is open, kept for a while when it has ended, and then gone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from gateway.database.engine import Database
from gateway.errors import InvalidRequestError
from gateway.model import SessionKey, TurnRecord, TurnState
from gateway.sessions.sql.rows import (
    decode_record,
    encode_record,
    in_conversation,
    in_session,
    of_conversation,
    of_session,
    parameter,
    parts,
)
from gateway.sessions.sql.schema import Tables
from gateway.sessions.sql.ticket_statements import RUNNING, WAITING, TicketStatements
from gateway.sessions.sql.tickets import SqlTickets
from gateway.sessions.store import Records, lost
from gateway.sessions.values import Erasure, ResponseOwner, Use

_EVER = 2**63 - 1

WRITTEN = ("state", "conversation_id", "generation", "created", "recovered", "response_id", "started_at")
"""What an open turn writes of its record."""

ENDED = ("state", "response_id", "finished_at", "usage", "error_code", "undelivered", "idempotency_key")
"""What a turn's end writes."""

FORGOTTEN = (
    *("fence", "conversation_id", "generation", "response_id", "started_at", "finished_at", "usage", "error_code"),
)
"""What a bare mark lacks."""


class RecordStatements:
    """The statements on turn records, and on the erasures that need them. Built once for a store."""

    def __init__(self, tables: Tables, tickets: TicketStatements, key_ms: int) -> None:
        turns, t, e = tables.turns, tables.turns.c, tables.erasures.c
        this_conversation = t.conversation_id == parameter("conversation", t.conversation_id)
        ended = sa.and_(tickets.in_session, t.place.is_(None))

        self.write = sa.update(turns).where(tickets.holds).values(_settable(t, WRITTEN))
        """Writes the record of a turn that holds its session."""
        self.end = sa.update(turns).where(tickets.holds).values(place=None, **_settable(t, ENDED))
        """Writes the end of a turn, and frees its session."""

        session = tables.sessions.c
        last_used = parameter("new_last_used", session.last_used)
        self.used: dict[Any, sa.ColumnElement[Any]] = {
            session.last_used: sa.case((session.last_used < last_used, last_used), else_=session.last_used),
            session.expires_at: parameter("new_expires_at", session.expires_at),
            session.turns: parameter("new_turns", session.turns),
        }
        self.is_used = in_conversation(tables.sessions)
        self.use = sa.update(tables.sessions).where(self.is_used).values(self.used)
        """Writes what a turn that ended made of its session."""
        in_doubt = sa.and_(tickets.is_ticket, t.state == RUNNING, t.place.is_(None))
        self.settle = sa.update(turns).where(in_doubt).values(_settable(t, ENDED))
        """Writes the end of a turn that a crash cut off."""
        mark = sa.bindparam("mark", type_=sa.Boolean)
        self.set_undelivered = (
            sa.update(turns)
            .where(tickets.is_ticket, tickets.in_session, t.place.is_(None), t.undelivered != mark)
            .values(undelivered=mark)
        )
        """Says of an ended turn whether its reply was delivered, to one who says something new."""

        self.by_ticket = tickets.record.where(tickets.is_ticket)
        """The record of a turn."""
        before = sa.bindparam("before", type_=sa.BigInteger)
        most = sa.bindparam("most", type_=sa.Integer)
        # A turn's place in time is its fence; what never held the session has not begun.
        begun = tickets.record.where(tickets.in_session, t.state != WAITING, t.fence < before)
        self.newest = begun.order_by(t.fence.desc()).limit(most)
        """The turns of a session that have begun, newest first."""
        self.responses = (
            sa.select(t.response_id)
            .where(tickets.in_session, this_conversation, t.response_id.is_not(None))
            .limit(most)
        )
        """The stored responses of a conversation's turns."""
        some_responses = t.response_id.in_(sa.bindparam("responses", expanding=True, type_=t.response_id.type))
        self.drop_responses = (
            sa.update(turns).where(tickets.in_session, this_conversation, some_responses).values(response_id=None)
        )
        """Forgets responses that are gone at the provider."""
        this_response = t.response_id == parameter("response", t.response_id)
        self.of_response = (
            sa.select(t.session_id, t.conversation_id, t.workflow)
            .where(t.tenant == parameter("of_tenant", t.tenant), this_response)
            .limit(1)
        )
        """The session of the turn that has a response."""

        awaited = t.conversation_id.in_(sa.select(e.conversation_id).where(in_session(tables.erasures)))
        needed = sa.and_(t.conversation_id.is_not(None), awaited)
        entered_after = sa.bindparam("entered_after", type_=sa.BigInteger)
        recalled = sa.and_(t.idempotency_key.is_not(None), t.entered_at > entered_after)
        until_old = t.entered_at + sa.bindparam("key_ms", key_ms, type_=sa.BigInteger)
        self.drop = sa.delete(turns).where(ended, ~needed, ~recalled)
        """Removes a session's ended turns, but those that an erasure needs and those whose key is young."""
        self.hide = (
            sa.update(turns)
            .where(ended, t.fence.is_not(None))
            .values(fence=None, prune_at=sa.case((needed, t.prune_at), else_=until_old))
        )
        """No longer lists a session's ended turns; whose key alone is kept goes with its key."""
        erased = sa.and_(ended, sa.or_(this_conversation, sa.and_(sa.bindparam("whole", type_=sa.Boolean), ~needed)))
        bare = {t[name]: sa.null() for name in FORGOTTEN}
        self.mark = (
            sa.update(turns)
            .where(erased, recalled)
            .values({**bare, t.session_id: "", t.state: TurnState.LOST.value, t.workflow: "", t.prune_at: until_old})
            .values(created=sa.false(), recovered=sa.false(), undelivered=sa.false())
        )
        """Leaves of an erased conversation's (or whole session's) turns whose key is young a bare mark."""
        self.erase = sa.delete(turns).where(erased)
        """Removes the other turns of an erased conversation, or whole session."""
        to = parameter("to", t.session_id)
        self.move = sa.update(turns).where(ended).values(session_id=to)
        """Gives a session's ended turns to another session."""
        self.move_erasures = sa.update(tables.erasures).where(in_session(tables.erasures)).values(session_id=to)
        """Gives what is to be erased of a session to another session."""

        past = sa.and_(t.prune_at <= sa.bindparam("now", type_=sa.BigInteger), tickets.is_dead)
        self.past = sa.select(t.number).where(past).order_by(t.prune_at).limit(most)
        """The turns whose time is over."""
        some = t.number.in_(sa.bindparam("numbers", expanding=True, type_=t.number.type))
        self.prune = sa.delete(turns).where(some, past)
        """Removes turns whose time is over."""


def _settable(columns: Any, names: tuple[str, ...]) -> dict[str, sa.ColumnElement[Any]]:
    values: dict[str, sa.ColumnElement[Any]] = {name: parameter(f"new_{name}", columns[name]) for name in names}
    if "idempotency_key" in values:
        # Only ever cleared: a key that was freed meanwhile may be another turn's by now.
        cleared = values["idempotency_key"].is_(None)
        values["idempotency_key"] = sa.case((cleared, sa.null()), else_=columns.idempotency_key)
    return values


class SqlRecords(Records):
    """The records. What takes a `work` is done in the transaction of another part."""

    def __init__(self, database: Database, tables: Tables, tickets: SqlTickets) -> None:
        self.database = database
        self.statements = RecordStatements(tables, tickets.statements, tickets.terms.retention.key_ms)
        self._tickets = tickets

    # --- Of an open turn -----------------------------------------------------------------------------------

    def write(self, record: TurnRecord) -> None:
        if not self.database.change(self.statements.write, encode_record(record, WRITTEN)):
            raise lost()

    def finish(self, record: TurnRecord, use: Use | None) -> None:
        end = encode_record(record, ENDED)
        if use is None:
            ended = self.database.change(self.statements.end, end) > 0
        else:
            ended = self._end_and_use(end, _encode_use(use))
        if not ended and not self._has_ended(record):
            raise lost()

    def _end_and_use(self, end: dict[str, Any], use: dict[str, Any]) -> bool:
        """Writes a record's end, and what the turn makes of its session, or neither (False)."""

        def write(work: sa.Connection) -> bool:
            ended = work.execute(self.statements.end, end).rowcount > 0
            if ended:
                work.execute(self.statements.use, use)
            return ended

        return self.database.atomically(write)

    def _has_ended(self, record: TurnRecord) -> bool:
        """Whether it was ended by this very call before, whose answer was lost."""
        row = self._row(record.turn_id)
        return (
            row is not None and row.place is None and (row.state, row.finished_at) == (record.state, record.finished_at)
        )

    # --- To be read ----------------------------------------------------------------------------------------

    def recall(self, tenant: str, idempotency_key: str) -> TurnRecord | None:
        of_key = {"of_tenant": tenant, "key": idempotency_key}
        rows = self.database.rows(self._tickets.statements.by_key, of_key)
        return self._record(rows[0]) if rows and not self._tickets.key_is_old(rows[0]) else None

    def get(self, key: SessionKey, turn_id: str) -> TurnRecord | None:
        row = self._row(turn_id)
        return self._record(row) if row is not None and (row.tenant, row.session_id) == key else None

    def newest(self, key: SessionKey, limit: int, after: str | None) -> Sequence[TurnRecord]:
        before = _EVER
        if after is not None:
            row = self._row(after)
            if row is None or row.fence is None or (row.tenant, row.session_id) != key:
                raise InvalidRequestError("There is no such turn.", param="after")
            before = row.fence
        rows = self.database.rows(self.statements.newest, {**of_session(key), "before": before, "most": limit})
        return [decode_record(row, live=self._tickets.lives(row)) for row in rows]

    def responses(self, key: SessionKey, conversation_id: str, limit: int) -> Sequence[str]:
        these = {**of_conversation(key, conversation_id), "most": limit}
        return [row[0] for row in self.database.rows(self.statements.responses, these)]

    def drop_responses(self, key: SessionKey, conversation_id: str, response_ids: Sequence[str]) -> None:
        for some in parts(response_ids):
            these = {**of_conversation(key, conversation_id), "responses": some}
            self.database.change(self.statements.drop_responses, these)

    def of_response(self, tenant: str, response_id: str) -> ResponseOwner | None:
        rows = self.database.rows(self.statements.of_response, {"of_tenant": tenant, "response": response_id})
        return ResponseOwner(rows[0].session_id, rows[0].conversation_id, rows[0].workflow) if rows else None

    def _row(self, turn_id: str) -> sa.Row[Any] | None:
        return next(iter(self.database.rows(self.statements.by_ticket, {"ticket": turn_id})), None)

    def _record(self, row: sa.Row[Any]) -> TurnRecord | None:
        live = self._tickets.lives(row)
        return None if row.state == WAITING and not live else decode_record(row, live=live)

    # --- Of an ended turn ----------------------------------------------------------------------------------

    def settle(self, record: TurnRecord) -> bool:
        self._tickets.queue(record.key)  # a dead holder is taken out first
        return self.database.change(self.statements.settle, encode_record(record, ENDED)) > 0

    def set_undelivered(self, record: TurnRecord, undelivered: bool) -> bool:
        mark = {"ticket": record.turn_id, "mark": undelivered, **of_session(record.key)}
        # Not a second time: who claims the mark must be told once that it is theirs.
        return self.database.change(self.statements.set_undelivered, mark, repeat=False) > 0

    def detach(self, work: sa.Connection, keys: Collection[SessionKey]) -> None:
        """The mappings of these sessions are gone: their ended turns are no longer listed, and go but for those that an
        erasure which is there needs, and those that are recalled by their key."""
        if not keys:
            return
        self._tickets.owe_scrub()
        sessions = [of_session(key) for key in keys]
        work.execute(self.statements.drop, [{**session, **self._young()} for session in sessions])
        work.execute(self.statements.hide, sessions)

    def erase(self, work: sa.Connection, erasure: Erasure, *, whole: bool) -> None:
        """Removes the turns of the erasure's conversation, with `whole` all of its session by which nothing else is to
        be erased; of those that are recalled by their key a bare mark stays."""
        self._tickets.owe_scrub()
        erased = {**of_conversation(erasure.key, erasure.conversation_id), "whole": whole}
        work.execute(self.statements.mark, {**erased, **self._young()})
        work.execute(self.statements.erase, erased)

    def move(self, work: sa.Connection, key: SessionKey, session_id: str) -> None:
        """Gives the ended turns, and the erasures that need them, to another session of the tenant."""
        self._tickets.owe_scrub()
        for move in (self.statements.move, self.statements.move_erasures):
            work.execute(move, {**of_session(key), "to": session_id})

    def prune(self, limit: int) -> int:
        now = self._tickets.now()
        past = [row[0] for row in self.database.rows(self.statements.past, {"now": now, "most": limit})]
        pruned = 0
        for some in parts(past):
            pruned += self.database.change(self.statements.prune, {"numbers": some, "now": now})
        self._tickets.scrub()
        return pruned

    def _young(self) -> dict[str, int]:
        return {"entered_after": self._tickets.now() - self._tickets.terms.retention.key_ms}


def _encode_use(use: Use) -> dict[str, Any]:
    written = {"new_last_used": use.last_used, "new_expires_at": use.expires_at, "new_turns": use.turns}
    return {**written, **of_conversation(use.key, use.conversation_id)}
