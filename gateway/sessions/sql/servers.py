"""What a server's SQL can do and SQLite's cannot: one statement, and so one round trip, for two tables."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from gateway.database.engine import Database
from gateway.liveness import Liveness, uptime_us
from gateway.model import Session, SessionKey
from gateway.sessions.base import Standing
from gateway.sessions.sql.mapping import SqlSessionManager
from gateway.sessions.sql.schema import Tables


class PostgresSessionManager(SqlSessionManager):
    """Sessions in PostgreSQL: a turn reads its session as it enters, and ends together with its use of it."""

    def __init__(self, database: Database, tables: Tables, alive: Liveness, **options: Any) -> None:
        super().__init__(database, tables, alive, **options)
        t = tables.turns.c
        entered = self._tickets.enter_free.returning(t.tenant, t.session_id).cte("entered")
        with_session = entered.outerjoin(tables.sessions, _same_session(tables.sessions, entered))
        self._enter_and_read = sa.select(*self._mapping.read).select_from(with_session)
        ended = self._records.end.returning(t.tenant, t.session_id).cte("ended")
        used = self._mapping.use.where(_same_session(tables.sessions, ended)).cte("used")
        self._end_with_use = sa.select(ended).add_cte(used)

    def _enter_free(self, ticket: dict[str, Any]) -> Standing | None:
        asked = uptime_us()
        for row in self._database.rows(self._enter_and_read, ticket):
            self._database.heard(row.tick, asked)
            return Standing(0, ticket["fence"], row)
        return None

    def _found(self, key: SessionKey, found: sa.Row[Any] | None) -> Session | None:
        if found is None:
            return self._get(key)
        return None if found.conversation_id is None else self._rows.decode(found)

    def _end_and_use(self, end: dict[str, Any], use: dict[str, Any]) -> bool:
        return bool(self._database.rows(self._end_with_use, {**end, **use}))


class MySQLSessionManager(SqlSessionManager):
    """Sessions in MariaDB or MySQL: a turn ends together with its use of the session."""

    def __init__(self, database: Database, tables: Tables, alive: Liveness, **options: Any) -> None:
        super().__init__(database, tables, alive, **options)
        is_used = sa.and_(self._mapping.is_used, _same_session(tables.sessions, tables.turns))
        self._end_with_use = self._records.end.where(is_used).values(self._mapping.used)

    def _end_and_use(self, end: dict[str, Any], use: dict[str, Any]) -> bool:
        if self._database.change(self._end_with_use, {**end, **use}):
            return True
        # The session may be gone, or have another conversation by now.
        return self._database.change(self._records.end, end) > 0


def _same_session(sessions: sa.Table, turns: sa.FromClause) -> sa.ColumnElement[bool]:
    return sa.and_(sessions.c.tenant == turns.c.tenant, sessions.c.session_id == turns.c.session_id)
