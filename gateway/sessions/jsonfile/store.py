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

    def __init__(
        self, file: SessionsFile, database: Database, tables: Tables, liveness: Liveness, terms: Terms
    ) -> None:
        self.file = file
        self.database = database
        self.terms = terms
        self._liveness = liveness
        tickets = SqlTickets(database, tables, liveness, terms)
        records = JsonRecords(file, database, tables, tickets)
        erasures = JsonErasures(file, database, tables, tickets, records)
        self.tickets = tickets
        self.records = records
        self.erasures = erasures
        self.sessions = JsonSessions(file, database, tickets, records, erasures)
        self.owners = SqlOwners(database, tables, tickets.now)
        self._clock = tickets.now

    def now(self) -> int:
        return self._clock()

    def ping(self) -> None:
        self.file.read()
        self.database.check()
        self._liveness.check()

    def close(self) -> None:
        self._liveness.close()
        self.database.close()
        self.file.close()
