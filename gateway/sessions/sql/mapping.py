"""The sessions themselves: which conversation each is bound to, and what clients keep with it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import sqlalchemy as sa

from gateway.database.engine import CollisionError, Database
from gateway.errors import SessionNotFoundError
from gateway.liveness import Liveness, uptime_us
from gateway.model import Session, SessionKey, Status, TurnRecord
from gateway.sessions.base import Erasure, Filter, Page
from gateway.sessions.placing import Placing
from gateway.sessions.sql.ledger import SqlLedger, of_session
from gateway.sessions.sql.listing import list_made, list_page
from gateway.sessions.sql.putting import Putting
from gateway.sessions.sql.records import ENDED, encode_record
from gateway.sessions.sql.rows import COLUMNS, Rows
from gateway.sessions.sql.schema import Tables
from gateway.sessions.sql.tickets import HOLDS, Tickets, parameter
from gateway.sessions.values import edited

_SKEW_MS = 1000
"""Clocks followed from afar differ by milliseconds: what has expired for one process may not have for another. So a
session is dropped a little later than it is absent."""


class SqlSessionManager(SqlLedger):
    """Sessions in SQLite, PostgreSQL, MariaDB or MySQL."""

    def __init__(
        self, database: Database, tables: Tables, alive: Liveness, *, shared: bool = True, **options: Any
    ) -> None:
        self._sessions = tables.sessions
        super().__init__(database, tables, alive, **options)
        self._mapping = Mapping(tables, self._tickets, database)
        self._rows = Rows(self._sealing)
        self._putting = Putting(tables.sessions, self._rows)
        self.networked = database.networked
        self.shared = shared

    def _get(self, key: SessionKey) -> Session | None:
        asked = uptime_us()
        rows = self._database.rows(self._mapping.get, of_session(key))
        if not rows:
            return None
        if self._database.networked:
            self._database.heard(rows[0].tick, asked)
        return self._rows.decode(rows[0])

    def _list(self, wanted: Filter, limit: int, after: str | None) -> Page:
        return list_page(self._database, self._sessions, self._rows, wanted, limit, after, now=self.now())

    def _made(self, tenant: str, limit: int, before: Session | None) -> Sequence[Session]:
        return list_made(self._database, self._sessions, self._rows, tenant, limit, before, now=self.now())

    def _swap(self, old: Session, new: Session) -> bool:
        then, now = self._rows.encode(old), self._rows.encode(new)
        if not self._sealing.active and self._exchange(old, then, now):
            return True
        # What is sealed twice makes two texts, and so may a hand: then what is there is compared by what it says, and
        # must be there still.
        rows = self._database.rows(self._mapping.get, of_session(old.key))
        if not rows or edited(self._rows.decode(rows[0])) != edited(old):
            return False
        return self._exchange(old, {**then, "data": rows[0].data, "metadata": rows[0].metadata}, now)

    def _exchange(self, old: Session, then: dict[str, Any], now: dict[str, Any]) -> bool:
        edit = {f"old_{name}": then[name] for name in EDITED} | {f"new_{name}": now[name] for name in EDITED}
        edit |= {**of_session(old.key), "conversation": old.conversation_id}
        # Not repeated: after an edit that went through unheard, a second one would find its own trace and call it
        # somebody else's.
        return self._database.change(self._mapping.swap, edit, repeat=False) > 0

    def _put(self, sessions: Sequence[Session], replace: bool) -> Sequence[Placing]:
        return self._database.atomically(lambda work: self._putting.put(work, sessions, replace=replace))

    # --- By the turn that holds the session ----------------------------------------------------------------

    def _bind(self, turn_id: str, session: Session, *, replaces: Session | None, erase_old: bool) -> Session:
        if replaces is None:
            try:
                if self._database.change(self._mapping.bind, {**self._rows.encode(session), "ticket": turn_id}):
                    return session
                raise self._lost(turn_id)
            except CollisionError:
                # Something other than a turn was faster; or this very statement, whose answer was lost.
                found = self._get(session.key)
                if found is not None:
                    return found
        return self._database.atomically(lambda work: self._rebind(work, turn_id, session, replaces, erase_old))

    def _rebind(
        self, work: sa.Connection, turn_id: str, session: Session, replaces: Session | None, erase_old: bool
    ) -> Session:
        self._check(work, turn_id)
        if replaces is not None:
            old = {"conversation": replaces.conversation_id, "old_generation": replaces.generation}
            values = self._rows.encode(session)
            if session.generation > replaces.generation:
                # A new generation leaves alone what clients may be editing; a session that expired starts afresh.
                values = {name: values[name] for name in ("conversation_id", "generation")}
            replaced = work.execute(self._mapping.rebind, {**of_session(session.key), **old, **values}).rowcount
            if replaced and erase_old:
                key, old_id = session.key, replaces.conversation_id
                self._add_erasure(work, Erasure(*key, old_id, requested_at=self.now(), whole=False))
        found = work.execute(self._mapping.get, of_session(session.key)).fetchone()
        if found is not None:
            return self._rows.decode(found)
        work.execute(self._mapping.insert, self._rows.encode(session))
        return session

    def _finish(self, record: TurnRecord, session: Session | None) -> None:
        if session is None:
            self._end(record)
            return
        use = {
            "new_last_used": session.last_used,
            "new_expires_at": session.expires_at,
            "new_turns": session.turns,
            "conversation": session.conversation_id,
            **of_session(session.key),
        }
        if not self._end_and_use(encode_record(record, ENDED), use):
            self._check_ended(record)

    def _end_and_use(self, end: dict[str, Any], use: dict[str, Any]) -> bool:
        """Writes a record's end, and what the turn makes of its session, or neither (False)."""

        def write(work: sa.Connection) -> bool:
            ended = work.execute(self._records.end, end).rowcount > 0
            if ended:
                work.execute(self._mapping.use, use)
            return ended

        return self._database.atomically(write)

    def _rename(self, turn_id: str, other_turn_id: str, old: Session, new: Session) -> None:
        def move(work: sa.Connection) -> None:
            self._check(work, turn_id, other_turn_id)
            row = work.execute(self._mapping.get_locked, of_session(old.key)).fetchone()
            if row is None or row.conversation_id != old.conversation_id:
                raise SessionNotFoundError()
            # What is sealed names its session.
            texts = self._rows.encode_texts(replace(self._rows.decode(row), session_id=new.session_id))
            change = {"to": new.session_id, "new_user_id": new.user_id}
            change |= {f"new_{name}": text for name, text in texts.items()}
            work.execute(self._mapping.rename, {**of_session(old.key), **change})
            self._move_turns(work, old.key, new.session_id)

        self._database.atomically(move, repeat=False)

    # --- The end of sessions -------------------------------------------------------------------------------

    def _begin_erasure(self, turn_id: str, session: Session, erasure: Erasure) -> None:
        def mark(work: sa.Connection) -> None:
            self._check(work, turn_id)
            change = {"conversation": session.conversation_id, "new_status": Status.ERASING.value}
            if not work.execute(self._mapping.set_status, {**of_session(session.key), **change}).rowcount:
                raise SessionNotFoundError()
            self._add_erasure(work, erasure)

        self._database.atomically(mark)

    def _finish_erasure(self, erasure: Erasure) -> None:
        def remove(work: sa.Connection) -> None:
            self._remove_erasure(work, erasure)
            if erasure.whole:
                of_mapping = {
                    **of_session(SessionKey(erasure.tenant, erasure.session_id)),
                    "conversation": erasure.conversation_id,
                }
                work.execute(self._mapping.drop_erased, of_mapping)

        self._database.atomically(remove)

    def _forget(self, turn_id: str, session: Session, *, erase: bool) -> None:
        def forget(work: sa.Connection) -> None:
            self._check(work, turn_id)
            work.execute(self._mapping.drop, {**of_session(session.key), "conversation": session.conversation_id})
            self._forgotten(work, session.key, session.conversation_id, erase=erase)

        self._database.atomically(forget)

    def _forgotten(self, work: sa.Connection, key: SessionKey, conversation_id: str, *, erase: bool) -> None:
        """What goes, or is to go, with a mapping that was removed."""
        if erase:
            self._add_erasure(work, Erasure(*key, conversation_id, requested_at=self.now(), whole=False))
        else:
            self._drop_turns(work, key)

    def _expire(self, limit: int) -> int:
        late = self.now() - (_SKEW_MS if self._database.networked and self._clock is None else 0)
        expired = self._database.rows(self._mapping.expired, {"late": late, "most": limit})
        dropped = sum(self._database.atomically(partial(self._drop, row=row, late=late)) for row in expired)
        self._prune(limit, self._existing)
        return dropped

    def _drop(self, work: sa.Connection, row: Any, late: int) -> bool:
        key = SessionKey(row.tenant, row.session_id)
        # Judged again by the statement: a turn may have come, and renewed it, since it was found.
        if not work.execute(self._mapping.drop_expired, {**of_session(key), "late": late}).rowcount:
            return False
        self._forgotten(work, key, row.conversation_id, erase=self.erase_expired)
        return True

    def _existing(self, keys: Collection[SessionKey]) -> Collection[SessionKey]:
        rows = self._database.rows(self._mapping.existing, {"ids": sorted({key.session_id for key in keys})})
        return {SessionKey(row.tenant, row.session_id) for row in rows}


EDITED = ("data", "metadata", "status", "user_id")


class Mapping:
    """The statements on sessions, built once for a store."""

    def __init__(self, tables: Tables, tickets: Tickets, database: Database) -> None:
        sessions, s, t = tables.sessions, tables.sessions.c, tables.turns.c
        this = sa.and_(
            s.tenant == parameter("of_tenant", s.tenant), s.session_id == parameter("of_session", s.session_id)
        )
        same = sa.and_(this, s.conversation_id == parameter("conversation", s.conversation_id))
        columns = [s[name] for name in COLUMNS]
        # The database's time comes along with every session, so that its clock is followed for nothing.
        clock = [database.tick.label("tick")] if database.networked else []
        self.read = [*columns, *clock]
        self.get = sa.select(*self.read).where(this)
        self.get_locked = sa.select(*columns).where(this).with_for_update()

        last_used = parameter("new_last_used", s.last_used)
        self.used: dict[Any, sa.ColumnElement[Any]] = {
            s.last_used: sa.case((s.last_used < last_used, last_used), else_=s.last_used),
            s.expires_at: parameter("new_expires_at", s.expires_at),
            s.turns: parameter("new_turns", s.turns),
        }
        self.is_used = same
        self.use = sa.update(sessions).where(same).values(self.used)
        values = {name: parameter(name, s[name]) for name in COLUMNS}
        # The ticket's row stays locked until the mapping is there, so that nobody else is granted in between.
        bound = sa.select(*(value.label(name) for name, value in values.items())).select_from(tables.turns)
        self.bind = sa.insert(sessions).from_select(
            list(values), bound.where(tickets.holds).with_for_update(), include_defaults=False
        )
        self.insert = sa.insert(sessions)
        old = sa.and_(same, s.generation == parameter("old_generation", s.generation))
        self.rebind = sa.update(sessions).where(old)  # sets the columns that it is given

        self.swap = (
            sa.update(sessions)
            .where(same, *(s[name].is_not_distinct_from(parameter(f"old_{name}", s[name])) for name in EDITED))
            .values({name: parameter(f"new_{name}", s[name]) for name in EDITED})
        )
        self.set_status = sa.update(sessions).where(same).values(status=parameter("new_status", s.status))
        self.rename = (
            sa.update(sessions)
            .where(this)
            .values(
                {"session_id": parameter("to", s.session_id)}
                | {name: parameter(f"new_{name}", s[name]) for name in ("user_id", "data", "metadata")}
            )
        )
        self.drop = sa.delete(sessions).where(same)
        self.drop_erased = self.drop.where(s.status == Status.ERASING.value)

        gone = sa.and_(
            s.expires_at <= sa.bindparam("late", type_=sa.BigInteger),
            s.status != Status.ERASING.value,
            ~sa.exists(
                sa.select(t.turn_id).where(
                    t.tenant == s.tenant, t.session_id == s.session_id, t.place >= HOLDS, tickets.leased
                )
            ),
        )
        self.expired = (
            sa.select(s.tenant, s.session_id, s.conversation_id)
            .where(gone)
            .order_by(s.expires_at)
            .limit(sa.bindparam("most", type_=sa.Integer))
        )
        self.drop_expired = sa.delete(sessions).where(this, gone)
        ids = sa.bindparam("ids", expanding=True, type_=s.session_id.type)
        self.existing = sa.select(s.tenant, s.session_id).where(s.session_id.in_(ids))
