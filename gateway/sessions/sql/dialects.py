"""What a server's SQL can do and SQLite's cannot: one statement, and so one round trip, for two tables."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from gateway.database.engine import Database
from gateway.liveness import Liveness, uptime_us
from gateway.sessions.sql.records import SqlRecords
from gateway.sessions.sql.rows import SESSION, decode_session
from gateway.sessions.sql.schema import Tables
from gateway.sessions.sql.tickets import SqlTickets
from gateway.sessions.values import Standing, Terms


class PostgresTickets(SqlTickets):
    """A turn reads its session as it enters."""

    def __init__(self, database: Database, tables: Tables, liveness: Liveness, terms: Terms) -> None:
        super().__init__(database, tables, liveness, terms)
        t, s = tables.turns.c, tables.sessions.c
        entered = self.statements.enter_free.returning(t.tenant, t.session_id).cte("entered")
        with_session = entered.outerjoin(tables.sessions, _same_session(tables.sessions, entered))
        self.enter_and_read = sa.select(*(s[name] for name in SESSION), database.tick.label("tick")).select_from(
            with_session
        )
        """Enters a session in whose queue nobody is, holds it at once, and reads it."""

    def _enter_free(self, ticket: dict[str, Any]) -> Standing | None:
        asked = uptime_us()
        for row in self.database.rows(self.enter_and_read, ticket):
            self.database.heard(row.tick, asked)
            session = None if row.conversation_id is None else decode_session(row)
            return Standing(0, ticket["fence"], is_read=True, session=session)
        return None


class PostgresRecords(SqlRecords):
    """A turn ends together with its use of the session."""

    def __init__(self, database: Database, tables: Tables, tickets: SqlTickets) -> None:
        super().__init__(database, tables, tickets)
        t = tables.turns.c
        ended = self.statements.end.returning(t.tenant, t.session_id).cte("ended")
        used = self.statements.use.where(_same_session(tables.sessions, ended)).cte("used")
        self.end_and_use = sa.select(ended).add_cte(used)
        """Writes the end of a turn, frees its session, and writes what the turn made of it."""

    def _end_and_use(self, end: dict[str, Any], use: dict[str, Any]) -> bool:
        return bool(self.database.rows(self.end_and_use, {**end, **use}))


class MySQLRecords(SqlRecords):
    """A turn ends together with its use of the session."""

    def __init__(self, database: Database, tables: Tables, tickets: SqlTickets) -> None:
        super().__init__(database, tables, tickets)
        is_used = sa.and_(self.statements.is_used, _same_session(tables.sessions, tables.turns))
        self.end_and_use = self.statements.end.where(is_used).values(self.statements.used)
        """Writes the end of a turn, frees its session, and writes what the turn made of it, if it is still there."""

    def _end_and_use(self, end: dict[str, Any], use: dict[str, Any]) -> bool:
        if self.database.change(self.end_and_use, {**end, **use}):
            return True
        # The session may be gone, or have another conversation by now.
        return self.database.change(self.statements.end, end) > 0


def _same_session(sessions: sa.Table, turns: sa.FromClause) -> sa.ColumnElement[bool]:
    return sa.and_(sessions.c.tenant == turns.c.tenant, sessions.c.session_id == turns.c.session_id)
