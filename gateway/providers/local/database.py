"""The database behind the local provider: where it is, and transactions whose errors are the service's."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL, Connection

from gateway.database.drivers import parse_url, server_engine
from gateway.database.engine import CollisionError, Database
from gateway.database.sqlite import file_engine, use_wal
from gateway.errors import ConfigurationError, GatewayError
from gateway.providers.local.tables import conversations, metadata
from gateway.providers.local.wire import server_error

_MAGIC = b"SQLite format 3\0"
_UNAVAILABLE = "The local provider's database does not answer."
_ERRORS = (GatewayError, CollisionError)


def parse_database(database: str) -> URL:
    """The URL of a database given as a SQLAlchemy URL or as a bare path, which is an SQLite file."""
    if "://" not in database:
        return URL.create("sqlite", database=database)
    url = parse_url(database)
    if url.get_backend_name() not in ("sqlite", "postgresql", "mysql", "mariadb"):
        raise ConfigurationError(
            "The local provider keeps its conversations in sqlite, postgresql, mysql or mariadb, "
            f"not {url.drivername!r}."
        )
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise ConfigurationError("The local provider's SQLite database needs a file, such as local-provider.db.")
    return url


class ConversationDatabase:
    """Short transactions. Nothing is opened, and no table made, before the first: a process that forks first
    hands down no connection.
    """

    def __init__(self, database: str) -> None:
        url = parse_database(database)
        self._is_file = url.get_backend_name() == "sqlite"
        if self._is_file:
            _make_file(url.database or "")
        # Made now, so that a missing driver stops the start; it connects to nothing before it is used.
        self._database = Database(file_engine(url) if self._is_file else server_engine(url))
        self._opening = threading.Lock()
        self._has_tables = False
        self.scrub_is_owed = False

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for reading."""
        try:
            with self._open().connection() as connection:
                yield connection
        except _ERRORS as exc:
            raise server_error(_UNAVAILABLE, status=503) from exc

    @contextmanager
    def write(self, *, lasting: bool = True, urgent: bool = False) -> Iterator[Connection]:
        """A transaction, committed at the end; one that failed before its commit (503) surely changed nothing.

        One that is not `lasting` may be forgotten when the machine (not just the process) dies: right for leases. The
        keeper's are `urgent`: they stand in no line.
        """
        status = 503
        try:
            with self._open().transaction(lasting=lasting, urgent=urgent) as connection:
                yield connection
                status = 500
        except _ERRORS as exc:
            raise server_error(_UNAVAILABLE, status=status) from exc

    def check(self) -> None:
        """An error unless the database answers and takes writes."""
        try:
            self._open().check(conversations)
        except _ERRORS as exc:
            raise server_error(_UNAVAILABLE, status=503) from exc

    def scrub(self) -> None:
        """Removes what was deleted from SQLite's write-ahead log too; owed as long as somebody stands in the way."""
        self.scrub_is_owed = not self._database.scrub()

    def close(self) -> None:
        self._database.close()

    def _open(self) -> Database:
        if not self._has_tables:
            with self._opening:
                if not self._has_tables:
                    self._make_tables()
                    self._has_tables = True
        return self._database

    def _make_tables(self) -> None:
        if self._is_file:
            with self._database.connection() as connection:
                use_wal(connection)
        for attempt in range(3):
            try:
                with self._database.transaction() as work:
                    metadata.create_all(work)
                return
            except _ERRORS:
                # Another process makes the same tables at this moment: look again.
                if attempt == 2:
                    raise


def _make_file(path: str) -> None:
    if path.startswith("file:"):
        return
    try:
        # Conversations are nobody else's to read; SQLite gives its other files the mode of this one.
        with os.fdopen(os.open(path, os.O_CREAT | os.O_RDWR, 0o600), "rb") as file:
            beginning = file.read(len(_MAGIC))
    except OSError as exc:
        reason = exc.strerror or type(exc).__name__
        raise ConfigurationError(f"it takes the path of a file that can be written ({reason}).") from exc
    if beginning not in (b"", _MAGIC):
        raise ConfigurationError("it takes the path of an SQLite file, and this is another one.")
