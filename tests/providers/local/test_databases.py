"""Where the local provider keeps its conversations: what is understood, and what happens when it is not there."""

import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from gateway.database.drivers import CONNECTIONS
from gateway.errors import ConfigurationError, ProviderUnavailableError
from gateway.providers.local import LocalProvider, WireError
from gateway.providers.local.database import parse_database
from gateway.providers.local.tables import metadata
from tests.providers.local.conftest import texts, user


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        ("local-provider.db", "sqlite:///local-provider.db"),
        ("/var/lib/a b.db", "sqlite:////var/lib/a b.db"),
        ("sqlite:///x.db", "sqlite:///x.db"),
        ("postgres://u:p%40@h/d?sslmode=require", "postgresql+psycopg://u:p%40@h/d?sslmode=require"),
        ("postgresql://h/d", "postgresql+psycopg://h/d"),
        ("postgresql+psycopg://h/d", "postgresql+psycopg://h/d"),
        ("mysql://u@h/d", "mysql+pymysql://u@h/d"),
        ("mariadb://u@h/d", "mysql+pymysql://u@h/d"),
    ],
)
def test_a_path_or_a_url(given: str, understood: str) -> None:
    assert parse_database(given).render_as_string(hide_password=False) == understood


@pytest.mark.parametrize("given", ["mongodb://h/d", "sqlite://", "sqlite:///:memory:", "http://h:port/d"])
def test_what_it_cannot_be_kept_in_stops_the_start(given: str) -> None:
    with pytest.raises(ConfigurationError):
        LocalProvider(given)


def test_conversations_outlive_the_process(tmp_path: Path, make_provider: Callable[..., LocalProvider]) -> None:
    before = make_provider(tmp_path / "local.db")
    conversation_id = before.create_conversation(metadata={}, items=[user("Hello")])["id"]
    before.close()
    assert texts(make_provider(tmp_path / "local.db"), conversation_id) == ["Hello"]


def test_tables_are_made_once_however_many_begin(database: str, make_provider: Callable[..., LocalProvider]) -> None:
    providers = [make_provider(database) for _ in range(4)]
    start = threading.Barrier(4)

    def begin(provider: LocalProvider) -> str:
        start.wait()
        return str(provider.create_conversation(metadata={})["id"])

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(begin, providers))
    assert [providers[0].retrieve_conversation(name)["id"] for name in made] == made


def test_a_database_that_answers_passes_the_check_as_long_as_it_has_its_tables(everywhere: LocalProvider) -> None:
    everywhere.check()
    with everywhere.service._log._database.write() as connection:
        metadata.drop_all(connection)
    with pytest.raises(ProviderUnavailableError):
        everywhere.check()


def test_a_database_that_is_not_there_is_said_to_be_unavailable(
    tmp_path: Path, make_provider: Callable[..., LocalProvider]
) -> None:
    for database in ("postgresql://nobody@127.0.0.1:9/nothing", "mysql://nobody@127.0.0.1:9/nothing"):
        provider = make_provider(database)
        for ask in (provider.check, lambda: provider.create_response({"input": "Hello"})):  # noqa: B023 - called here
            with pytest.raises(ProviderUnavailableError):
                ask()


def test_what_is_no_database_is_refused_at_once_and_left_as_it_was(
    tmp_path: Path, make_provider: Callable[..., LocalProvider]
) -> None:
    text = tmp_path / "no.db"
    text.write_text("This is not a database, and will never be one. " * 50)
    for path, reason in (
        (tmp_path / "no" / "such" / "folder.db", "No such file"),
        (text, "an SQLite file"),
        (tmp_path, "directory"),
    ):
        with pytest.raises(ConfigurationError, match=reason):
            make_provider(path)
    assert text.read_text().startswith("This is not a database")


def test_another_process_that_writes_for_long_is_waited_for(
    tmp_path: Path, make_provider: Callable[..., LocalProvider]
) -> None:
    provider = make_provider(tmp_path / "local.db")
    conversation_id = provider.create_conversation(metadata={})["id"]
    writer = sqlite3.connect(tmp_path / "local.db", isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(provider.create_response, {"conversation": conversation_id, "input": "Hello"})
        assert not asked.done()
        writer.execute("COMMIT")
        assert asked.result(10)["status"] == "completed"
    writer.close()


def test_leases_are_renewed_while_every_connection_is_in_use(everywhere: LocalProvider) -> None:
    log = everywhere.service._log
    with ExitStack() as in_use:
        for _ in range(CONNECTIONS):
            in_use.enter_context(log._database.read())
        log.renew(["resp_1"])


def test_what_failed_before_its_commit_surely_changed_nothing_and_says_so(everywhere: LocalProvider) -> None:
    """After that nobody knows: only the first kind may be asked for again without a second thought."""
    everywhere.check()
    database = everywhere.service._log._database
    with pytest.raises(WireError) as sure, database.write() as connection:
        connection.exec_driver_sql("INSERT INTO nowhere VALUES (1)")

    def break_off(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if statement == "COMMIT":
            raise sa.exc.OperationalError(statement, None, OSError("the network is down"))

    sa.event.listen(database._database.engine, "before_cursor_execute", break_off)
    with pytest.raises(WireError) as unsure, database.write():
        pass
    sa.event.remove(database._database.engine, "before_cursor_execute", break_off)
    assert (sure.value.status, unsure.value.status) == (503, 500)
    assert everywhere.create_conversation(metadata={})
