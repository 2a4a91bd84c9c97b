"""Store URLs to stores: one line says what is wrong with one, and no password is ever in it."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from gateway.database.drivers import address_of, parse_url, server_engine
from gateway.database.engine import Database
from gateway.database.errors import explained
from gateway.database.sqlite import file_engine, memory_engine, use_wal
from gateway.errors import ConfigurationError
from gateway.liveness import Liveness
from gateway.sessions.sql.schema import Tables, prepare
from gateway.sessions.sql.store import SqlStore
from gateway.sessions.values import Terms


def open_memory(url: str, *, prefix: str, terms: Terms) -> SqlStore:
    """A store that lives and dies with this object, for tests and a single process."""
    if url != "memory:":
        raise ConfigurationError("A memory store has no address: write memory:")
    database = Database(memory_engine())
    tables = Tables(prefix, database.engine.dialect)
    prepare(database, tables)
    return SqlStore(database, tables, Liveness(None), terms, shared=False)


def open_sqlite(url: str, *, prefix: str, terms: Terms) -> SqlStore:
    """A store in an SQLite file, for any number of processes of one host."""
    parsed = parse_url(url)
    if not parsed.database or parsed.database == ":memory:":
        raise ConfigurationError("sqlite: needs a file, as in sqlite:///sessions.db; without one it is memory:")
    database, liveness = open_file(parsed)
    try:
        tables = Tables(prefix, database.engine.dialect)
        with explained(f"the SQLite file {parsed.database}", parsed):
            prepare(database, tables)
        return SqlStore(database, tables, liveness, terms)
    except BaseException:
        liveness.close()
        database.close()
        raise


def open_file(url: sa.URL, *, alive_folder: Path | None = None) -> tuple[Database, Liveness]:
    """An SQLite file, made when it is not there, and this process's mark of life beside it (or in `alive_folder`)."""
    database = Database(file_engine(url))
    try:
        with explained(f"the SQLite file {url.database}", url), database.connection() as connection:
            path = use_wal(connection)
        return database, Liveness(alive_folder or Path(f"{path}.alive"))
    except BaseException:
        database.close()
        raise


def open_server(url: str, *, prefix: str, terms: Terms) -> SqlStore:
    """A store in PostgreSQL, MariaDB or MySQL, for any number of hosts."""
    parsed = parse_url(url)
    database = Database(server_engine(parsed))
    try:
        with explained(f"the database at {address_of(parsed)}", parsed):
            with database.connection():
                pass  # the dialect learns which server this is
            tables = Tables(prefix, database.engine.dialect)
            prepare(database, tables)
        return SqlStore(database, tables, Liveness(None), terms)
    except BaseException:
        database.close()
        raise
