"""A store in SQL: its parts, and what holds them together."""

from __future__ import annotations

import sqlalchemy as sa

from gateway.database.engine import Database
from gateway.errors import StoreUnavailableError
from gateway.liveness import Liveness
from gateway.sessions.sql.dialects import MySQLRecords, PostgresRecords, PostgresTickets
from gateway.sessions.sql.erasures import SqlErasures
from gateway.sessions.sql.owners import SqlOwners
from gateway.sessions.sql.records import SqlRecords
from gateway.sessions.sql.schema import Tables
from gateway.sessions.sql.sessions import SqlSessions
from gateway.sessions.sql.tickets import SqlTickets
from gateway.sessions.store import Store
from gateway.sessions.values import Terms

_TICKETS = {"postgresql": PostgresTickets}
_RECORDS = {"postgresql": PostgresRecords, "mysql": MySQLRecords}


class SqlStore(Store):
    """Sessions in memory, SQLite, PostgreSQL, MariaDB or MySQL."""

    def __init__(
        self, database: Database, tables: Tables, liveness: Liveness, terms: Terms, *, shared: bool = True
    ) -> None:
        self.database = database
        self.tables = tables
        self.terms = terms
        self.shared = shared
        self._liveness = liveness
        self._meta = sa.select(tables.meta.c.value)
        tickets = _TICKETS.get(database.kind, SqlTickets)(database, tables, liveness, terms)
        records = _RECORDS.get(database.kind, SqlRecords)(database, tables, tickets)
        erasures = SqlErasures(database, tables, tickets, records)
        self.tickets = tickets
        self.records = records
        self.erasures = erasures
        self.sessions = SqlSessions(database, tables, tickets, records, erasures)
        self.owners = SqlOwners(database, tables, tickets.now)
        self._now = tickets.now

    def now(self) -> int:
        return self._now()

    def ping(self) -> None:
        if not self.database.rows(self._meta):
            raise StoreUnavailableError("The session store's tables are gone.", retry_after=1)
        self.database.check()
        self._liveness.check()

    def close(self) -> None:
        self._liveness.close()
        self.database.close()
