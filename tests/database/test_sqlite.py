"""SQLite files: what was deleted leaves them, and nobody who reads one stops those who write to it."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.database.engine import Database
from tests.database.conftest import WRITE, Open, words, write


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'words.db'}"


@pytest.fixture
def stranger(tmp_path: Path, database: Database) -> Iterator[sqlite3.Connection]:
    """Another program that has opened the file."""
    with closing(sqlite3.connect(tmp_path / "words.db", isolation_level=None)) as connection:
        yield connection


def in_files(folder: Path, text: str) -> bool:
    return any(text.encode() in path.read_bytes() for path in folder.iterdir())


def delete_all(database: Database) -> None:
    with database.transaction() as work:
        work.exec_driver_sql("DELETE FROM words")


def scrub(database: Database) -> bool:
    """Whether it was done, or was not; an error if it waits for somebody."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(database.scrub).result(5)


def patience(database: Database) -> int:
    """How long its statements wait for a writer, in milliseconds."""
    with database.connection() as connection:
        return int(connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one())


def test_what_was_deleted_is_in_no_file(database: Database, tmp_path: Path) -> None:
    write(database, "SECRET")
    delete_all(database)
    assert in_files(tmp_path, "SECRET")
    assert scrub(database)
    assert not in_files(tmp_path, "SECRET")


def test_whoever_reads_the_file_only_delays_it_and_stops_no_writer(
    database: Database, stranger: sqlite3.Connection, tmp_path: Path
) -> None:
    """A backup or a shell may read for hours."""
    write(database, "SECRET")
    stranger.execute("BEGIN")
    stranger.execute("SELECT * FROM words").fetchall()
    delete_all(database)
    waits = patience(database)
    assert not scrub(database)
    write(database, "written meanwhile")
    assert patience(database) == waits
    stranger.execute("COMMIT")
    assert scrub(database)
    assert not in_files(tmp_path, "SECRET")
    assert words(database) == ["written meanwhile"]


def test_the_scrub_waits_for_no_writer_either(database: Database, stranger: sqlite3.Connection) -> None:
    write(database, "kept")
    with database.transaction():
        assert not scrub(database)
    stranger.execute("BEGIN IMMEDIATE")
    assert not scrub(database)
    stranger.execute("ROLLBACK")
    assert scrub(database)


def test_only_what_need_not_last_spares_the_disk(database: Database) -> None:
    """Every other transaction is on the disk when it is committed, those after such a one too."""

    def synchronous(*, lasting: bool) -> int:
        with database.transaction(lasting=lasting) as work:
            return int(work.exec_driver_sql("PRAGMA synchronous").scalar_one())

    full, normal = 2, 1
    assert [synchronous(lasting=lasting) for lasting in (True, False, True)] == [full, normal, full]
    with pytest.raises(ZeroDivisionError), database.transaction(lasting=False):
        1 / 0  # noqa: B018
    assert synchronous(lasting=True) == full


def test_an_error_undoes_the_transaction(database: Database) -> None:
    def write_half(work: sa.Connection) -> None:
        work.execute(WRITE, {"word": "half"})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.atomically(write_half)
    assert words(database) == []


def test_a_file_is_opened_for_readers_beside_a_writer(database: Database, open_database: Open, url: str) -> None:
    other = open_database(url)
    with database.connection() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    write(database, "one")
    write(other, "two")
    assert words(database) == words(other) == ["one", "two"]
