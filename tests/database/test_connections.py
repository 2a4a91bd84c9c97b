"""A few connections for many: in order, with one kept for the leases, and none that leads nowhere."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.database import engine
from gateway.database.drivers import CONNECTIONS
from gateway.database.engine import Database
from gateway.errors import StoreUnavailableError
from gateway.line import Line
from tests.database.conftest import WORDS, WRITE, Open, words, write
from tests.harness.servers import MariaDB, Postgres, TcpProxy
from tests.harness.support import eventually, run_script

NUMBER = sa.text("SELECT 1")


def stand_in_line(line: Line | None, step: Callable[[], object]) -> threading.Thread:
    """A thread that has taken its place in the line for `step`."""
    assert line is not None
    before = len(line._waiting)
    thread = threading.Thread(target=step)
    thread.start()
    eventually(lambda: len(line._waiting) == before + 1)
    return thread


@contextmanager
def all_in_use(database: Database, but: int = 0) -> Iterator[None]:
    """Turns hold every connection that is there for them, but for so many."""
    with ExitStack() as held:
        for _ in range(CONNECTIONS - but):
            held.enter_context(database.connection())
        yield


# --- The line ----------------------------------------------------------------------------------------------


def test_steps_get_a_connection_in_the_order_in_which_they_came(database: Database) -> None:
    served: list[int] = []

    def step(number: int) -> None:
        with database.connection():
            served.append(number)

    with all_in_use(database, but=1):
        with database.connection():
            threads = [stand_in_line(database._connections, partial(step, number)) for number in range(20)]
            assert served == []
        for thread in threads:
            thread.join()
    assert served == list(range(20))


def test_a_connection_that_does_not_come_free_is_not_waited_for_for_ever(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.database.engine.WAIT_SECONDS", 0.01)
    with all_in_use(database), pytest.raises(StoreUnavailableError) as refused:
        words(database)
    assert refused.value.retry_after == 1
    assert words(database) == []


def test_leases_are_renewed_although_turns_use_every_connection(database: Database) -> None:
    with all_in_use(database):
        write(database, "renewed", urgent=True)
        assert words(database, urgent=True) == ["renewed"]
        with database.transaction(urgent=True) as work:
            work.execute(sa.text("DELETE FROM words"))
    assert words(database) == []


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_in_a_file_leases_are_renewed_before_the_turns_that_wait_to_write(database: Database) -> None:
    with database.transaction():
        turns = [stand_in_line(database._writers, partial(write, database, f"turn {n}")) for n in range(3)]
        leases = stand_in_line(database._writers, partial(write, database, "leases", urgent=True))
    for thread in (*turns, leases):
        thread.join()
    assert words(database) == ["leases", "turn 0", "turn 1", "turn 2"]


# --- A server that says nothing ----------------------------------------------------------------------------


def test_a_silent_server_is_not_waited_for_for_ever(
    postgres: Postgres, postgres_database: str, open_database: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.database.postgres.ANSWER_SECONDS", 0.3)
    with TcpProxy(postgres.port) as network:
        database = open_database(network.through(postgres_database) + "?connect_timeout=2")
        assert database.rows(NUMBER) == [(1,)]
        network.hang()
        with pytest.raises(StoreUnavailableError):
            database.change(sa.text("SELECT 1"), repeat=False)
        with pytest.raises(StoreUnavailableError), database.transaction():
            pass
        network.heal()
        # The answers that were late are not taken for the one to this.
        assert database.rows(sa.text("SELECT 2")) == [(2,)]


def test_a_server_that_is_at_work_is_waited_for(
    postgres_database: str, open_database: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What counts is how long it says nothing, not how long its answer is."""
    monkeypatch.setattr("gateway.database.postgres.ANSWER_SECONDS", 0.3)
    database = open_database(postgres_database)
    slow = "SELECT repeat('x', 100000) FROM generate_series(1, 6), LATERAL pg_sleep(0.1 + generate_series * 0)"
    assert len(database.rows(sa.text(slow))) == 6


def test_under_gevent_a_silent_server_stops_nobody_else(
    postgres: Postgres, postgres_database: str, tmp_path: Path
) -> None:
    script = f"""if True:
        from gevent import monkey; monkey.patch_all()
        import gevent
        import sqlalchemy as sa
        from gateway.database import postgres
        from gateway.database.drivers import parse_url, server_engine
        from gateway.database.engine import Database
        from gateway.errors import StoreUnavailableError
        from tests.harness.servers import TcpProxy

        postgres.ANSWER_SECONDS = 0.5
        ticks = 0

        def tick():
            global ticks
            while True:
                gevent.sleep(0.01)
                ticks += 1

        with TcpProxy({postgres.port}) as network:
            database = Database(server_engine(parse_url(network.through({postgres_database!r}))))
            database.rows(sa.text("SELECT 1"))
            network.hang()
            gevent.spawn(tick)
            try:
                database.change(sa.text("SELECT 1"), repeat=False)
            except StoreUnavailableError:
                print("unavailable", ticks > 10)
    """
    done = run_script(script, tmp_path)
    assert done.stdout.strip() == "unavailable True", done.stderr


# --- A server that has become a standby --------------------------------------------------------------------


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_connections_to_what_has_become_a_standby_are_given_up(database: Database, postgres: Postgres) -> None:
    """They stay read-only, as those to a former primary do; new ones lead to its successor."""
    name = database.engine.url.database
    database.engine.dispose()
    postgres.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    try:
        with pytest.raises(StoreUnavailableError, match="read-only"):
            database.check(WORDS)
        with pytest.raises(StoreUnavailableError):
            write(database, "lost")
        with pytest.raises(StoreUnavailableError), database.transaction() as work:
            work.execute(WRITE, {"word": "lost"})
        words(database)  # leaves a connection in the pool
    finally:
        postgres.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    with pytest.raises(StoreUnavailableError):
        write(database, "refused by the old connection", repeat=False)
    write(database, "kept", repeat=False)
    database.check(WORDS)
    assert words(database) == ["kept"]


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_check_finds_the_successor(database: Database, postgres: Postgres) -> None:
    name = database.engine.url.database
    database.engine.dispose()
    postgres.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    words(database)
    postgres.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    with pytest.raises(StoreUnavailableError, match="read-only"):
        database.check(WORDS)
    database.check(WORDS)


@pytest.mark.parametrize("url", ["mariadb"], indirect=True)
def test_nor_is_what_has_become_a_replica_in_mariadb_used(
    database: Database, url: str, mariadb: MariaDB, open_database: Open
) -> None:
    mariadb.execute("CREATE USER IF NOT EXISTS 'writer'@'127.0.0.1' IDENTIFIED BY 'secret'")
    mariadb.execute("GRANT SELECT, INSERT ON *.* TO 'writer'@'127.0.0.1'")  # root may write all the same
    writer = open_database(url.replace("root@", "writer:secret@"))
    connection_id = sa.text("SELECT connection_id()")
    mariadb.execute("SET GLOBAL read_only = 1")
    try:
        with pytest.raises(StoreUnavailableError, match="read-only"):
            writer.check(WORDS)
        before = writer.rows(connection_id)
        with pytest.raises(StoreUnavailableError):
            write(writer, "lost")
        assert writer.rows(connection_id) != before
    finally:
        mariadb.execute("SET GLOBAL read_only = 0")
    writer.check(WORDS)
    write(writer, "kept")
    assert words(database) == ["kept"]


def test_a_database_that_answers_and_takes_writes_passes_the_check(database: Database) -> None:
    database.check(WORDS)


# --- A fork ------------------------------------------------------------------------------------------------


def test_a_child_of_a_fork_has_connections_and_lines_of_its_own(url: str, tmp_path: Path) -> None:
    script = f"""if True:
        import os, sys
        import sqlalchemy as sa
        from contextlib import ExitStack
        from gateway.database.drivers import CONNECTIONS, parse_url, server_engine
        from gateway.database.engine import Database
        from gateway.database.sqlite import file_engine

        url = parse_url({url!r})
        database = Database(file_engine(url) if "sqlite" in url.drivername else server_engine(url))

        def count():
            return [database.rows(sa.text(f"SELECT {{number}}"))[0][0] for number in range(50)] == list(range(50))

        count()
        with ExitStack() as held:
            theirs = [held.enter_context(database.connection()) for _ in range(CONNECTIONS)]
            with database.connection(urgent=True) as idle:
                theirs = [each.connection.driver_connection for each in (*theirs, idle)]
            child = os.fork()
            if child == 0:
                with database.connection() as own:
                    assert own.connection.driver_connection not in theirs
                assert count()
                os._exit(0)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(code, count())
    """
    done = run_script(script, tmp_path)
    assert done.stdout.strip() == "0 True", done.stderr


def test_one_whose_tables_are_gone_does_not(database: Database) -> None:
    with pytest.raises(StoreUnavailableError):
        database.check(sa.table("gone", sa.column("word")))


@pytest.mark.parametrize("url", ["postgresql", "mariadb"], indirect=True)
def test_the_first_answer_sets_the_clock_however_lately_the_host_was_booted(
    url: str, open_database: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    uptime = itertools.count(3_000_000, 1000)
    monkeypatch.setattr(engine, "uptime_us", lambda: next(uptime))
    young = open_database(url)
    young.rows(sa.select(sa.literal(1)))
    assert abs(young.epoch_us() / 1e6 - time.time()) < 3600
