"""The store of a JSON file: the mapping in the file, tickets and turn records in SQLite beside it.

A step that concerns both writes first what may be there without the other. An erasure is written before the mapping
lets go of its conversation, and does not count until it has; records go before their mapping does. So a crash in
between leaves a session as it was, never a conversation that nobody remembers to erase.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import sqlalchemy as sa

from gateway.database.engine import Database
from gateway.errors import SessionExistsError, SessionNotFoundError, StoreUnavailableError
from gateway.liveness import Liveness
from gateway.model import Session, SessionKey, Status, TurnRecord
from gateway.sessions.base import Erasure, Filter, Page
from gateway.sessions.jsonfile.replacing import may_write
from gateway.sessions.jsonfile.sessions_file import SessionsFile
from gateway.sessions.jsonfile.snapshot import Draft
from gateway.sessions.placing import Placing, place
from gateway.sessions.sql.ledger import SqlLedger, of_session
from gateway.sessions.sql.listing import Cursor, parse_cursor
from gateway.sessions.sql.schema import Tables
from gateway.sessions.values import edited


class JsonFileSessionManager(SqlLedger):
    """Sessions in a JSON file, for any number of processes of one host."""

    def __init__(self, file: SessionsFile, database: Database, tables: Tables, alive: Liveness, **options: Any) -> None:
        super().__init__(database, tables, alive, **options)
        self._file = file

    def ping(self) -> None:
        self._file.read()
        if not may_write(self._file.folder):
            raise StoreUnavailableError(f"{self._file.folder} cannot be written.", retry_after=1)
        super().ping()

    def close(self) -> None:
        super().close()
        self._file.close()

    # --- Reading and editing -------------------------------------------------------------------------------

    def _get(self, key: SessionKey) -> Session | None:
        return self._file.read().get(key)

    def _list(self, wanted: Filter, limit: int, after: str | None) -> Page:
        now = self.now()
        behind = parse_cursor(after) if after is not None else None
        newest = self._file.read().newest(behind=behind, used_before=wanted.used_before)
        found = list(
            islice(
                (
                    session
                    for session in newest
                    if (session.expires_at is None or session.expires_at > now)
                    and wanted.tenant in (None, session.tenant)
                    and wanted.user_id in (None, session.user_id)
                    and wanted.status in (None, session.status)
                    and session.session_id.startswith(wanted.prefix)
                ),
                limit + 1,
            )
        )
        page = found[:limit]
        if len(found) <= limit:
            return Page(page, None)
        return Page(page, Cursor(page[-1].last_used, page[-1].session_id, page[-1].tenant).encode())

    def _made(self, tenant: str, limit: int, before: Session | None) -> Sequence[Session]:
        now = self.now()
        behind = (before.created_at, before.session_id) if before is not None else (math.inf, "")
        found = (
            session
            for session in self._file.read().sessions()
            if session.tenant == tenant
            and (session.created_at, session.session_id) < behind
            and (session.expires_at is None or session.expires_at > now)
        )
        return heapq.nlargest(limit, found, key=lambda session: (session.created_at, session.session_id))

    def _swap(self, old: Session, new: Session) -> bool:
        def swap(draft: Draft) -> bool:
            found = draft.get(old.key)
            if found is None or edited(found) != edited(old) or found.conversation_id != old.conversation_id:
                return False
            draft.put(replace(found, data=new.data, metadata=new.metadata, status=new.status, user_id=new.user_id))
            return True

        return self._file.edit(swap)

    def _put(self, sessions: Sequence[Session], replace: bool) -> Sequence[Placing]:
        def put(draft: Draft) -> list[Placing]:
            placings = [place(draft.get(session.key), session, replace=replace) for session in sessions]
            for session, placing in zip(sessions, placings, strict=True):
                if placing.writes:
                    draft.put(session)
            return placings

        return self._file.edit(put)

    # --- By the turn that holds the session ----------------------------------------------------------------

    def _bind(self, turn_id: str, session: Session, *, replaces: Session | None, erase_old: bool) -> Session:
        def bind(draft: Draft) -> Session:
            if not self._holds(turn_id):
                raise self._lost(turn_id)
            found, bound = draft.get(session.key), session
            if found is not None:
                if replaces is None or _generation(found) != _generation(replaces):
                    return found
                if session.generation > replaces.generation:  # otherwise it expired, and starts afresh
                    bound = replace(found, conversation_id=session.conversation_id, generation=session.generation)
                self._database.atomically(lambda work: self._let_go(work, found, erase=erase_old))
            draft.put(bound)
            return bound

        return self._file.edit(bind)

    def _finish(self, record: TurnRecord, session: Session | None) -> None:
        if session is not None:
            used = session

            def touch(draft: Draft) -> None:
                found = draft.get(used.key)
                # Whether the turn may end is for its record to say: it may have ended by this very call before.
                if found is None or found.conversation_id != used.conversation_id or not self._holds(record.turn_id):
                    return
                last_used = max(found.last_used, used.last_used)
                draft.put(replace(found, last_used=last_used, expires_at=used.expires_at, turns=used.turns))

            # Before the end, for then the turn's right to write is gone.
            self._file.edit(touch)
        self._end(record)

    def _rename(self, turn_id: str, other_turn_id: str, old: Session, new: Session) -> None:
        def rename(draft: Draft) -> None:
            def move(work: sa.Connection) -> None:
                self._check(work, turn_id, other_turn_id)
                self._move_turns(work, old.key, new.session_id)

            found = draft.get(old.key)
            if found is None or found.conversation_id != old.conversation_id:
                raise SessionNotFoundError()
            if draft.get(new.key) is not None:
                raise SessionExistsError(param="session_id")
            self._database.atomically(move)
            draft.move(old.key, replace(found, session_id=new.session_id, user_id=new.user_id))

        self._file.edit(rename)

    # --- The end of sessions -------------------------------------------------------------------------------

    def _begin_erasure(self, turn_id: str, session: Session, erasure: Erasure) -> None:
        def mark(draft: Draft) -> None:
            def add(work: sa.Connection) -> None:
                self._check(work, turn_id)
                self._add_erasure(work, erasure)

            found = draft.get(session.key)
            if found is None or found.conversation_id != session.conversation_id:
                raise SessionNotFoundError()
            self._database.atomically(add)
            draft.put(replace(found, status=Status.ERASING))

        self._file.edit(mark)

    def _erasures(self, limit: int) -> Sequence[Erasure]:
        """Those in SQLite that have begun to count, and those of which only the file knows."""
        sessions = self._file.read()
        looked = limit
        while True:
            listed = super()._erasures(looked)
            begun = []
            for erasure in listed:
                session = sessions.get(SessionKey(erasure.tenant, erasure.session_id))
                bound = session is not None and session.conversation_id == erasure.conversation_id
                if not bound or (session is not None and session.status is Status.ERASING):
                    begun.append(erasure)
            if len(begun) >= limit or len(listed) < looked:
                break
            looked *= 4
        known = {(erasure.tenant, erasure.session_id, erasure.conversation_id) for erasure in begun}
        for session in sessions.sessions():
            if session.status is Status.ERASING and (*session.key, session.conversation_id) not in known:
                begun.append(Erasure(*session.key, session.conversation_id, session.last_used, whole=True))
        return sorted(begun, key=lambda erasure: erasure.requested_at)[:limit]

    def _finish_erasure(self, erasure: Erasure) -> None:
        def finish(draft: Draft) -> None:
            self._database.atomically(lambda work: self._remove_erasure(work, erasure))
            key = SessionKey(erasure.tenant, erasure.session_id)
            found = draft.get(key)
            if found is None or (found.status, found.conversation_id) != (Status.ERASING, erasure.conversation_id):
                return
            if erasure.whole:
                draft.drop(key)

        self._file.edit(finish)

    def _forget(self, turn_id: str, session: Session, *, erase: bool) -> None:
        def forget(draft: Draft) -> None:
            def let_go(work: sa.Connection) -> None:
                self._check(work, turn_id)
                self._let_go(work, session, erase=erase)
                if not erase:
                    self._drop_turns(work, session.key)

            self._database.atomically(let_go)
            found = draft.get(session.key)
            if found is not None and found.conversation_id == session.conversation_id:
                draft.drop(session.key)

        self._file.edit(forget)

    def _let_go(self, work: sa.Connection, session: Session, *, erase: bool) -> None:
        """The conversation of a mapping that is about to go is to be erased, or expressly not."""
        key, conversation_id = session.key, session.conversation_id
        if erase:
            self._add_erasure(work, Erasure(*key, conversation_id, requested_at=self.now(), whole=False))
        else:
            # One that never came to count, because of a crash, must not begin to count now.
            work.execute(self._records.remove_erasure, {**of_session(key), "conversation": conversation_id})

    def _expire(self, limit: int) -> int:
        def expire(draft: Draft) -> int:
            due = (session for session in draft.sessions() if self._due(session))
            expired = list(islice((session for session in due if not self._queue(session.key)), limit))

            def let_go(work: sa.Connection) -> None:
                for session in expired:
                    self._let_go(work, session, erase=self.erase_expired)
                    if not self.erase_expired:
                        self._drop_turns(work, session.key)

            self._database.atomically(let_go)
            for session in expired:
                draft.drop(session.key)
            return len(expired)

        dropped = 0
        if any(self._due(session) for session in self._file.read().sessions()):
            dropped = self._file.edit(expire)
        self._prune(limit, self._existing)
        return dropped

    def _due(self, session: Session) -> bool:
        return self._expired(session) and session.status is not Status.ERASING

    def _existing(self, keys: Collection[SessionKey]) -> Collection[SessionKey]:
        sessions = self._file.read()
        return {key for key in keys if sessions.get(key) is not None}

    def _holds(self, turn_id: str) -> bool:
        return bool(self._database.rows(self._tickets.check, {"ticket": turn_id}))


def _generation(session: Session) -> tuple[str, int]:
    return session.conversation_id, session.generation
