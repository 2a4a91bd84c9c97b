"""SQLite: files that several processes read and write at once, and databases in memory."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc as sql_errors

from gateway.database.drivers import make_engine

BUSY_SECONDS = 10
"""How long a process waits for another one that writes."""


def memory_engine() -> sa.Engine:
    """A database that lives as long as its one connection."""
    return make_engine(sa.make_url("sqlite://"), connections=1, connect_args={"check_same_thread": False})


def file_engine(url: sa.URL) -> sa.Engine:
    """A database in a file. Opens nothing yet; who is the first to connect calls `use_wal`."""
    engine = make_engine(url, connect_args={"check_same_thread": False, "timeout": BUSY_SECONDS})
    sa.event.listen(engine, "connect", _configure)
    return engine


def use_wal(connection: sa.Connection) -> Path:
    """Lets readers and a writer work side by side; the file remembers it. Returns the file's path."""
    deadline = time.monotonic() + BUSY_SECONDS
    while connection.exec_driver_sql("PRAGMA journal_mode").scalar() != "wal":
        try:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            break  # or not, on a file system that cannot: everything works there too, with more waiting
        except sql_errors.OperationalError:
            # Another process is just doing it; SQLite does not wait for that by itself.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    path = connection.exec_driver_sql("PRAGMA database_list").one()[2]
    return Path(os.path.realpath(path))


def empty_log(connection: sa.Connection) -> bool:
    """Moves all of the write-ahead log into the file and leaves none of it; False when somebody is in the way."""
    # SQLite takes the writers' lock first and then waits for readers: a backup would stop every writer of the file.
    connection.exec_driver_sql("PRAGMA busy_timeout = 0")
    try:
        return not connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")


def _configure(connection: Any, record: Any) -> None:
    # In WAL only FULL makes a commit outlive a power cut.
    connection.execute("PRAGMA synchronous = FULL")
    # What is erased is overwritten, not only unlinked.
    connection.execute("PRAGMA secure_delete = ON")
