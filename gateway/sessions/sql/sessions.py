"""The sessions themselves in SQL: which conversation each is bound to, and what clients keep with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from gateway.database.engine import CollisionError, Database
from gateway.errors import SessionExistsError, SessionNotFoundError
from gateway.liveness import uptime_us
from gateway.model import SessionKey
from gateway.sessions.sql.erasures import SqlErasures
from gateway.sessions.sql.listing import list_made, list_page
from gateway.sessions.sql.records import SqlRecords
from gateway.sessions.sql.rows import decode_session, encode_session, of_conversation, of_session, parts
from gateway.sessions.sql.schema import Tables
from gateway.sessions.sql.session_statements import EDITED, NAMED, WHOLE, SessionStatements
from gateway.sessions.sql.tickets import SqlTickets
from gateway.sessions.store import Sessions, lost
from gateway.sessions.values import Binding, Erasure, Filter, StoredPage, StoredSession

_SKEW_MS = 1000
"""Clocks followed from afar differ by milliseconds: what has expired for one process may not have for another. So a
session is dropped a little later than it is absent."""


class SqlSessions(Sessions):
    """The mappings in SQLite, PostgreSQL, MariaDB or MySQL."""

    def __init__(
        self, database: Database, tables: Tables, tickets: SqlTickets, records: SqlRecords, erasures: SqlErasures
    ) -> None:
        self.statements = SessionStatements(tables, tickets.statements, database)
        self._database = database
        self._table = tables.sessions
        self._tickets = tickets
        self._records = records
        self._erasures = erasures

    # --- Reading and editing -------------------------------------------------------------------------------

    def get(self, key: SessionKey) -> StoredSession | None:
        asked = uptime_us()
        rows = self._database.rows(self.statements.get, of_session(key))
        if not rows:
            return None
        if self._database.networked:
            self._database.heard(rows[0].tick, asked)
        return decode_session(rows[0])

    def get_many(self, keys: Collection[SessionKey]) -> Mapping[SessionKey, StoredSession]:
        rows = [row for some in _by_tenant(keys) for row in self._database.rows(self.statements.some, some)]
        return {session.key: session for session in map(decode_session, rows)}

    def page(self, wanted: Filter, limit: int, after: str | None) -> StoredPage:
        return list_page(self._database, self._table, wanted, limit, after, now=self._tickets.now())

    def made(self, tenant: str, limit: int, before: tuple[int, str] | None) -> Sequence[StoredSession]:
        return list_made(self._database, self._table, tenant, limit, before, now=self._tickets.now())

    def put(self, changes: Sequence[tuple[StoredSession | None, StoredSession]]) -> Sequence[bool]:
        # In one order for all, so that two who put the same sessions wait for each other instead of locking up.
        keys = sorted(session.key for _, session in changes)

        def put(work: sa.Connection) -> list[bool]:
            # What is found stays locked until it is replaced; two who insert the same collide.
            rows = [row for some in _by_tenant(keys) for row in work.execute(self.statements.some_locked, some)]
            there = {session.key: session for session in map(decode_session, rows)}
            fits = [there.get(session.key) == found for found, session in changes]
            fitting = [change for change, fit in zip(changes, fits, strict=True) if fit]
            made = [encode_session(replace(session, revision=0)) for found, session in fitting if found is None]
            if made:
                work.execute(self.statements.insert, sorted(made, key=lambda row: (row["tenant"], row["session_id"])))
            replaced = [_new(session, WHOLE) for found, session in fitting if found is not None]
            if replaced:
                work.execute(self.statements.replace, replaced)
            return fits

        return self._database.atomically(put) if changes else []

    def swap(self, session: StoredSession) -> bool:
        edit = {**_new(session, EDITED), "conversation": session.conversation_id, "revision": session.revision}
        # Not a second time: it would find its own trace, and call it somebody else's.
        return self._database.change(self.statements.swap, edit, repeat=False) > 0

    # --- By the turn that holds the session ----------------------------------------------------------------

    def bind(self, turn_id: str, session: StoredSession, *, replaces: Binding | None, erase_old: bool) -> StoredSession:
        if replaces is None:
            fresh = replace(session, revision=0)
            try:
                if self._database.change(self.statements.bind, {**encode_session(fresh), "ticket": turn_id}):
                    return fresh
                raise lost()
            except CollisionError:
                # Something other than a turn was faster; or this very statement, whose answer was lost.
                if (found := self.get(session.key)) is not None:
                    return found

        def bind(work: sa.Connection) -> StoredSession:
            self._tickets.check(work, turn_id)
            if replaces is not None:
                self._rebind(work, session, replaces, erase_old=erase_old)
            if (found := work.execute(self.statements.get_locked, of_session(session.key)).fetchone()) is not None:
                return decode_session(found)
            fresh = replace(session, revision=0)
            work.execute(self.statements.insert, encode_session(fresh))
            return fresh

        return self._database.atomically(bind)

    def _rebind(self, work: sa.Connection, session: StoredSession, old: Binding, *, erase_old: bool) -> None:
        follows = session.generation == old.generation + 1
        rebind = self.statements.rebind if follows else self.statements.rebind_whole
        new = {**_new(session, WHOLE), "conversation": old.conversation_id, "old_generation": old.generation}
        if not work.execute(rebind, new).rowcount:
            return
        if erase_old:
            self._erasures.add(work, self._erasure(session.key, old.conversation_id))
        if not follows:
            self._records.detach(work, [session.key])

    def rename(self, turn_id: str, other_turn_id: str, key: SessionKey, session: StoredSession) -> bool:
        def rename(work: sa.Connection) -> bool:
            self._tickets.check(work, turn_id, other_turn_id)
            found = work.execute(self.statements.get_locked, of_session(key)).fetchone()
            taken = work.execute(self.statements.get_locked, of_session(session.key)).fetchone()
            if found is None and taken is not None and taken.conversation_id == session.conversation_id:
                return True
            if found is None or found.conversation_id != session.conversation_id:
                raise SessionNotFoundError()
            if taken is not None:
                raise SessionExistsError(param="session_id")
            if found.revision != session.revision:
                return False
            new = {**_new(session, NAMED), **of_session(key)}
            work.execute(self.statements.rename, new)
            self._records.move(work, key, session.session_id)
            return True

        return self._database.atomically(rename)

    # --- The end of sessions -------------------------------------------------------------------------------

    def forget(self, turn_id: str, key: SessionKey, conversation_id: str, *, erase: bool) -> None:
        def forget(work: sa.Connection) -> None:
            self._tickets.check(work, turn_id)
            if work.execute(self.statements.drop, of_conversation(key, conversation_id)).rowcount:
                if erase:
                    self._erasures.add(work, self._erasure(key, conversation_id))
                self._records.detach(work, [key])

        self._database.atomically(forget)

    def expire(self, limit: int) -> int:
        skew_ms = _SKEW_MS if self._database.networked and self._tickets.terms.clock is None else 0
        expired = {"late": self._tickets.now() - skew_ms, "most": limit}

        def drop(work: sa.Connection) -> int:
            # Locked, so that none of them is used or edited until it is gone. A turn that enters now finds it expired.
            rows = work.execute(self.statements.deserted, expired).fetchall()
            if not rows:
                return 0
            keys = [SessionKey(row.tenant, row.session_id) for row in rows]
            if self._tickets.terms.erase_expired:
                erasures = [self._erasure(key, row.conversation_id) for row, key in zip(rows, keys, strict=True)]
                self._erasures.add(work, *erasures)
            self._records.detach(work, keys)
            these = [of_conversation(key, row.conversation_id) for row, key in zip(rows, keys, strict=True)]
            work.execute(self.statements.drop, these)
            return len(rows)

        found = self._database.rows(self.statements.expired, expired)
        for row in found:
            if row.wanted:
                # Who is dead in its queue is passed over by looking, and keeps it from going no longer.
                self._tickets.queue(SessionKey(row.tenant, row.session_id))
        return self._database.atomically(drop) if found else 0

    def _erasure(self, key: SessionKey, conversation_id: str) -> Erasure:
        return Erasure(*key, conversation_id, requested_at=self._tickets.now(), whole=False)


def _new(session: StoredSession, names: tuple[str, ...]) -> dict[str, Any]:
    """The parameters that write these columns of it."""
    values = encode_session(session)
    return {**of_session(session.key), **{f"new_{name}": values[name] for name in names}}


def _by_tenant(keys: Collection[SessionKey]) -> Iterator[dict[str, Any]]:
    """The parameters that name them, some at a time, in the order of their keys."""
    ids: defaultdict[str, list[str]] = defaultdict(list)
    for key in sorted(keys):
        ids[key.tenant].append(key.session_id)
    for tenant, of_tenant in ids.items():
        for some in parts(of_tenant):
            yield {"of_tenant": tenant, "ids": some}
