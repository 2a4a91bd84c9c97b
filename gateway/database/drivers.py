"""Database URLs to engines: which driver speaks to which server, and what is asked of its connections."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc as sql_errors
from sqlalchemy.pool import QueuePool

from gateway.errors import ConfigurationError

CONNECTIONS = 8
"""A process uses so many at once, and one more for its leases. A step takes a millisecond and none is held during a
turn, so these serve hundreds of turns; overflow connections would be opened and thrown away at every burst."""

WAIT_SECONDS = 10.0
"""How long a step waits for one of the connections; in an SQLite file also for its turn to write."""

# The driver of each scheme, and the extra that installs it. MariaDB is spoken to as MySQL: SQLAlchemy finds out which
# of the two it is, and would refuse a MySQL behind a URL that says mariadb.
_DRIVERS = {
    "postgresql": ("postgresql+psycopg", "postgres"),
    "postgres": ("postgresql+psycopg", "postgres"),
    "mysql": ("mysql+pymysql", "mysql"),
    "mariadb": ("mysql+pymysql", "mysql"),
}
_EXTRAS = dict(_DRIVERS.values())

# Of a server that is away or mute nobody waits for minutes.
_PATIENCE = {
    "postgresql": {"connect_timeout": 5, "tcp_user_timeout": 15_000, "keepalives_idle": 30},
    "mysql": {"connect_timeout": 5, "read_timeout": 15, "write_timeout": 15},
}
_SETTINGS = {
    # A row that a stuck gateway left locked must not stop the others for good.
    "postgresql": (
        "SELECT set_config('lock_timeout', '5s', false),"
        " set_config('idle_in_transaction_session_timeout', '30s', false),"
        " set_config('default_transaction_isolation', 'read committed', false)",
    ),
    # READ COMMITTED locks rows and not the gaps between them; UTC has no hour that comes twice; a strict server
    # refuses what is too long where a lax one cuts it.
    "mysql": (
        "SET SESSION innodb_lock_wait_timeout = 5, time_zone = '+00:00', "
        "sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    ),
}


def parse_url(url: str) -> sa.URL:
    """The URL, with the driver that is used for its scheme."""
    try:
        parsed = sa.make_url(url)
    except (sql_errors.ArgumentError, ValueError):
        # Their message may quote the URL, password and all.
        scheme = url.partition(":")[0]
        raise ConfigurationError(
            f"The {scheme} URL of the database cannot be read: {scheme}://USER:PASSWORD@HOST/DATABASE"
        ) from None
    driver, _ = _DRIVERS.get(parsed.drivername.lower(), (parsed.drivername, None))
    return parsed.set(drivername=driver)


def address_of(url: sa.URL) -> str:
    """Where the database is, for people: without the password, the driver and its options."""
    return url.set(query={}).render_as_string(hide_password=True).partition("://")[2]


def server_engine(url: sa.URL) -> sa.Engine:
    """An engine for a PostgreSQL, MariaDB or MySQL server. Connects to nothing yet."""
    kind = "mysql" if url.get_backend_name() == "mariadb" else url.get_backend_name()
    # What the URL says goes before.
    arguments = {name: value for name, value in _PATIENCE[kind].items() if name not in url.query}
    engine = make_engine(url, connect_args=arguments, pool_use_lifo=True)
    if engine.driver == "psycopg":
        sa.event.listen(engine, "do_connect", _connect_patiently)
    sa.event.listen(engine, "connect", lambda connection, record: _configure(connection, _SETTINGS[kind]))
    return engine


def make_engine(url: sa.URL, *, connections: int = CONNECTIONS + 1, **options: Any) -> sa.Engine:
    """An engine as every `Database` has it: whose connections are in autocommit, and no more than these."""
    try:
        return sa.create_engine(
            url,
            isolation_level="AUTOCOMMIT",
            # Nothing is ever open when a connection goes back, so nothing is rolled back: that would be a round trip.
            skip_autocommit_rollback=True,
            pool_reset_on_return=None,
            poolclass=QueuePool,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=WAIT_SECONDS,
            hide_parameters=True,
            # Whether INSERT … SELECT found anything is what tells a grant; SQLAlchemy forgets it for inserts otherwise.
            execution_options={"preserve_rowcount": True},
            **options,
        )
    except (ModuleNotFoundError, sql_errors.NoSuchModuleError) as exc:
        extra = _EXTRAS.get(url.drivername)
        hint = f": install conversation-gateway[{extra}]" if extra else ""
        raise ConfigurationError(
            f"The driver {url.get_driver_name()!r} for the database at {address_of(url)} is missing{hint}."
        ) from exc


def _connect_patiently(dialect: Any, record: Any, arguments: Any, options: Any) -> Any:
    # Only here: who uses no PostgreSQL need not have its driver.
    from gateway.database.postgres import PatientConnection

    return PatientConnection.connect(*arguments, **options)


def _configure(connection: Any, settings: tuple[str, ...]) -> None:
    cursor = connection.cursor()
    try:
        for statement in settings:
            cursor.execute(statement)
    finally:
        cursor.close()
