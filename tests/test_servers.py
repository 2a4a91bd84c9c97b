"""The servers that the other tests rely on: they start, answer, crash and come back."""

import shutil
import socket
import subprocess
import sys
import time

import pytest

from tests.conftest import STORES, StoreAddress
from tests.servers import MariaDB, Postgres, Redis, Sentinel, Server, TcpProxy, Valkey
from tests.support import eventually


def psql(url: str, statement: str) -> list[tuple[object, ...]]:
    import psycopg

    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def test_a_commit_in_postgresql_survives_a_crash(postgres: Postgres) -> None:
    url = postgres.database("crash")
    psql(url, "CREATE TABLE words AS SELECT 'kept' AS word")
    postgres.kill()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(postgres.address)
    postgres.start()
    assert psql(url, "SELECT word FROM words") == [("kept",)]


def test_postgresql_commits_synchronously(postgres: Postgres) -> None:
    assert psql(postgres.url("postgres"), "SHOW synchronous_commit") == [("on",)]


def test_a_commit_in_mariadb_survives_a_crash(mariadb: MariaDB) -> None:
    import pymysql

    mariadb.database("crash")
    mariadb.execute("CREATE TABLE crash.words AS SELECT 'kept' AS word")
    mariadb.kill()
    mariadb.start()
    with pymysql.connect(host="127.0.0.1", port=mariadb.port, user="root", database="crash") as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT word FROM words")
        assert cursor.fetchall() == (("kept",),)


@pytest.mark.parametrize("fixture", ["valkey", "redis_server"])
def test_a_durable_write_survives_a_crash(fixture: str, request: pytest.FixtureRequest) -> None:
    server: Redis = request.getfixturevalue(fixture)
    server.ask("SET", "word", "kept")
    server.kill()
    server.start()
    assert server.ask("GET", "word") == "kept"


def test_a_volatile_valkey_forgets() -> None:
    with Valkey() as server:
        server.ask("SET", "word", "gone")
        server.kill()
        assert server.start().ask("GET", "word") is None


def test_sentinel_names_another_master_after_a_crash_and_after_an_order(sentinel: Sentinel) -> None:
    first = sentinel.master
    second = sentinel.crash_master()
    assert second is not first
    second.ask("SET", "word", "kept")
    first.start()
    eventually(lambda: first.ask("GET", "word") == "kept")
    assert sentinel.fail_over() is first


def test_a_server_dies_with_the_process_that_started_it() -> None:
    script = (
        "import os; from tests.servers import Valkey\n"
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
        def command(self) -> list[str]:  # type: ignore[override]
            return [str(self.binary), "--no-such-option", "1"]

    server: Server = Broken()
    try:
        with pytest.raises(Exception, match="no-such-option"):
            server.start()
    finally:
        server.close()


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


def test_addresses_of_one_kind_differ(make_store_address) -> None:  # type: ignore[no-untyped-def]
    first, second = make_store_address("valkey"), make_store_address("valkey")
    assert (first.url, first.prefix) != (second.url, second.prefix)


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="no Redis here")
def test_a_redis_sentinel_works_like_valkeys() -> None:
    with Sentinel(Redis) as sentinel:
        assert sentinel.master.name == "Redis"
