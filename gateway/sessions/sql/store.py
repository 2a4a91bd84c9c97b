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


class Ledger:
    """All of a store but its sessions: also for one that keeps those elsewhere."""

    def __init__(self, database: Database, tables: Tables, liveness: Liveness, terms: Terms) -> None:
        self.database = database
        self.terms = terms
        self.tickets = _TICKETS.get(database.kind, SqlTickets)(database, tables, liveness, terms)
        self.records = _RECORDS.get(database.kind, SqlRecords)(database, tables, self.tickets)
        self.erasures = SqlErasures(database, tables, self.tickets, self.records)
        self.owners = SqlOwners(database, tables, self.tickets.now)
        self._liveness = liveness
        self._meta = sa.select(tables.meta.c.value)

    def now(self) -> int:
        return self.tickets.now()

    def ping(self) -> None:
        if not self.database.rows(self._meta):
            raise StoreUnavailableError("The session store's tables are gone.", retry_after=1)
        self.database.check()

    def close(self) -> None:
        self._liveness.close()
        self.database.close()


class SqlStore(Store):
    """Sessions in memory, SQLite, PostgreSQL, MariaDB or MySQL."""

    def __init__(
        self, database: Database, tables: Tables, liveness: Liveness, terms: Terms, *, shared: bool = True
    ) -> None:
        self.ledger = ledger = Ledger(database, tables, liveness, terms)
        self.terms = terms
        self.shared = shared
        self.tickets: SqlTickets = ledger.tickets
        self.records: SqlRecords = ledger.records
        self.erasures: SqlErasures = ledger.erasures
        self.owners: SqlOwners = ledger.owners
        self.sessions: SqlSessions = SqlSessions(database, tables, ledger.tickets, ledger.records, ledger.erasures)

    def now(self) -> int:
        return self.ledger.now()

    def ping(self) -> None:
        self.ledger.ping()

    def close(self) -> None:
        self.ledger.close()
