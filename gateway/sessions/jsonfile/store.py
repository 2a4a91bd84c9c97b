"""The store of a JSON file: the mapping in the file; tickets, turn records and all else in SQLite beside it."""

from __future__ import annotations

from gateway.database.engine import Database
from gateway.liveness import Liveness
from gateway.sessions.jsonfile.file import SessionsFile
from gateway.sessions.jsonfile.records import JsonErasures, JsonRecords
from gateway.sessions.jsonfile.sessions import JsonSessions
from gateway.sessions.sql.owners import SqlOwners
from gateway.sessions.sql.schema import Tables
from gateway.sessions.sql.tickets import SqlTickets
from gateway.sessions.store import Store
from gateway.sessions.values import Terms


class JsonStore(Store):
    """For any number of processes of one host."""

    tickets: SqlTickets
    records: JsonRecords
    erasures: JsonErasures

    def __init__(
        self, file: SessionsFile, database: Database, tables: Tables, liveness: Liveness, terms: Terms
    ) -> None:
        self.file = file
        self.database = database
        self._tables = tables
        self.terms = terms
        self._liveness = liveness
        self.tickets = SqlTickets(database, tables, liveness, terms)
        self.records = JsonRecords(file, database, tables, self.tickets)
        self.erasures = JsonErasures(file, database, tables, self.tickets, self.records)
        self.sessions = JsonSessions(file, database, self.tickets, self.records, self.erasures)
        self.owners = SqlOwners(database, tables, self.tickets.now)

    def now(self) -> int:
        return self.tickets.now()

    def ping(self) -> None:
        self.file.read()
        self.database.check(self._tables.turns)
        self._liveness.check()

    def close(self) -> None:
        self._liveness.close()
        self.database.close()
        self.file.close()
