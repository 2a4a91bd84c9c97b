"""Opening: URLs as redis-py reads them, Sentinel's, and one clear line for what cannot work."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
import redis.sentinel

from gateway.errors import ConfigurationError, StoreUnavailableError
from gateway.model import SessionKey
from gateway.sessions import open_sessions
from gateway.sessions.redis import RedisStore
from gateway.sessions.redis.connect import STATEMENT, explain_server, open_client
from tests.harness.servers import ClusterNode, Sentinel, TcpProxy, Valkey

MAKE = Callable[[str], Any]

SECRET = "s3cret/word"


@pytest.fixture
def locked() -> Iterator[Valkey]:
    """A server with a password; `ask` is of no use on it any more."""
    with Valkey() as server:
        server.ask("CONFIG", "SET", "requirepass", SECRET)
        yield server


def test_a_url_is_redis_pys_own() -> None:
    pool = open_client(
        "rediss://ann:p%40ss@cache.example:6380/3?ssl_cert_reqs=none&socket_timeout=1.5&client_name=gw"
    ).connection_pool
    assert pool.connection_class is redis.SSLConnection
    options = pool.connection_kwargs
    assert (options["host"], options["port"], options["db"]) == ("cache.example", 6380, 3)
    assert (options["username"], options["password"]) == ("ann", "p@ss")
    assert (options["socket_timeout"], options["client_name"]) == (1.5, "gw")
    assert options["socket_connect_timeout"] == 2


def test_a_sentinel_url_names_sentinels_master_database_and_credentials() -> None:
    pool = open_client(
        "redis+sentinel://ann:p%40ss@one.example:26380,two.example,[::1]:5/main%2F1/2"
        "?sentinel_password=other&ssl=true&ssl_cert_reqs=none&max_connections=7&socket_timeout=1.5"
    ).connection_pool
    assert isinstance(pool, redis.sentinel.SentinelConnectionPool)
    assert pool.service_name == "main/1"
    assert pool.connection_class is redis.sentinel.SentinelManagedSSLConnection
    assert pool.max_connections == 7
    options = pool.connection_kwargs
    assert (options["db"], options["username"], options["password"]) == (2, "ann", "p@ss")
    sentinels = [client.connection_pool for client in pool.sentinel_manager.sentinels]
    assert [(each.connection_kwargs["host"], each.connection_kwargs["port"]) for each in sentinels] == [
        ("one.example", 26380),
        ("two.example", 26379),
        ("::1", 5),
    ]
    for each in sentinels:
        assert each.connection_class is redis.SSLConnection
        assert each.connection_kwargs["password"] == "other"
        assert each.connection_kwargs.get("username") is None
        assert each.connection_kwargs["socket_timeout"] == 1.5


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{SECRET}@127.0.0.1:6379/0",  # its slash is not encoded
        "redis://127.0.0.1:port",
        "redis://127.0.0.1:6379/0?socket_timeout=soon",
        "redis://127.0.0.1:6379/0?max_connections=-1",
        "redis://127.0.0.1:6379/0?no_such_option=1",
        "redis+sentinel://127.0.0.1:26379",
        f"redis+sentinel://:{SECRET}@127.0.0.1:26379/main",
        "redis+sentinel://127.0.0.1:26379/main/zero",
        "redis+sentinel://127.0.0.1:26379,/main",
        "redis+sentinel:///main",
        "redis+sentinel://127.0.0.1:26379/main?no_such_option=1",
    ],
)
def test_a_url_that_cannot_work_is_one_line_without_the_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_sessions(url)
    assert "\n" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_wrong_password_is_a_wrong_setting(locked: Valkey) -> None:
    with open_sessions(f"redis://:s3cret%2Fword@127.0.0.1:{locked.port}/0") as store:
        store.ping()
    for credentials in ("", ":wrong@", "ann:wrong@"):
        with pytest.raises(ConfigurationError) as caught:
            open_sessions(f"redis://{credentials}127.0.0.1:{locked.port}/0")
        assert "password" in str(caught.value)
        assert "wrong" not in str(caught.value)


def test_a_user_who_may_not_ask_for_info_is_served() -> None:
    with Valkey() as server:
        server.ask("ACL", "SETUSER", "ann", "on", ">word", "~gateway:*", "+@all", "-@dangerous")
        with (
            open_sessions(f"redis://ann:word@127.0.0.1:{server.port}/0") as store,
            store.turn(SessionKey("", "s")) as turn,
        ):
            turn.bind("conv_1")
        server.ask("ACL", "SETUSER", "ann", "-@scripting")
        with pytest.raises(ConfigurationError, match=r"Redis refuses to serve"):
            open_sessions(f"redis://ann:word@127.0.0.1:{server.port}/0")


def test_a_database_that_is_not_there_is_a_wrong_setting(valkey: Valkey) -> None:
    with pytest.raises(ConfigurationError, match="DB index"):
        open_sessions(valkey.url(9999))


def test_a_master_that_no_sentinel_knows_is_a_wrong_setting(sentinel: Sentinel) -> None:
    with pytest.raises(ConfigurationError, match=r"no master 'other'; they know main\."):
        open_sessions(f"redis+sentinel://127.0.0.1:{sentinel.port}/other")


def test_a_cluster_is_not_supported_yet() -> None:
    with ClusterNode() as node, pytest.raises(ConfigurationError, match="Cluster"):
        open_sessions(node.url())


@pytest.mark.parametrize(("version", "accepted"), [("6.0.16", False), ("6.2.0", True), ("10.0.1", True), ("", True)])
def test_a_redis_that_is_too_old_is_refused(version: str, accepted: bool) -> None:
    assert (explain_server({"redis_version": version}) is None) is accepted


@pytest.mark.parametrize("form", ["redis://127.0.0.1:{}/0", "redis+sentinel://127.0.0.1:{}/main"])
def test_a_server_that_is_down_can_come_later(form: str, free_port: int) -> None:
    with open_sessions(form.format(free_port)) as store:
        for use in (store.ping, lambda: store.get(SessionKey("", "s"))):
            with pytest.raises(StoreUnavailableError) as caught:
                use()
            assert caught.value.retry_after == 1


@pytest.mark.parametrize("prefix", ["", "a{b", "a}b", "a\nb"])
def test_a_prefix_that_would_break_the_slots_is_refused(valkey: Valkey, prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="begin the names"):
        open_sessions(valkey.url(), prefix=prefix)


def test_the_scheme_may_be_written_in_capitals(valkey: Valkey) -> None:
    with open_sessions("REDIS" + valkey.url().removeprefix("redis")) as store:
        assert isinstance(store.store, RedisStore)
        store.ping()


@pytest.mark.parametrize(
    ("written", "accepted"),
    [
        (STATEMENT, True),
        ("3 readable_from 2", True),
        ("3 readable_from 3", False),
        ("1 readable_from 1", False),
        ("no version", False),
    ],
)
def test_what_another_version_wrote_is_worked_on_or_refused_in_one_line(
    make_store_address: MAKE, valkey: Valkey, written: str, accepted: bool
) -> None:
    address = make_store_address("valkey")
    valkey.ask("SET", f"{address.prefix}:version", written)
    if accepted:
        with open_sessions(address.url, prefix=address.prefix) as store:
            store.ping()
    else:
        with pytest.raises(ConfigurationError, match=r"\AThis Redis [^\n]*\Z"):
            open_sessions(address.url, prefix=address.prefix)
    assert valkey.ask("GET", f"{address.prefix}:version") == written


def test_who_opens_first_writes_the_version(make_store_address: MAKE, valkey: Valkey) -> None:
    address = make_store_address("valkey")
    for _ in range(2):
        open_sessions(address.url, prefix=address.prefix).close()
    assert valkey.ask("GET", f"{address.prefix}:version") == STATEMENT


def test_a_server_that_comes_later_is_checked_before_it_is_used() -> None:
    with Valkey() as server, TcpProxy(server.port) as network:
        network.cut()
        with open_sessions(network.through(server.url())) as store:
            with pytest.raises(StoreUnavailableError):
                store.ping()
            server.ask("SET", "gateway:version", "3 readable_from 3")
            network.heal()
            with pytest.raises(StoreUnavailableError, match="version 3"):
                store.get(SessionKey("", "s"))
            server.ask("SET", "gateway:version", STATEMENT)
            assert store.get(SessionKey("", "s")) is None
