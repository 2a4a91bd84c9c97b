"""Databases of each kind, opened as the stores and the local provider open them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.database.drivers import parse_url, server_engine
from gateway.database.engine import Database
from gateway.database.sqlite import file_engine, use_wal

Open = Callable[[str], Database]


@pytest.fixture
def open_database() -> Iterator[Open]:
    """Opens databases by their URL; they are closed at the end."""
    opened: list[Database] = []

    def open_one(url: str) -> Database:
        parsed = parse_url(url)
        is_file = parsed.get_backend_name() == "sqlite"
        database = Database(file_engine(parsed) if is_file else server_engine(parsed))
        opened.append(database)
        if is_file:
            with database.connection() as connection:
                use_wal(connection)
        return database

    yield open_one
    for database in opened:
        database.close()


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'words.db'}"
    server = {"postgresql": "postgres_database", "mariadb": "mariadb_database"}[request.param]
    return str(request.getfixturevalue(server))


@pytest.fixture
def database(url: str, open_database: Open) -> Iterator[Database]:
    """With an empty table `words`."""
    opened = open_database(url)
    run(opened, "CREATE TABLE words (number INTEGER NOT NULL PRIMARY KEY, word VARCHAR(100) NOT NULL UNIQUE)")
    yield opened
    run(open_database(url), "DROP TABLE words")


def run(database: Database, statement: str) -> None:
    """Runs a statement that changes no rows."""
    with database.connection() as connection:
        connection.exec_driver_sql(statement)


WORDS = sa.table("words", sa.column("number"), sa.column("word"))
WRITE = sa.text("INSERT INTO words SELECT COUNT(*), :word FROM words")


def write(database: Database, word: str, *, urgent: bool = False, repeat: bool = True) -> None:
    assert database.change(WRITE, {"word": word}, urgent=urgent, repeat=repeat) == 1


def words(database: Database, *, urgent: bool = False) -> list[str]:
    """In the order in which they were written."""
    return [row[0] for row in database.rows(sa.text("SELECT word FROM words ORDER BY number"), urgent=urgent)]
