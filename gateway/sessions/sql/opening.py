"""Store URLs to stores: one line says what is wrong with one, and no password is ever in it."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc as sql_errors
from sqlalchemy.pool import QueuePool

from gateway.database.engine import Database
from gateway.errors import ConfigurationError, StoreUnavailableError
from gateway.liveness import Liveness
from gateway.sessions.sql.mapping import SqlSessionManager
from gateway.sessions.sql.schema import Tables, prepare
from gateway.sessions.sql.servers import MySQLSessionManager, PostgresSessionManager

POOL_SIZE = 8
"""Connections a process uses at most. A step takes a millisecond and none is held during a turn, so these serve
hundreds of turns; overflow connections would be opened and thrown away at every burst."""

POOL_SECONDS = 10
BUSY_SECONDS = 10

_DRIVERS = {
    "postgresql": ("postgresql+psycopg", "postgres"),
    "postgres": ("postgresql+psycopg", "postgres"),
    "mysql": ("mysql+pymysql", "mysql"),
    "mariadb": ("mysql+pymysql", "mysql"),
}

# What each server says to somebody it will never let in, as opposed to: not now.
_REFUSALS = re.compile(
    r"authentication failed|role \"[^\"]*\" does not exist|database \"[^\"]*\" does not exist|no pg_hba\.conf entry"
    r"|no password supplied|permission denied|not known|nodename nor servname|invalid (?:connection option|port)"
    r"|Access denied|Unknown database|command denied",
    re.IGNORECASE,
)
_SQLITE_REFUSALS = re.compile(r"unable to open|not a database|readonly|malformed|permission", re.IGNORECASE)


def open_memory(url: str = "memory:", *, prefix: str = "gateway", **options: Any) -> SqlSessionManager:
    """A store that lives and dies with this object, for tests and a single process."""
    if url != "memory:":
        raise ConfigurationError("A memory store has no address: write memory:")
    # The database lives as long as its one connection.
    engine = _engine("sqlite://", pool_size=1, connect_args={"check_same_thread": False})
    database = Database(engine)
    tables = Tables(prefix, engine.dialect)
    prepare(database, tables)
    return SqlSessionManager(database, tables, Liveness(None), shared=False, **options)


def open_sqlite(url: str, *, prefix: str = "gateway", **options: Any) -> SqlSessionManager:
    """A store in an SQLite file, for any number of processes of one host."""
    parsed = _parse(url)
    if not parsed.database or parsed.database == ":memory:":
        raise ConfigurationError("sqlite: needs a file, as in sqlite:///sessions.db; without one it is memory:")
    database, alive = open_file(parsed)
    try:
        tables = Tables(prefix, database.engine.dialect)
        _prepared(database, tables, f"the SQLite file {parsed.database}", _SQLITE_REFUSALS)
        return SqlSessionManager(database, tables, alive, **options)
    except BaseException:
        alive.close()
        database.close()
        raise


def open_file(url: sa.URL, *, alive_folder: Path | None = None) -> tuple[Database, Liveness]:
    """An SQLite file, made when it is not there, and this process's mark of life beside it (or in `alive_folder`)."""
    file = f"the SQLite file {url.database}"
    engine = _engine(url, pool_size=POOL_SIZE, connect_args={"check_same_thread": False, "timeout": BUSY_SECONDS})
    sa.event.listen(engine, "connect", _pragmas)
    try:
        path = _set_wal(engine)
        return Database(engine), Liveness(alive_folder or Path(f"{path}.alive"))
    except sql_errors.SQLAlchemyError as exc:
        engine.dispose()
        raise _explained(exc, file, _SQLITE_REFUSALS, url) from exc
    except BaseException:
        engine.dispose()
        raise


def open_server(url: str, *, prefix: str = "gateway", **options: Any) -> SqlSessionManager:
    """A store in PostgreSQL, MariaDB or MySQL, for any number of hosts."""
    parsed = _parse(url)
    drivername, extra = _DRIVERS[parsed.drivername.lower()]
    parsed = parsed.set(drivername=drivername)
    where = parsed.set(query={}).render_as_string(hide_password=True).replace(f"{drivername}://", "", 1)
    postgres = drivername.startswith("postgresql")
    # Of a server that is away or mute nobody waits for minutes. What the URL says goes before.
    wanted = {"connect_timeout": 5, "tcp_user_timeout": 15_000, "keepalives_idle": 30} if postgres else {
        "connect_timeout": 5, "read_timeout": 15, "write_timeout": 15,
    }  # fmt: skip
    arguments = {name: value for name, value in wanted.items() if name not in parsed.query}
    try:
        engine = _engine(parsed, pool_size=POOL_SIZE, connect_args=arguments, pool_use_lifo=True)
    except ModuleNotFoundError as exc:
        raise ConfigurationError(
            f"The store at {where} needs the driver {exc.name!r}: install conversation-gateway[{extra}]."
        ) from exc
    sa.event.listen(engine, "connect", _postgres_settings if postgres else _mysql_settings)
    database = Database(engine)
    try:
        with database.engine.connect():
            pass  # the dialect learns which server this is
        tables = Tables(prefix, engine.dialect)
        _prepared(database, tables, f"the database at {where}", _REFUSALS)
        manager = PostgresSessionManager if postgres else MySQLSessionManager
        return manager(database, tables, Liveness(None), **options)
    except (sql_errors.SQLAlchemyError, TypeError, ValueError) as exc:
        database.close()
        raise _explained(exc, f"the database at {where}", _REFUSALS, parsed) from exc
    except BaseException:
        database.close()
        raise


def _parse(url: str) -> sa.URL:
    try:
        return sa.make_url(url)
    except (sql_errors.ArgumentError, ValueError):
        # Their message may quote the URL, password and all.
        scheme = url.partition(":")[0]
        raise ConfigurationError(
            f"The {scheme} store URL cannot be read: {scheme}://USER:PASSWORD@HOST/DATABASE"
        ) from None


def _engine(url: str | sa.URL, *, pool_size: int, **options: Any) -> sa.Engine:
    return sa.create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        # Nothing is ever open when a connection goes back, so nothing is rolled back: that would be a round trip.
        skip_autocommit_rollback=True,
        pool_reset_on_return=None,
        poolclass=QueuePool,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_SECONDS,
        hide_parameters=True,
        # Whether INSERT … SELECT found anything is what tells a grant; SQLAlchemy forgets it for inserts otherwise.
        execution_options={"preserve_rowcount": True},
        **options,
    )


def _prepared(database: Database, tables: Tables, where: str, refusals: re.Pattern[str]) -> None:
    try:
        prepare(database, tables)
    except sql_errors.SQLAlchemyError as exc:
        raise _explained(exc, where, refusals, database.engine.url) from exc
    except StoreUnavailableError as exc:
        cause = exc.__cause__ if isinstance(exc.__cause__, sql_errors.SQLAlchemyError) else None
        raise _explained(cause or exc, where, refusals, database.engine.url) from exc


def _explained(exc: Exception, where: str, refusals: re.Pattern[str], url: sa.URL) -> Exception:
    """Why a store did not open, in one line: a setting to be changed, or a server that is away just now."""
    driver_says = getattr(exc, "orig", None) or exc
    words = driver_says.args[-1] if driver_says.args else driver_says
    # A driver may try several addresses, and says so over several lines; the last one counts.
    says = [line.strip() for line in str(words).splitlines() if line.strip()] or [type(driver_says).__name__]
    line = says[-1] if len(says) == 1 else f"{says[0]} … {says[-1]}"
    if url.password:
        line = line.replace(url.password, "***")
    line = f"Cannot use {where}: {line.rstrip('.')}."
    if not isinstance(exc, StoreUnavailableError) and (
        refusals.search(str(words)) or not isinstance(exc, (sql_errors.OperationalError, sql_errors.TimeoutError))
    ):
        return ConfigurationError(line)
    return StoreUnavailableError(line, retry_after=1)


def _set_wal(engine: sa.Engine) -> str:
    """Lets readers and a writer work side by side; the file remembers it. Returns the file's path."""
    deadline = time.monotonic() + BUSY_SECONDS
    with engine.connect() as connection:
        while connection.exec_driver_sql("PRAGMA journal_mode").scalar() != "wal":
            try:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
                break  # or not, on a file system that cannot: everything works there too, with more waiting
            except sql_errors.OperationalError:
                # Another process is just doing it; SQLite does not wait for that by itself.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        path = connection.exec_driver_sql("PRAGMA database_list").fetchone()
        assert path is not None
        return str(os.path.realpath(path[2]))


def _pragmas(connection: Any, record: Any) -> None:
    # In WAL only FULL makes a commit outlive a power cut.
    connection.execute("PRAGMA synchronous=FULL")
    # What is erased is overwritten, not only unlinked.
    connection.execute("PRAGMA secure_delete=ON")


def _postgres_settings(connection: Any, record: Any) -> None:
    # A row that a stuck gateway left locked must not stop the others for good.
    connection.execute(
        "SELECT set_config('lock_timeout', '5s', false),"
        " set_config('idle_in_transaction_session_timeout', '30s', false)"
    )


def _mysql_settings(connection: Any, record: Any) -> None:
    with connection.cursor() as cursor:
        # READ COMMITTED locks rows and not the gaps between them; UTC has no hour that comes twice; a strict server
        # refuses what is too long where a lax one cuts it.
        cursor.execute(
            "SET SESSION innodb_lock_wait_timeout = 5, time_zone = '+00:00', "
            "sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')"
        )
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
