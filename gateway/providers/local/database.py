"""The database behind the local provider: where it is, how it is opened, and its transactions."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from gateway.errors import ConfigurationError
from gateway.providers.local.tables import metadata
from gateway.providers.local.wire import server_error

_DRIVERS = {
    "postgres": ("postgresql+psycopg", "postgres"),
    "postgresql": ("postgresql+psycopg", "postgres"),
    "mysql": ("mysql+pymysql", "mysql"),
    "mariadb": ("mariadb+pymysql", "mysql"),
}
_BUSY_SECONDS = 30
_MAGIC = b"SQLite format 3\0"
_UNAVAILABLE = "The local provider's database does not answer."


def parse_database(database: str) -> URL:
    """The URL of a database given as a SQLAlchemy URL or as a bare path, which is an SQLite file."""
    if "://" not in database:
        return URL.create("sqlite", database=database)
    try:
        url = make_url(database)
    except (ArgumentError, ValueError) as exc:
        raise ConfigurationError("The local provider's database is neither a path nor a SQLAlchemy URL.") from exc
    driver, _ = _DRIVERS.get(url.drivername, (url.drivername, ""))
    url = url.set(drivername=driver)
    if url.get_backend_name() not in ("sqlite", "postgresql", "mysql", "mariadb"):
        raise ConfigurationError(
            f"The local provider keeps its conversations in sqlite, postgresql, mysql or mariadb, not {driver!r}."
        )
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise ConfigurationError("The local provider's SQLite database needs a file, such as local-provider.db.")
    return url


class Database:
    """Short transactions. Nothing is opened, and no table made, before the first: a process that forks first
    hands down no connection.
    """

    def __init__(self, database: str) -> None:
        self._url = parse_database(database)
        self._is_sqlite = self._url.get_backend_name() == "sqlite"
        self._make_file()
        # Made now, so that a missing driver stops the start; it connects to nothing before it is used.
        self._engine = self._make_engine()
        self._opening = threading.Lock()
        self._has_tables = False
        # SQLite has one writer at a time. Threads of one process line up here, where waiting is fair and holds no
        # connection, and leave SQLite's own busy handler (which polls) to other processes.
        self._writer = threading.Lock() if self._is_sqlite else nullcontext()
        self.scrub_is_owed = False

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for reading."""
        try:
            with self._open().connect() as connection:
                yield connection
        except (SQLAlchemyError, OSError) as exc:
            raise server_error(_UNAVAILABLE, status=503) from exc

    @contextmanager
    def write(self, *, lasting: bool = True) -> Iterator[Connection]:
        """A transaction, committed at the end; one that failed before its commit surely changed nothing.

        One that is not `lasting` may be forgotten when the machine (not just the process) dies: right for leases,
        and saves SQLite a wait for the disk.
        """
        options = {"local_write": "FULL" if lasting else "NORMAL"}
        try:
            with (
                self._writer,
                self._open().connect().execution_options(**options) as connection,
                connection.begin() as transaction,
            ):
                yield connection
                try:
                    transaction.commit()
                except SQLAlchemyError as exc:
                    raise server_error(_UNAVAILABLE) from exc
        except (SQLAlchemyError, OSError) as exc:
            raise server_error(_UNAVAILABLE, status=503) from exc

    def scrub(self) -> None:
        """Removes what was deleted from SQLite's write-ahead log too; owed as long as a reader stands in the way."""
        if not self._is_sqlite:
            return
        try:
            with self._writer, self._open().connect() as connection:
                connection.exec_driver_sql("PRAGMA busy_timeout = 1000")
                try:
                    row = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
                finally:
                    connection.exec_driver_sql(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000}")
            self.scrub_is_owed = bool(row[0])
        except SQLAlchemyError:
            self.scrub_is_owed = True

    def close(self) -> None:
        self._engine.dispose()

    # --- Opening -------------------------------------------------------------------------------------------

    def _open(self) -> Engine:
        if not self._has_tables:
            with self._opening:
                if not self._has_tables:
                    self._make_tables()
                    self._has_tables = True
        return self._engine

    def _make_engine(self) -> Engine:
        try:
            if self._is_sqlite:
                engine = create_engine(
                    self._url, pool_size=16, max_overflow=48, connect_args={"timeout": _BUSY_SECONDS}
                )
                event.listen(engine, "connect", _prepare_sqlite)
                event.listen(engine, "begin", _begin_sqlite)
                return engine
            return create_engine(
                self._url, pool_size=8, max_overflow=24, pool_pre_ping=True, isolation_level="READ COMMITTED"
            )
        except (ModuleNotFoundError, NoSuchModuleError) as exc:
            extra = next((extra for driver, extra in _DRIVERS.values() if driver == self._url.drivername), None)
            hint = f": install conversation-gateway[{extra}]" if extra else ""
            raise ConfigurationError(f"The driver for {self._url.drivername} is missing{hint}.") from exc

    def _make_file(self) -> None:
        path = self._url.database
        if not self._is_sqlite or not path or path.startswith("file:"):
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

    def _make_tables(self) -> None:
        for attempt in range(3):
            try:
                with self._engine.connect().execution_options(local_write="FULL") as connection, connection.begin():
                    metadata.create_all(connection)
                return
            except DBAPIError:
                # Another process makes the same tables at this moment: look again.
                if attempt == 2:
                    raise


def _prepare_sqlite(connection: Any, record: Any) -> None:
    # The driver begins no transactions of its own; `_begin_sqlite` does.
    connection.isolation_level = None
    for pragma in (
        "journal_mode = WAL",
        f"busy_timeout = {_BUSY_SECONDS * 1000}",
        # Deleted text is overwritten, not only unlinked.
        "secure_delete = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes its lock at once: a read that grows into a write fails instead of waiting. A reader needs none.
    if synchronous := connection.get_execution_options().get("local_write"):
        connection.exec_driver_sql(f"PRAGMA synchronous = {synchronous}")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
