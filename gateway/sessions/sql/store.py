"""A store in SQL: its parts, and what holds them together."""

from __future__ import annotations

from gateway.database.engine import Database
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

    tickets: SqlTickets
    records: SqlRecords
    erasures: SqlErasures

    def __init__(
        self, database: Database, tables: Tables, liveness: Liveness, terms: Terms, *, shared: bool = True
    ) -> None:
        self.database = database
        self.tables = tables
        self.terms = terms
        self.shared = shared
        self._liveness = liveness
        self.tickets = _TICKETS.get(database.kind, SqlTickets)(database, tables, liveness, terms)
        self.records = _RECORDS.get(database.kind, SqlRecords)(database, tables, self.tickets)
        self.erasures = SqlErasures(database, tables, self.tickets, self.records)
        self.sessions = SqlSessions(database, tables, self.tickets, self.records, self.erasures)
        self.owners = SqlOwners(database, tables, self.tickets.now)

    def now(self) -> int:
        return self.tickets.now()

    def ping(self) -> None:
        self.database.check(self.tables.turns)
        self._liveness.check()

    def close(self) -> None:
        self._liveness.close()
        self.database.close()
