"""The mappings in the file, edited together with what SQLite beside it knows of their turns.

A step that concerns both writes first what may be there without the other. An erasure is written before the mapping
lets go of its conversation, and does not count until it has; records go before their mapping does. So a crash in
between leaves a session as it was, never a conversation that nobody remembers to erase.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import islice

import sqlalchemy as sa

from gateway.database.engine import Database
from gateway.errors import SessionExistsError, SessionNotFoundError
from gateway.model import SessionKey, Status
from gateway.sessions.cursor import Cursor, parse_cursor
from gateway.sessions.jsonfile.file import SessionsFile
from gateway.sessions.jsonfile.snapshot import Draft
from gateway.sessions.sql.erasures import SqlErasures
from gateway.sessions.sql.records import SqlRecords
from gateway.sessions.sql.tickets import SqlTickets
from gateway.sessions.store import Sessions, lost
from gateway.sessions.values import Binding, Erasure, Filter, StoredPage, StoredSession


class JsonSessions(Sessions):
    """Sessions in a JSON file, for any number of processes of one host."""

    def __init__(
        self, file: SessionsFile, database: Database, tickets: SqlTickets, records: SqlRecords, erasures: SqlErasures
    ) -> None:
        self._file = file
        self._database = database
        self._tickets = tickets
        self._records = records
        self._erasures = erasures

    # --- Reading and editing -------------------------------------------------------------------------------

    def get(self, key: SessionKey) -> StoredSession | None:
        return self._file.read().get(key)

    def get_many(self, keys: Collection[SessionKey]) -> Mapping[SessionKey, StoredSession]:
        snapshot = self._file.read()
        found = ((key, snapshot.get(key)) for key in keys)
        return {key: session for key, session in found if session is not None}

    def page(self, wanted: Filter, limit: int, after: str | None) -> StoredPage:
        now = self._tickets.now()
        behind = parse_cursor(after) if after is not None else None
        newest = self._file.read().newest(behind=behind, used_before=wanted.used_before)
        matching = (session for session in newest if wanted.passes(session) and not session.is_over(now))
        found = list(islice(matching, limit + 1))
        page = found[:limit]
        if len(found) <= limit:
            return StoredPage(page, None)
        return StoredPage(page, Cursor.of(page[-1]).encode())

    def made(self, tenant: str, limit: int, before: tuple[int, str] | None) -> Sequence[StoredSession]:
        now = self._tickets.now()
        behind = before if before is not None else (math.inf, "")
        found = (
            session
            for session in self._file.read().sessions()
            if session.tenant == tenant
            and (session.created_at, session.session_id) < behind
            and not session.is_over(now)
        )
        return heapq.nlargest(limit, found, key=lambda session: (session.created_at, session.session_id))

    def put(self, changes: Sequence[tuple[StoredSession | None, StoredSession]]) -> Sequence[bool]:
        def put(draft: Draft) -> list[bool]:
            return [_put(draft, found, session) for found, session in changes]

        return self._file.edit(put) if changes else []

    def swap(self, session: StoredSession) -> bool:
        def swap(draft: Draft) -> bool:
            found = draft.get(session.key)
            if found is None or (found.revision, found.conversation_id) != (session.revision, session.conversation_id):
                return False
            draft.put(replace(found, data=session.data, metadata=session.metadata, status=session.status))
            return True

        return self._file.edit(swap)

    # --- By the turn that holds the session ----------------------------------------------------------------

    def bind(self, turn_id: str, session: StoredSession, *, replaces: Binding | None, erase_old: bool) -> StoredSession:
        def bind(draft: Draft) -> StoredSession:
            if not self._tickets.holds(turn_id):
                raise lost()
            found, bound = draft.get(session.key), session
            if found is not None:
                if found.binding != replaces:
                    return found
                follows = session.generation == replaces.generation + 1
                if follows:
                    bound = replace(found, conversation_id=session.conversation_id, generation=session.generation)

                def let_go(work: sa.Connection) -> None:
                    self._let_go(work, found, erase=erase_old)
                    if not follows:
                        self._records.detach(work, [found.key])

                self._database.atomically(let_go)
            draft.put(bound)
            return bound

        return self._file.edit(bind)

    def rename(self, turn_id: str, other_turn_id: str, key: SessionKey, session: StoredSession) -> bool:
        def rename(draft: Draft) -> bool:
            def move(work: sa.Connection) -> None:
                self._tickets.check(work, turn_id, other_turn_id)
                self._records.move(work, key, session.session_id)

            found, taken = draft.get(key), draft.get(session.key)
            if found is None and taken is not None and taken.conversation_id == session.conversation_id:
                return True
            if found is None or found.conversation_id != session.conversation_id:
                raise SessionNotFoundError()
            if taken is not None:
                raise SessionExistsError(param="session_id")
            if found.revision != session.revision:
                return False
            self._database.atomically(move)
            renamed = replace(found, session_id=session.session_id, user_id=session.user_id)
            draft.move(key, replace(renamed, data=session.data, metadata=session.metadata))
            return True

        return self._file.edit(rename)

    def forget(self, turn_id: str, key: SessionKey, conversation_id: str, *, erase: bool) -> None:
        def forget(draft: Draft) -> None:
            found = draft.get(key)
            bound = found if found is not None and found.conversation_id == conversation_id else None

            def let_go(work: sa.Connection) -> None:
                self._tickets.check(work, turn_id)
                if bound is not None:
                    self._let_go(work, bound, erase=erase)
                    self._records.detach(work, [key])

            self._database.atomically(let_go)
            if bound is not None:
                draft.drop(key)

        self._file.edit(forget)

    def _let_go(self, work: sa.Connection, session: StoredSession, *, erase: bool) -> None:
        """The conversation of a mapping that is about to go is to be erased, or expressly not."""
        erasure = Erasure(*session.key, session.conversation_id, requested_at=self._tickets.now(), whole=False)
        if erase:
            self._erasures.add(work, erasure)
        else:
            # One that never came to count, because of a crash, must not begin to count now.
            self._erasures.remove(work, erasure)

    # --- The end of sessions -------------------------------------------------------------------------------

    def expire(self, limit: int) -> int:
        erase = self._tickets.terms.erase_expired

        def expire(draft: Draft) -> int:
            due = (session for session in draft.sessions() if self._is_due(session))
            # Whoever is dead in its queue is passed over by looking.
            expired = list(islice((session for session in due if not self._tickets.queue(session.key)), limit))

            def let_go(work: sa.Connection) -> None:
                for session in expired:
                    self._let_go(work, session, erase=erase)
                self._records.detach(work, [session.key for session in expired])

            self._database.atomically(let_go)
            for session in expired:
                draft.drop(session.key)
            return len(expired)

        if not any(self._is_due(session) for session in self._file.read().sessions()):
            return 0
        return self._file.edit(expire)

    def _is_due(self, session: StoredSession) -> bool:
        return session.is_over(self._tickets.now()) and session.status is not Status.ERASING


def _put(draft: Draft, found: StoredSession | None, session: StoredSession) -> bool:
    if draft.get(session.key) != found:
        return False
    draft.put(session)
    return True
