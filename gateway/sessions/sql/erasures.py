"""Erasures in SQL: added with what gives a conversation up, claimed by one process at a time, and finished once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from gateway.database.engine import ATTEMPTS, Database
from gateway.errors import SessionNotFoundError
from gateway.model import SessionKey, Status
from gateway.sessions.sql.records import SqlRecords
from gateway.sessions.sql.rows import (
    ERASURE,
    decode_erasure,
    encode_erasure,
    in_conversation,
    of_conversation,
    parameter,
)
from gateway.sessions.sql.schema import Tables
from gateway.sessions.sql.tickets import SqlTickets
from gateway.sessions.store import Erasures
from gateway.sessions.values import Erasure

log = logging.getLogger("gateway.sessions")


class ErasureStatements:
    """The statements on erasures, built once for a store."""

    def __init__(self, tables: Tables) -> None:
        erasures, e, s = tables.erasures, tables.erasures.c, tables.sessions.c
        this, mapping = in_conversation(erasures), in_conversation(tables.sessions)
        columns = [e[name] for name in ERASURE]
        most = sa.bindparam("most", type_=sa.Integer)
        not_before = parameter("new_not_before", e.not_before)

        values = {name: parameter(name, e[name]) for name in ERASURE}
        single = sa.select(sa.literal_column("1").label("one")).subquery("single")
        source = sa.select(*(value.label(name) for name, value in values.items())).select_from(single)
        absent = ~sa.exists(sa.select(e.conversation_id).where(this))
        self.add = sa.insert(erasures).from_select(list(values), source.where(absent), include_defaults=False)
        """A conversation is to be erased, unless it is already."""
        self.widen = (
            sa.update(erasures)
            .where(this)
            .values(whole=sa.or_(e.whole, sa.bindparam("wider", type_=sa.Boolean)))
            .values(not_before=sa.case((e.not_before < not_before, not_before), else_=e.not_before))
        )
        """It was to be erased before: with its session, if one of the two says so, and by whoever says it last."""
        self.remove = sa.delete(erasures).where(this)
        """The conversation is erased, or is not to be."""
        self.oldest = sa.select(*columns).order_by(e.requested_at).limit(most)
        """All that is to be erased, oldest request first."""
        self.due = (
            sa.select(*columns)
            .where(e.not_before <= sa.bindparam("now", type_=sa.BigInteger))
            .order_by(e.not_before)
            .limit(most)
        )
        """What may be tried now, the longest due first."""
        self.claim = (
            sa.update(erasures)
            .where(this, e.not_before == sa.bindparam("seen", type_=sa.BigInteger))
            .values(not_before=not_before)
        )
        """Takes one that nobody has taken since it was seen."""
        self.postpone = (
            sa.update(erasures)
            .where(this)
            .values(not_before=not_before, attempts=parameter("new_attempts", e.attempts))
        )
        """When it may be tried again, and how often it failed."""
        erasing = sa.literal(Status.ERASING.value, s.status.type)
        self.begin = sa.update(tables.sessions).where(mapping).values(status=erasing, revision=s.revision + 1)
        """From now on the session takes no turns."""
        self.drop_mapping = sa.delete(tables.sessions).where(mapping, s.status == erasing)
        """Removes the session that was to be erased."""


class SqlErasures(Erasures):
    """The erasures. What takes a `work` is done in the transaction of another part."""

    def __init__(self, database: Database, tables: Tables, tickets: SqlTickets, records: SqlRecords) -> None:
        self.statements = ErasureStatements(tables)
        self._database = database
        self._tickets = tickets
        self._records = records

    def begin(self, turn_id: str, erasure: Erasure) -> None:
        def begin(work: sa.Connection) -> None:
            self._tickets.check(work, turn_id)
            if not work.execute(self.statements.begin, _this(erasure)).rowcount:
                raise SessionNotFoundError()
            self.add(work, erasure)

        self._database.atomically(begin)

    def claim(self, limit: int, until: int) -> Sequence[Erasure]:
        now = self._tickets.now()
        claimed: list[Erasure] = []
        for _ in range(ATTEMPTS):
            wanted = limit - len(claimed)
            due = self._database.rows(self.statements.due, {"now": now, "most": wanted}) if wanted else []
            if not due:
                break
            # Somebody else may be at the same ones: each is one claimer's, who looks on for as many as are left.
            taken = _decode_all([row for row in due if self._claim(row, until)])
            claimed += [replace(erasure, not_before=until) for erasure in taken]
        return claimed

    def _claim(self, row: Any, until: int) -> bool:
        seen = {**_this(row), "seen": row.not_before, "new_not_before": until}
        # Not a second time: it would find its own trace, and take it for somebody else's.
        return self._database.change(self.statements.claim, seen, repeat=False) > 0

    def postpone(self, erasure: Erasure) -> None:
        again = {"new_not_before": erasure.not_before, "new_attempts": erasure.attempts}
        self._database.change(self.statements.postpone, {**_this(erasure), **again})

    def list(self, limit: int) -> Sequence[Erasure]:
        return _decode_all(self._database.rows(self.statements.oldest, {"most": limit}))

    def finish(self, erasure: Erasure) -> None:
        def finish(work: sa.Connection) -> None:
            whole = erasure.whole and work.execute(self.statements.drop_mapping, _this(erasure)).rowcount > 0
            self.remove(work, erasure)
            self._records.erase(work, erasure, whole=whole)

        self._database.atomically(finish)

    def add(self, work: sa.Connection, *erasures: Erasure) -> None:
        """Adds them; one that is there already becomes `whole` if the new one is."""
        these = [_this(erasure) for erasure in erasures]
        wider = [{"wider": erasure.whole, "new_not_before": erasure.not_before} for erasure in erasures]
        work.execute(self.statements.widen, [{**this, **wide} for this, wide in zip(these, wider, strict=True)])
        added = [{**this, **encode_erasure(erasure)} for this, erasure in zip(these, erasures, strict=True)]
        work.execute(self.statements.add, added)

    def remove(self, work: sa.Connection, erasure: Erasure) -> None:
        """Removes it, and nothing else."""
        work.execute(self.statements.remove, _this(erasure))


def _this(erasure: Any) -> dict[str, Any]:
    """Which one it is."""
    return of_conversation(SessionKey(erasure.tenant, erasure.session_id), erasure.conversation_id)


def _decode_all(rows: Sequence[Any]) -> list[Erasure]:
    decoded = []
    for row in rows:
        try:
            decoded.append(decode_erasure(row))
        except ValueError:
            log.warning("an erasure of session %r cannot be read, and waits until it can", row.session_id)
    return decoded
