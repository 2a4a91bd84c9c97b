"""Servers that restart, fail over, forget their scripts or fall silent in the middle of a turn."""

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import StoreUnavailableError, TurnLostError
from gateway.model import SessionKey, TurnState
from gateway.sessions import open_sessions
from gateway.sessions.manager import SessionManager
from gateway.sessions.values import Filter
from tests.harness.servers import Redis, Sentinel, TcpProxy, Valkey
from tests.harness.support import eventually

KEY = SessionKey("", "user_alice_session")


@pytest.fixture(params=["valkey", "redis"])
def server(request: pytest.FixtureRequest, server_of: Callable[[str], Any]) -> Redis:
    found: Redis = server_of(request.param)
    return found


@pytest.fixture
def prefix(make_store_address: Callable[[str], Any]) -> str:
    return str(make_store_address("valkey").prefix)


@pytest.fixture
def store(server: Redis, prefix: str) -> Iterator[SessionManager]:
    with open_sessions(server.url(), prefix=prefix) as store:
        yield store


def test_a_turn_goes_on_when_the_server_crashed_and_came_back(store: SessionManager, server: Redis) -> None:
    with store.turn(KEY) as turn:
        turn.bind("conv_1")
        turn.begin()
        with server.crashed():
            with pytest.raises(StoreUnavailableError):
                store.store.records.write(turn.record)
            with pytest.raises(StoreUnavailableError):
                store.get(KEY)
        turn.note("resp_1")
        with ThreadPoolExecutor(1) as thread:
            with server.crashed():
                finishing = thread.submit(turn.finish, TurnState.COMPLETED)
            record = finishing.result(30)
    assert record.response_id == "resp_1"
    session = store.get(KEY)
    assert session is not None
    assert (session.conversation_id, session.turns) == ("conv_1", 1)
    assert [each.turn_id for each in store.turns(KEY)] == [record.turn_id]


def test_a_server_that_forgot_the_scripts_is_told_them_again(store: SessionManager, server: Redis) -> None:
    with store.turn(KEY) as turn:
        server.ask("SCRIPT", "FLUSH")
        turn.bind("conv_1", user_id="ann")  # in a batch
        server.ask("SCRIPT", "FLUSH")
        turn.begin()  # alone
        server.ask("SCRIPT", "FLUSH")
        turn.finish(TurnState.COMPLETED)  # in a batch
    server.ask("SCRIPT", "FLUSH")
    assert [session.turns for session in store.list(Filter(user_id="ann")).sessions] == [1]


def test_what_is_sent_twice_changes_nothing_the_second_time(
    store: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a connection that broke when the server had done its part and could not say so."""
    client = store.store.client
    run, batch = client.run, client.batch
    monkeypatch.setattr(client, "run", lambda command: (run(command), run(command))[1])
    monkeypatch.setattr(client, "batch", lambda commands, **how: (batch(commands, **how), batch(commands, **how))[1])
    fences = []
    for number in range(3):
        with store.turn(KEY, idempotency_key=f"key{number}") as turn:
            fences.append(turn.fence)
            turn.bind(f"conv_{number}", user_id="ann", erase_old=True)
            turn.begin()
            turn.note("resp_1")
            session = store.get(KEY)
            assert session is not None
            store.update(KEY, data={f"k{number}": 1}, expected_version=session.version)
            turn.finish(TurnState.COMPLETED)
    session = store.get(KEY)
    assert session is not None
    assert (session.conversation_id, session.generation, session.turns) == ("conv_2", 3, 3)
    assert session.data == {"k0": 1, "k1": 1, "k2": 1}
    assert fences == sorted(set(fences))
    assert len(store.turns(KEY)) == 3
    assert [erasure.conversation_id for erasure in store.erasures()] == ["conv_0", "conv_1"]
    renamed = store.rename(KEY, "renamed")
    assert store.recall("", "key2").session_id == "renamed"
    with store.turn(renamed.key) as turn:
        turn.begin_erasure()
    for erasure in store.erasures():
        store.finish_erasure(erasure)
    assert (store.get(KEY), store.get(renamed.key), store.list(Filter()).sessions) == (None, None, [])


def test_a_silent_server_is_not_waited_for_twice(server: Redis, prefix: str) -> None:
    with (
        TcpProxy(server.port) as network,
        open_sessions(network.through(server.url()) + "?socket_timeout=0.3", prefix=prefix) as store,
    ):
        store.ping()
        network.hang()
        with pytest.raises(StoreUnavailableError):
            store.get(KEY)
        network.heal()
        assert store.get(KEY) is None


def test_a_server_that_became_a_replica_is_unavailable_until_it_is_master_again(prefix: str) -> None:
    with Valkey() as server, Valkey() as other, open_sessions(server.url(), prefix=prefix) as store:
        with store.turn(KEY) as turn:
            turn.bind("conv_1")
            server.ask("REPLICAOF", "127.0.0.1", str(other.port))
            with pytest.raises(StoreUnavailableError):
                turn.begin()
            server.ask("REPLICAOF", "NO", "ONE")
        eventually(lambda: server.ask("ROLE")[0] == "master")
        store.ping()


def test_a_turn_goes_on_after_failovers(sentinel: Sentinel, prefix: str) -> None:
    with open_sessions(sentinel.url(), prefix=prefix) as store, store.turn(KEY) as turn:
        session = turn.bind("conv_1")
        turn.begin()
        eventually(lambda: in_step(sentinel), 30)

        crashed = sentinel.master
        with sentinel.crashed_master() as promoted:
            assert promoted is not crashed
            eventually(lambda: answers(store), 30)
            turn.note("resp_1")
            assert store.get(KEY) == session
        eventually(lambda: in_step(sentinel), 30)

        # An orderly one: the old master goes on answering, as a replica that takes no writes.
        demoted = sentinel.master
        promoted = sentinel.fail_over()
        assert promoted is not demoted
        eventually(lambda: port_of(store) == promoted.port, 5)
        record = turn.finish(TurnState.COMPLETED)
        found = store.get(KEY)
        assert found is not None
        assert (found.conversation_id, found.turns, record.response_id) == ("conv_1", 1, "resp_1")
        assert list(store.turns(KEY)) == [record]
        assert promoted.ask("HGET", f"{prefix}:{{/}}:session:{KEY.session_id}", "turns") == "1"


def port_of(store: SessionManager) -> int:
    """Of the server that the store speaks to."""
    _, port = store.store.client.call("CONFIG", "GET", "port")
    return int(port)


def answers(store: SessionManager) -> bool:
    try:
        store.ping()
    except StoreUnavailableError:
        return False
    return True


def in_step(sentinel: Sentinel) -> bool:
    """Whether the replica has all that the master wrote."""
    seen = [node.ask("INFO", "replication") for node in sentinel.nodes]
    roles = {info["role"] for info in seen}
    return roles == {"master", "slave"} and len({info["master_repl_offset"] for info in seen}) == 1


def test_a_turn_that_a_failover_forgot_is_lost_and_binds_nothing(sentinel: Sentinel, prefix: str) -> None:
    with open_sessions(sentinel.url(), prefix=prefix) as store, store.turn(KEY) as turn:
        sentinel.master.ask("FLUSHDB")
        with pytest.raises(TurnLostError):
            turn.bind("conv_1")
        assert store.get(KEY) is None
        assert store.list(Filter()).sessions == []


def test_under_gevent_waiting_turns_stop_nobody_else(valkey: Redis, prefix: str) -> None:
    script = textwrap.dedent(
        """
        from gevent import monkey; monkey.patch_all()
        import sys, gevent
        from gateway.model import SessionKey, TurnState
        from gateway.sessions import open_sessions

        url, prefix = sys.argv[1:]
        store = open_sessions(url, prefix=prefix)
        running, most = {}, {}

        def turn(number):
            key = SessionKey("", f"s{number % 5}")
            with store.turn(key) as turn:
                running[key] = running.get(key, 0) + 1
                most[key] = max(most.get(key, 0), running[key])
                most["all"] = max(most.get("all", 0), sum(running.values()))
                if turn.session is None:
                    turn.bind("conv_1")
                turn.begin()
                gevent.sleep(0.05)
                running[key] -= 1
                turn.finish(TurnState.COMPLETED)

        gevent.joinall([gevent.spawn(turn, number) for number in range(50)], raise_error=True, timeout=60)
        print(most.pop("all"), set(most.values()), [store.get(key).turns for key in most])
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script, valkey.url(), prefix],
        check=False,
        capture_output=True,
        text=True,
        timeout=90,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.strip() == "5 {1} [10, 10, 10, 10, 10]", done.stderr
