"""Turn records and erasures beside the file, where they concern the mapping in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import sqlalchemy as sa

from gateway.database.engine import Database
from gateway.errors import SessionNotFoundError
from gateway.model import Status, TurnRecord
from gateway.sessions.jsonfile.file import SessionsFile
from gateway.sessions.jsonfile.snapshot import Draft
from gateway.sessions.sql.erasures import SqlErasures
from gateway.sessions.sql.records import SqlRecords
from gateway.sessions.sql.schema import Tables
from gateway.sessions.sql.tickets import SqlTickets
from gateway.sessions.values import Erasure, StoredSession, Use


class JsonRecords(SqlRecords):
    """Records whose turns end in the file, too."""

    def __init__(self, file: SessionsFile, database: Database, tables: Tables, tickets: SqlTickets) -> None:
        super().__init__(database, tables, tickets)
        self._file = file

    def finish(self, record: TurnRecord, use: Use | None) -> None:
        if use is not None:
            # Before the end, for then the turn's right to write is gone.
            self._file.edit(lambda draft: self._use(draft, record.turn_id, use))
        super().finish(record, None)

    def _use(self, draft: Draft, turn_id: str, use: Use) -> None:
        found = draft.get(use.key)
        # Whether the turn may end is for its record to say: it may have ended by this very call before.
        if found is None or found.conversation_id != use.conversation_id or not self._tickets.holds(turn_id):
            return
        last_used = max(found.last_used, use.last_used)
        draft.put(replace(found, last_used=last_used, expires_at=use.expires_at, turns=use.turns))


class JsonErasures(SqlErasures):
    """Erasures that count from when the mapping has let go of its conversation, or says that it is being erased."""

    def __init__(
        self, file: SessionsFile, database: Database, tables: Tables, tickets: SqlTickets, records: SqlRecords
    ) -> None:
        super().__init__(database, tables, tickets, records)
        self._file = file

    def begin(self, turn_id: str, erasure: Erasure) -> None:
        def begin(draft: Draft) -> None:
            def add(work: sa.Connection) -> None:
                self._tickets.check(work, turn_id)
                self.add(work, erasure)

            found = draft.get(erasure.key)
            if found is None or found.conversation_id != erasure.conversation_id:
                raise SessionNotFoundError()
            self._database.atomically(add)
            draft.put(replace(found, status=Status.ERASING))

        self._file.edit(begin)

    def claim(self, limit: int, until: int) -> Sequence[Erasure]:
        self._add_those_of_the_file()
        return [erasure for erasure in super().claim(limit, until) if self._counts(erasure)]

    def list(self, limit: int) -> Sequence[Erasure]:
        self._add_those_of_the_file()
        looked = limit
        while True:
            listed = super().list(looked)
            counting = [erasure for erasure in listed if self._counts(erasure)]
            if len(counting) >= limit or len(listed) < looked:
                return counting[:limit]
            looked *= 4

    def finish(self, erasure: Erasure) -> None:
        def finish(draft: Draft) -> None:
            def remove(work: sa.Connection) -> None:
                self.remove(work, erasure)
                self._records.erase(work, erasure, whole=whole)

            whole = erasure.whole and _is_erasing(draft.get(erasure.key), erasure)
            self._database.atomically(remove)
            if whole:
                draft.drop(erasure.key)

        self._file.edit(finish)

    def _counts(self, erasure: Erasure) -> bool:
        """Not after a crash between the two writes of a step: then the session is as it was."""
        session = self._file.read().get(erasure.key)
        return session is None or session.conversation_id != erasure.conversation_id or _is_erasing(session, erasure)

    def _add_those_of_the_file(self) -> None:
        """A person may say in the file that a session is to be erased, or take away what lies beside it."""
        said = [session for session in self._file.read().sessions() if session.status is Status.ERASING]
        if not said:
            return
        erasures = [Erasure(*each.key, each.conversation_id, each.last_used, whole=True) for each in said]

        def add(work: sa.Connection) -> None:
            for erasure in erasures:
                self.add(work, erasure)

        self._database.atomically(add)


def _is_erasing(session: StoredSession | None, erasure: Erasure) -> bool:
    erased = (Status.ERASING, erasure.conversation_id)
    return session is not None and (session.status, session.conversation_id) == erased
