"""The servers that the other tests rely on: they start, answer, crash and come back."""

import itertools
import os
import shutil
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.conftest import STORES, StoreAddress
from tests.harness import ports, server
from tests.harness.gateways import GatewayProcess
from tests.harness.ports import PORTS, ClaimedPort, quiet_ports
from tests.harness.servers import ClusterNode, MariaDB, Postgres, Redis, Sentinel, Server, TcpProxy, Valkey
from tests.harness.support import eventually
from tests.harness.upstream import UpstreamProcess

ROOT = Path(__file__).parents[1]


def psql(url: str, statement: str) -> list[tuple[object, ...]]:
    import psycopg

    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def test_a_commit_in_postgresql_survives_a_crash(postgres: Postgres) -> None:
    url = postgres.database("crash")
    psql(url, "CREATE TABLE words AS SELECT 'kept' AS word")
    with postgres.crashed():
        assert refuses(postgres.port)
    assert psql(url, "SELECT word FROM words") == [("kept",)]


def test_postgresql_commits_synchronously(postgres: Postgres) -> None:
    assert psql(postgres.url("postgres"), "SHOW synchronous_commit") == [("on",)]


def test_a_commit_in_mariadb_survives_a_crash(mariadb: MariaDB) -> None:
    import pymysql

    mariadb.database("crash")
    mariadb.execute("CREATE TABLE crash.words AS SELECT 'kept' AS word")
    with mariadb.crashed():
        assert refuses(mariadb.port)
    with pymysql.connect(host="127.0.0.1", port=mariadb.port, user="root", database="crash") as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT word FROM words")
        assert cursor.fetchall() == (("kept",),)


@pytest.mark.parametrize("fixture", ["valkey", "redis_server"])
def test_a_durable_write_survives_a_crash(fixture: str, request: pytest.FixtureRequest) -> None:
    server: Redis = request.getfixturevalue(fixture)
    server.ask("SET", "word", "kept")
    with server.crashed():
        assert refuses(server.port)
    assert server.ask("GET", "word") == "kept"


def test_a_volatile_valkey_forgets() -> None:
    with Valkey() as server:
        server.ask("SET", "word", "gone")
        with server.crashed():
            pass
        assert server.ask("GET", "word") is None


def test_sentinel_names_another_master_after_a_crash_and_after_an_order(sentinel: Sentinel) -> None:
    first = sentinel.master
    with sentinel.crashed_master() as second:
        assert second is not first
        second.ask("SET", "word", "kept")
    eventually(lambda: first.ask("GET", "word") == "kept")
    assert sentinel.fail_over() is first


def test_a_server_dies_with_the_process_that_started_it() -> None:
    script = (
        "import os; from tests.harness.servers import Valkey\n"
        "server = Valkey().start(); print(server.port, server.folder, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    port, folder = done.stdout.split()
    eventually(lambda: refuses(int(port)))
    shutil.rmtree(folder)


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_failed_start_shows_the_log() -> None:
    class Broken(Valkey):
        def command(self) -> list[str]:
            return [str(self.binary), "--no-such-option", "1"]

    server: Server = Broken()
    try:
        with pytest.raises(Exception, match="no-such-option"):
            server.start()
    finally:
        server.close()


def test_a_claimed_port_is_free_for_its_server_and_for_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    with ClaimedPort() as claimed:
        address = ("127.0.0.1", claimed.number)
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind(address)
        monkeypatch.setattr(ports, "QUIET", [*PORTS, *[claimed.number] * len(PORTS)])
        for _ in range(20):
            with ClaimedPort() as other:
                assert other.number != claimed.number
        assert refuses(claimed.number)
        with socket.create_server(address):
            assert not refuses(claimed.number)


@pytest.mark.parametrize(
    ("outgoing", "claimed"),
    [((32_768, 60_999), PORTS), ((16_000, 65_535), range(12_000, 16_000)), ((1_024, 65_535), PORTS)],
    ids=["Linux's own", "more of them", "all"],
)
def test_ports_of_outgoing_connections_are_not_claimed_if_there_are_others(
    outgoing: tuple[int, int], claimed: range
) -> None:
    assert quiet_ports(*outgoing) == [*claimed]


class StolenPort(ClaimedPort):
    """One that a stranger took although it was claimed."""

    def __init__(self, number: int) -> None:
        self.number = number

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        (ClusterNode, 0),
        (ClusterNode, 1),
        (Sentinel, 0),
        (Sentinel, 2),
        (Postgres, 0),
        (UpstreamProcess, 0),
        (GatewayProcess, 0),
    ],
    ids=["Valkey", "cluster bus", "Sentinel's master", "Sentinel", "PostgreSQL", "upstream", "gateway"],
)
def test_a_server_takes_another_port_where_a_stranger_was_quicker(
    kind: type[Server], place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        taken = stranger.getsockname()[1]
        claims = itertools.count()
        monkeypatch.setattr(
            server, "ClaimedPort", lambda: StolenPort(taken) if next(claims) == place else ClaimedPort()
        )
        with kind() as started:
            started.ping()
            assert taken not in (started.port, *started.other_ports)


def run_tests(script: str, folder: Path, *options: str) -> str:
    """What a pytest of its own says of these tests, which have our fixtures."""
    (folder / "test_inner.py").write_text(
        "import pytest\nfrom tests.harness.servers import Valkey\n" + textwrap.dedent(script)
    )
    plugins = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder), "-p", "tests.conftest"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, "-p", "no:cacheprovider", *options, "test_inner.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.slow
def test_who_leaves_a_shared_server_dead_fails_and_the_next_one_has_it_again(tmp_path: Path) -> None:
    said = run_tests(
        """
        def test_kills(valkey):
            valkey.kill()

        def test_next(valkey):
            assert valkey.ask("PING")

        def test_owner():
            with Valkey() as own:
                own.kill()
        """,
        tmp_path,
    )
    assert "ERROR test_inner.py::test_kills - Failed: the test left Valkey dead" in said
    assert "3 passed, 1 error in" in said


@pytest.mark.slow
def test_a_shared_server_that_does_not_come_back_fails_only_who_needs_it(tmp_path: Path) -> None:
    said = run_tests(
        """
        def test_breaks(valkey):
            valkey.binary = "/bin/false"
            valkey.kill()

        def test_without(): ...

        def test_with(valkey):
            valkey.ask("PING")

        def test_without_again(): ...
        """,
        tmp_path,
    )
    assert "ERROR test_inner.py::test_breaks - Failed: the test left Valkey dead" in said
    assert "FAILED test_inner.py::test_with - " in said
    assert "1 failed, 3 passed, 1 error in" in said


@pytest.mark.slow
def test_a_server_that_cannot_start_fails_only_who_needs_it(tmp_path: Path) -> None:
    said = run_tests(
        """
        from tests.conftest import serve

        class Broken(Valkey):
            tries = 0

            def command(self):
                Broken.tries += 1
                return [*super().command(), "--no-such-option", "1"]

        @pytest.fixture(scope="session")
        def broken():
            yield from serve(Broken)

        def test_owner():
            with Broken(): ...

        def test_one(broken): ...

        def test_other(broken): ...

        def test_without(valkey):
            assert valkey.ask("PING")
            assert Broken.tries == 2  # one for its owner, one for all who share it
        """,
        tmp_path,
    )
    assert "FAILED test_inner.py::test_owner - " in said
    assert said.count("- Failed: Valkey did not start: ") == 2
    assert "1 failed, 1 passed, 2 errors in" in said


@pytest.mark.slow
def test_a_quick_run_starts_no_server_and_waits_for_nothing(tmp_path: Path) -> None:
    said = run_tests(
        """
        def test_plain(): ...

        @pytest.mark.parametrize("store", ["memory", "valkey", "postgresql-hosted"])
        def test_stores(store): ...

        def test_shares(valkey): ...

        def test_owns():
            with Valkey(): ...

        @pytest.mark.slow
        def test_waits(): ...

        SHORT_LEASE_SECONDS = 1.0

        def test_waits_for_a_lease():
            assert SHORT_LEASE_SECONDS
        """,
        tmp_path,
        "--quick",
    )
    assert "2 passed, 1 skipped, 5 deselected in" in said


def test_the_proxy_passes_cuts_hangs_delays_and_heals(valkey: Valkey) -> None:
    with TcpProxy(valkey.port) as proxy, open_line(proxy) as line:
        assert ping(line) == b"+PONG\r\n"

        proxy.cut()
        assert line.recv(100) == b""
        assert refuses(proxy.port)

        proxy.heal()
        with open_line(proxy) as line:
            assert ping(line) == b"+PONG\r\n"

            proxy.hang()
            line.settimeout(0.2)
            with pytest.raises(TimeoutError):
                ping(line)
            with open_line(proxy) as other:  # accepted, but silent
                other.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    ping(other)
            proxy.heal()
            line.settimeout(5)
            assert line.recv(100) == b"+PONG\r\n"

            proxy.delay(0.1)
            began = time.monotonic()
            assert ping(line) == b"+PONG\r\n"
            assert time.monotonic() - began >= 0.2  # there and back


def test_nobody_gets_the_proxys_port_while_it_is_cut() -> None:
    with TcpProxy(target_port=9) as proxy, socket.socket() as stranger:
        proxy.cut()
        with pytest.raises(OSError, match="in use"):
            stranger.bind(("127.0.0.1", proxy.port))


def test_the_proxy_changes_just_the_port_of_a_url(valkey: Valkey) -> None:
    with TcpProxy(valkey.port) as proxy:
        assert proxy.through(valkey.url(3)) == f"redis://127.0.0.1:{proxy.port}/3"


def open_line(proxy: TcpProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def ping(line: socket.socket) -> bytes:
    line.sendall(b"PING\r\n")
    return line.recv(100)


def test_every_store_has_an_address(store_address: StoreAddress) -> None:
    assert store_address.name in STORES
    assert store_address.url.split(":")[0] in {"memory", "json", "sqlite", "postgresql", "mysql", "redis"}


def test_addresses_of_one_kind_differ(make_store_address) -> None:
    first, second = make_store_address("valkey"), make_store_address("valkey")
    assert (first.url, first.prefix) != (second.url, second.prefix)


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="no Redis here")
def test_a_redis_sentinel_works_like_valkeys() -> None:
    with Sentinel(Redis) as sentinel:
        assert sentinel.master.name == "Redis"
