"""Opening a store in SQL: what is wrong is said in one line without a password, and the tables come by themselves."""

import multiprocessing
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.database.engine import Database
from gateway.errors import ConfigurationError, InvalidRequestError, StoreUnavailableError
from gateway.model import ApiKey, Role, SessionKey
from gateway.sessions import Filter, SessionManager, open_sessions
from gateway.sessions.jsonfile import JsonStore
from gateway.sessions.sql import SqlStore
from gateway.sessions.sql.schema import MIGRATIONS, READABLE_FROM, VERSION
from tests.conftest import StoreAddress
from tests.harness.servers import MariaDB, Postgres

MAKE = Callable[[str], StoreAddress]
KEY = SessionKey("", "user_alice_session")
SQL = ["sqlite", "postgresql", "mariadb"]


def refusal(url: str, error: type[Exception] = ConfigurationError, **options: str) -> str:
    """The line with which `url` is refused."""
    with pytest.raises(error) as refused:
        open_sessions(url, **options).close()
    line = str(refused.value)
    assert "\n" not in line
    assert len(line) < 400
    return line


# --- Wrong settings ----------------------------------------------------------------------------------------


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    line = refusal(f"sqlite:///{tmp_path}/nowhere/sessions.db")
    assert f"{tmp_path}/nowhere/sessions.db" in line
    assert "unable to open" in line


def test_a_file_that_is_no_database_is_named_and_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    path.write_text("Dear diary, this is not a database. " * 100)
    before = path.read_bytes()
    line = refusal(f"sqlite:///{path}")
    assert str(path) in line
    assert "not a database" in line
    assert path.read_bytes() == before


def test_a_folder_that_may_not_be_written_is_named() -> None:
    assert "/proc/sessions.db" in refusal("sqlite:////proc/sessions.db")  # not even by root


@pytest.mark.parametrize("url", ["sqlite:", "sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_sqlite_needs_a_file(url: str) -> None:
    assert "sqlite" in refusal(url)


def test_memory_has_no_address() -> None:
    assert "memory:" in refusal("memory:here")


@pytest.mark.parametrize("prefix", ["", "a-b", "a b", 'a"b', "a;b", "ü", "x" * 41])
def test_a_prefix_that_cannot_name_a_table_is_refused(prefix: str) -> None:
    assert repr(prefix) in refusal("memory:", prefix=prefix)


@pytest.mark.parametrize("url", ["postgresql://u:secret@h:port/d", "mysql://u:secret@h:999999x/d"])
def test_a_url_that_cannot_be_read_is_not_quoted(url: str) -> None:
    assert "secret" not in refusal(url)


def test_a_driver_that_is_missing_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymysql", None)
    line = refusal("mysql://u:secret@127.0.0.1/d")
    assert "install conversation-gateway[mysql]" in line
    assert "secret" not in line


def test_postgres_says_which_database_is_missing(postgres: Postgres) -> None:
    line = refusal(postgres.url("nowhere").replace("postgres@", "postgres:secret@"))
    assert '"nowhere" does not exist' in line
    assert "secret" not in line


def test_postgres_refuses_a_role(postgres: Postgres) -> None:
    line = refusal(postgres.url("postgres").replace("postgres@", "nobody_at_all:secret@"))
    assert "nobody_at_all" in line
    assert "secret" not in line


def test_mariadb_refuses_a_password(mariadb: MariaDB) -> None:
    mariadb.execute("CREATE USER IF NOT EXISTS 'alice'@'127.0.0.1' IDENTIFIED BY 'right'")
    line = refusal(mariadb.url("mysql").replace("root@", "alice:secret%21@"))
    assert "Access denied" in line
    assert "secret" not in line


def test_mariadb_says_which_database_is_missing(mariadb: MariaDB) -> None:
    assert "Unknown database 'nowhere'" in refusal(mariadb.url("nowhere"))


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "mysql", "mariadb"])
def test_an_option_that_the_driver_does_not_know_is_a_setting(scheme: str, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue("postgres" if scheme.startswith("postgres") else "mariadb")
    url = server.url("mysql" if scheme in {"mysql", "mariadb"} else "postgres").partition("?")[0]
    assert "colour" in refusal(f"{scheme}{url[url.index(':') :]}?colour=blue")


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_server_that_is_away_is_unavailable(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    line = refusal(f"{scheme}://u:secret@127.0.0.1:{port}/d", StoreUnavailableError)
    assert f"127.0.0.1:{port}" in line
    assert "secret" not in line


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_host_that_nobody_knows_is_a_setting(scheme: str) -> None:
    assert "nowhere.invalid" in refusal(f"{scheme}://u:secret@nowhere.invalid/d")


def test_both_spellings_of_postgres_are_one_store(postgres_database: str) -> None:
    with (
        open_sessions(postgres_database.replace("postgresql://", "postgres://"), prefix="spelled") as one,
        open_sessions(postgres_database, prefix="spelled") as other,
    ):
        with one.turn(KEY) as turn:
            turn.bind("conv_1")
        assert other.get(KEY) == turn.session


# --- The tables --------------------------------------------------------------------------------------------


def set_versions(address: StoreAddress, schema_version: int, readable_from: int | None) -> None:
    """Makes the tables, and says in them that they are of this version."""
    with open_sessions(address.url, prefix=address.prefix) as store, database_of(store).transaction() as work:
        work.execute(sa.text(f"DELETE FROM {address.prefix}_meta"))
        values = {"schema_version": schema_version, "readable_from": readable_from}
        for name, value in values.items():
            if value is not None:
                work.execute(sa.text(f"INSERT INTO {address.prefix}_meta VALUES ('{name}', '{value}')"))


def versions(store: SessionManager, prefix: str) -> dict[str, str]:
    return {row.name: row.value for row in database_of(store).rows(sa.text(f"SELECT name, value FROM {prefix}_meta"))}


def database_of(store: SessionManager) -> Database:
    """Of a store that is, or has beside it, one in SQL."""
    assert isinstance(store.store, (SqlStore, JsonStore))
    return store.store.database


@pytest.mark.parametrize("name", SQL)
def test_tables_say_of_which_version_they_are(name: str, make_store_address: MAKE) -> None:
    address = make_store_address(name)
    for _ in range(2):
        with open_sessions(address.url, prefix=address.prefix) as store:
            assert versions(store, address.prefix) == {
                "schema_version": str(VERSION),
                "readable_from": str(READABLE_FROM),
            }


@pytest.mark.parametrize("name", SQL)
def test_tables_of_a_gateway_too_new_stop_the_start(name: str, make_store_address: MAKE) -> None:
    address = make_store_address(name)
    set_versions(address, VERSION + 1, VERSION + 1)
    assert f"version {VERSION + 1}" in refusal(address.url, prefix=address.prefix)


@pytest.mark.parametrize("name", SQL)
def test_tables_of_a_newer_gateway_to_which_something_was_added_are_used(name: str, make_store_address: MAKE) -> None:
    address = make_store_address(name)
    set_versions(address, VERSION + 1, VERSION)
    with open_sessions(address.url, prefix=address.prefix) as store:
        with store.turn(KEY) as turn:
            turn.bind("conv_1")
        assert versions(store, address.prefix)["schema_version"] == str(VERSION + 1)


@pytest.mark.parametrize("name", SQL)
def test_tables_of_a_gateway_too_old_stop_the_start(name: str, make_store_address: MAKE) -> None:
    address = make_store_address(name)
    set_versions(address, 1, None)
    line = refusal(address.url, prefix=address.prefix)
    assert "version 1" in line
    assert str(VERSION) in line


@pytest.mark.parametrize("name", SQL)
def test_older_tables_are_brought_to_this_version(
    name: str, make_store_address: MAKE, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = make_store_address(name)
    set_versions(address, 1, None)
    monkeypatch.setitem(MIGRATIONS, 1, ["ALTER TABLE {prefix}_turns ADD COLUMN colour INTEGER"])
    for _ in range(2):  # once only
        with open_sessions(address.url, prefix=address.prefix) as store:
            assert versions(store, address.prefix)["schema_version"] == str(VERSION)
            columns = sa.inspect(database_of(store).engine).get_columns(f"{address.prefix}_turns")
            assert "colour" in {column["name"] for column in columns}


@pytest.mark.parametrize("name", SQL)
def test_a_start_that_was_cut_off_is_made_up_for(name: str, make_store_address: MAKE) -> None:
    address = make_store_address(name)
    with open_sessions(address.url, prefix=address.prefix) as store, database_of(store).transaction() as work:
        of_turns = f" ON {address.prefix}_turns" if name == "mariadb" else ""
        work.execute(sa.text(f"DELETE FROM {address.prefix}_meta"))
        work.execute(sa.text(f"DROP TABLE {address.prefix}_sessions"))
        work.execute(sa.text(f"DROP INDEX {address.prefix}_turns_fence{of_turns}"))
    with open_sessions(address.url, prefix=address.prefix) as store:
        with store.turn(KEY) as turn:
            turn.bind("conv_1")
        indices = sa.inspect(database_of(store).engine).get_indexes(f"{address.prefix}_turns")
        assert f"{address.prefix}_turns_fence" in {index["name"] for index in indices}


@pytest.mark.parametrize("name", ["json", *SQL])
def test_a_store_from_before_there_were_api_keys_can_keep_them(name: str, make_store_address: MAKE) -> None:
    address = make_store_address(name)
    with open_sessions(address.url, prefix=address.prefix) as store:
        with store.turn(KEY) as turn:
            session = turn.bind("conv_1")
        with database_of(store).transaction() as work:
            work.execute(sa.text(f"DROP TABLE {address.prefix}_keys"))
    with open_sessions(address.url, prefix=address.prefix) as store:
        key = ApiKey("ci", "d" * 64, "acme", Role.USER, None, 1)
        assert store.store.owners.add_key(key)
        assert list(store.store.owners.keys()) == [key]
        assert store.get(KEY) == session


@pytest.mark.slow
@pytest.mark.parametrize("name", SQL)
def test_many_processes_start_at_once_on_nothing(name: str, make_store_address: MAKE) -> None:
    address = make_store_address(name)
    spawn = multiprocessing.get_context("spawn")
    gate, results = spawn.Barrier(4), spawn.Queue()
    arguments = (address.url, address.prefix, gate, results)
    processes = [spawn.Process(target=start_in_threads, args=arguments) for _ in range(4)]
    for process in processes:
        process.start()
    assert [results.get(timeout=60) for _ in processes] == ["fine"] * 4
    for process in processes:
        process.join()


def start_in_threads(url: str, prefix: str, gate: threading.Barrier, results: "multiprocessing.Queue[str]") -> None:
    try:
        gate.wait(30)
        for number in range(2):
            with (
                open_sessions(url, prefix=prefix) as store,
                store.turn(SessionKey("", f"{os.getpid()}_{number}")) as turn,
            ):
                turn.bind("conv_1")
        results.put("fine")
    except BaseException as exc:
        results.put(repr(exc))


def test_texts_are_compared_byte_by_byte_on_mariadb(mariadb_database: str) -> None:
    with open_sessions(mariadb_database, prefix="bytes") as store:
        for user in ("bob", "bob ", "Bob", "böb", "bo\u0308b"):
            with store.turn(SessionKey(user, "s"), idempotency_key=f"key{user}") as turn:
                turn.bind("conv_1", user_id=user)
        assert [session.tenant for session in store.list(Filter(user_id="bob")).sessions] == ["bob"]
        assert [session.user_id for session in store.list(Filter(tenant="bob ")).sessions] == ["bob "]


@pytest.mark.parametrize("name", ["postgresql", "mariadb"])
def test_what_a_column_cannot_hold_is_the_callers_mistake(name: str, make_store_address: MAKE) -> None:
    address = make_store_address(name)
    with open_sessions(address.url, prefix=address.prefix) as store:
        with store.turn(KEY) as turn, pytest.raises(InvalidRequestError):
            turn.bind("conv_1", user_id="u" * 300)
        assert store.get(KEY) is None
