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
    return SqlStore(*open_file(parsed, prefix=prefix), terms)


def open_file(
    url: sa.URL, *, prefix: str, alive_folder: Path | None = None, mapping: bool = True
) -> tuple[Database, Tables, Liveness]:
    """An SQLite file with its tables (but that of the mapping, unless it is wanted), made when they are not there, and
    this process's mark of life beside it (or in `alive_folder`)."""
    database = Database(file_engine(url))
    try:
        tables = Tables(prefix, database.engine.dialect)
        with explained(f"the SQLite file {url.database}", url):
            with database.connection() as connection:
                path = use_wal(connection)
            prepare(database, tables, mapping=mapping)
        return database, tables, Liveness(alive_folder or Path(f"{path}.alive"))
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
