"""What a turn costs a database: round trips and connections."""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any

import pytest
import sqlalchemy as sa

from gateway.database.drivers import CONNECTIONS
from gateway.model import SessionKey, TurnState
from tests.conftest import StoreAddress
from tests.harness.servers import TcpProxy
from tests.harness.sql_stores import fill, open_sql, run_streamed_turn, sql_store, statements

MAKE = Callable[[str], StoreAddress]


class CountingProxy(TcpProxy):
    """Counts how often the client spoke after the server had: the round trips of one connection."""

    trips = 0
    _server_spoke = True

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):  # the connection was cut
            from_server = source.getpeername() == self.target
            while data := source.recv(65536):
                if not from_server and self._server_spoke:
                    self.trips += 1
                self._server_spoke = from_server
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


IN_A_FILE = ["INSERT", "SELECT", "UPDATE", "UPDATE", "BEGIN", "UPDATE", "UPDATE", "COMMIT"]
STATEMENTS = {
    "memory": IN_A_FILE,
    "sqlite": IN_A_FILE,
    "postgresql": ["WITH", "UPDATE", "UPDATE", "WITH"],
    "mariadb": ["INSERT", "SELECT", "UPDATE", "UPDATE", "UPDATE"],
}
"""What a turn of a known session is made of; on a server each is a round trip."""


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_turn_of_a_known_session_is_few_statements(name: str, make_store_address: MAKE) -> None:
    with open_sql(make_store_address(name)) as store:
        run_streamed_turn(store)
        with statements(store) as seen:
            run_streamed_turn(store, idempotency_key="key")
        assert [text.split()[0] for text, _ in seen] == STATEMENTS[name]
        with statements(store) as seen:
            run_streamed_turn(store, SessionKey("", "another"))
        assert len(seen) == len(STATEMENTS[name]) + 1  # a first turn costs its mapping more


class CutOffError(Exception):
    pass


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_turn_whose_end_was_cut_off_is_counted_only_if_it_is_recorded(name: str, make_store_address: MAKE) -> None:
    """Whichever statement of the end is the one that is never carried out."""
    with open_sql(make_store_address(name)) as store:
        for place in range(10):
            key, left = SessionKey("", f"s{place}"), iter(range(place, -1, -1))

            def cut_off(*_: Any, left: Iterator[int] = left) -> None:
                if next(left, None) == 0:
                    raise CutOffError

            with suppress(CutOffError), store.turn(key) as turn:
                turn.bind("conv_1")
                turn.begin()
                sa.event.listen(sql_store(store).database.engine, "before_cursor_execute", cut_off)
                try:
                    turn.finish(TurnState.COMPLETED)
                finally:
                    sa.event.remove(sql_store(store).database.engine, "before_cursor_execute", cut_off)
            (record,) = store.turns(key)
            session = store.get(key)
            assert session is not None
            assert session.turns == (record.state is TurnState.COMPLETED)
        assert record.state is TurnState.COMPLETED, "an end is fewer statements than were cut off here"


@pytest.mark.parametrize("name", ["postgresql", "mariadb"])
def test_and_no_more_round_trips_on_the_wire_and_an_api_key_one(
    name: str, make_store_address: MAKE, server_of: Callable[[str], Any]
) -> None:
    address = make_store_address(name)
    with CountingProxy(server_of(name).port) as network, open_sql(address, network.through(address.url)) as store:
        for _ in range(7):  # until psycopg has prepared what it is going to
            run_streamed_turn(store)
        before = network.trips
        run_streamed_turn(store)
        assert network.trips - before == len(STATEMENTS[name])
        store.store.owners.find_key("ci")
        assert network.trips - before == len(STATEMENTS[name]) + 1


@pytest.mark.parametrize("name", ["postgresql", "mariadb"])
def test_many_turns_under_way_need_a_handful_of_connections(name: str, make_store_address: MAKE) -> None:
    with open_sql(make_store_address(name)) as store, ExitStack() as held:
        keys = [SessionKey("", f"s{number}") for number in range(100)]
        with ThreadPoolExecutor(32) as threads:
            list(threads.map(lambda key: held.enter_context(store.turn(key)).bind("conv_1"), keys))
            pool = sql_store(store).database.engine.pool
            assert isinstance(pool, sa.QueuePool)
            assert pool.checkedout() == 0
            assert pool.size() + max(pool.overflow(), 0) <= CONNECTIONS + 1


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_thousand_sessions_expire_in_a_few_statements(name: str, make_store_address: MAKE) -> None:
    with open_sql(make_store_address(name), erase_expired=True) as store:
        fill(store, sessions=1000, expires_at=1)
        with statements(store) as seen:
            assert store.expire(limit=1000) == 1000
        assert len(seen) < 10
        assert len(store.erasures(limit=3000)) == 2000
        with statements(store) as seen:
            assert store.expire(limit=1000) == 0
        assert len(seen) == 1
