"""What a turn costs a database: round trips, connections, and rows looked at."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
import sqlalchemy as sa

from gateway.database.drivers import CONNECTIONS
from gateway.model import SessionKey, Status, TurnState
from gateway.sessions import Filter, open_sessions
from gateway.sessions.sql import SqlSessionManager
from tests.conftest import StoreAddress
from tests.harness.servers import TcpProxy

KEY = SessionKey("", "user_alice_session")
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


def open_sql(address: StoreAddress, url: str | None = None, **options: Any) -> SqlSessionManager:
    store = open_sessions(url or address.url, prefix=address.prefix, **options)
    assert isinstance(store, SqlSessionManager)
    return store


@contextmanager
def statements(store: SqlSessionManager) -> Iterator[list[tuple[str, Any]]]:
    """What is executed in the block, with its parameters."""
    seen: list[tuple[str, Any]] = []

    def see(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        seen.append((statement, parameters))

    sa.event.listen(store._database.engine, "before_cursor_execute", see)
    try:
        yield seen
    finally:
        sa.event.remove(store._database.engine, "before_cursor_execute", see)


def run_streamed_turn(store: SqlSessionManager, key: SessionKey = KEY, **options: Any) -> None:
    with store.turn(key, **options) as turn:
        if turn.session is None:
            turn.bind("conv_1")
        turn.begin()
        turn.note("resp_1")
        turn.finish(TurnState.COMPLETED, usage={"total_tokens": 3})


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
                sa.event.listen(store._database.engine, "before_cursor_execute", cut_off)
                try:
                    turn.finish(TurnState.COMPLETED)
                finally:
                    sa.event.remove(store._database.engine, "before_cursor_execute", cut_off)
            (record,) = store.turns(key)
            session = store.get(key)
            assert session is not None
            assert session.turns == (record.state is TurnState.COMPLETED)
        assert record.state is TurnState.COMPLETED, "an end is fewer statements than were cut off here"


@pytest.mark.parametrize("name", ["postgresql", "mariadb"])
def test_and_no_more_round_trips_on_the_wire_and_an_api_key_one(
    name: str, make_store_address: MAKE, request: pytest.FixtureRequest
) -> None:
    address = make_store_address(name)
    server = request.getfixturevalue({"postgresql": "postgres"}.get(name, name))
    with CountingProxy(server.port) as network, open_sql(address, network.through(address.url)) as store:
        for _ in range(7):  # until psycopg has prepared what it is going to
            run_streamed_turn(store)
        before = network.trips
        run_streamed_turn(store)
        assert network.trips - before == len(STATEMENTS[name])
        store.key("ci")
        assert network.trips - before == len(STATEMENTS[name]) + 1


@pytest.mark.parametrize("name", ["postgresql", "mariadb"])
def test_many_turns_under_way_need_a_handful_of_connections(name: str, make_store_address: MAKE) -> None:
    with open_sql(make_store_address(name)) as store, ExitStack() as held:
        keys = [SessionKey("", f"s{number}") for number in range(100)]
        with ThreadPoolExecutor(32) as threads:
            list(threads.map(lambda key: held.enter_context(store.turn(key)).bind("conv_1"), keys))
            pool = store._database.engine.pool
            assert isinstance(pool, sa.QueuePool)
            assert pool.checkedout() == 0
            assert pool.size() + max(pool.overflow(), 0) <= CONNECTIONS + 1


# --- Rows looked at ----------------------------------------------------------------------------------------


FILTERS = {
    "of every tenant": Filter(),
    "of a tenant": Filter(tenant=""),
    "of a user": Filter(tenant="", user_id="user_7"),
    "of a status": Filter(tenant="", status=Status.COMPLETED),
    "used before": Filter(tenant="", used_before=1_000_500),
}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def full(request: pytest.FixtureRequest, make_lasting_address: MAKE) -> Iterator[SqlSessionManager]:
    """A store with so many rows that reading all of a table is never the cheapest way."""
    with open_sql(make_lasting_address(request.param)) as store:
        fill(store)
        yield store


def fill(store: SqlSessionManager, sessions: int = 5000) -> None:
    empty = {"tenant": "", "conversation_id": "conv_1", "data": "{}", "metadata": "{}", "generation": 1, "turns": 0}
    rows = [
        {
            **empty,
            "session_id": f"s{number}",
            "created_at": 1_000_000,
            "last_used": 1_000_000 + number,
            "expires_at": 2_000_000_000_000_000 + number,
            "status": "completed" if number % 100 == 0 else "active",
            "user_id": f"user_{number % 100}",
        }
        for number in range(sessions)
    ]
    turn = {"tenant": "", "state": "completed", "lease_until": 0, "owner": "", "workflow": ""}
    turn |= {"created": False, "recovered": False, "undelivered": False, "entered_at": 0}
    turns = [
        {
            **turn,
            "turn_id": f"turn_{number}",
            "session_id": f"s{number % 500}",
            "fence": number,
            "idempotency_key": f"key_{number}",
            "response_id": f"resp_{number}",
            "prune_at": 4_000_000_000_000 + number,
        }
        for number in range(sessions)
    ]

    given = [{"tenant": "", "given_id": f"item_{n}", "until": 4_000_000_000_000 + n} for n in range(sessions)]
    tables, prefix = store._sessions.metadata.tables, store._sessions.name.removesuffix("sessions")

    def insert(work: sa.Connection) -> None:
        work.execute(sa.insert(store._sessions), rows)
        work.execute(sa.insert(tables[f"{prefix}turns"]), turns)
        work.execute(sa.insert(tables[f"{prefix}given"]), given)

    store._database.atomically(insert)
    with store._database.engine.connect() as connection:
        connection.exec_driver_sql("ANALYZE")


def plans(store: SqlSessionManager, action: Callable[[], object]) -> list[str]:
    """How the database carries out each statement of `action`."""
    with statements(store) as seen:
        action()
    explain = "EXPLAIN QUERY PLAN " if store._database.kind == "sqlite" else "EXPLAIN "
    found = []
    with store._database.engine.connect() as connection:
        for text, parameters in seen:
            if text.split()[0] in {"SELECT", "INSERT", "UPDATE", "DELETE", "WITH"}:
                rows = connection.exec_driver_sql(explain + text, parameters).fetchall()
                found.append(text + "\n" + "\n".join(str(row[-1]) for row in rows))
    return found


def assert_by_index(plan: str) -> None:
    for line in plan.splitlines():
        assert not re.search(r"Seq Scan on \w+_(sessions|turns|erasures)", line), plan
        # Of SQLite's scans only one that walks an index in the order of a page ends early.
        walked = r"CONSTANT ROW|single|.* USING INDEX \w+_(sessions_used|erasures_requested|given_until)"
        assert not re.search(rf"SCAN (?!{walked})", line), plan
        assert "Sort" not in line.split("(")[0], plan
        assert "TEMP B-TREE" not in line, plan


def test_a_turn_reads_no_table_from_end_to_end(full: SqlSessionManager) -> None:
    for plan in plans(full, lambda: run_streamed_turn(full, SessionKey("", "s7"), idempotency_key="k")):
        assert_by_index(plan)


def test_nor_does_one_that_waits(full: SqlSessionManager) -> None:
    key = SessionKey("", "s7")
    with full.turn(key):
        in_line = threading.Thread(target=run_streamed_turn, args=(full, key), kwargs={"turn_id": "turn_waiting"})
        in_line.start()
        while full.turn_record(key, "turn_waiting") is None:
            pass
        found = plans(full, lambda: full._poll(key, "turn_waiting"))
    in_line.join()
    assert found
    for plan in found:
        assert_by_index(plan)


@pytest.mark.parametrize("wanted", FILTERS.values(), ids=FILTERS.keys())
def test_nor_does_a_page_of_a_listing(full: SqlSessionManager, wanted: Filter) -> None:
    first = full.list(wanted, limit=10)
    assert first.next is not None
    for after in (None, first.next):
        (plan,) = plans(full, lambda after=after: full.list(wanted, limit=10, after=after))
        assert_by_index(plan)


def test_nor_does_the_sweeper(full: SqlSessionManager) -> None:
    for plan in plans(full, lambda: full.expire(limit=10)):
        assert_by_index(plan)
    for plan in plans(full, lambda: full.recall("", "key_7")):
        assert_by_index(plan)
    for plan in plans(full, lambda: full.response_owner("", "resp_7")):
        assert_by_index(plan)
    for plan in plans(full, lambda: full.turns(SessionKey("", "s7"), limit=3)):
        assert_by_index(plan)
    for plan in plans(full, full.erasures):
        assert "Seq Scan" not in plan or "erasures" in plan  # an empty table is read as it is


@pytest.mark.parametrize("few", [1, 100_000], ids=["walked", "sorted"])
def test_a_prefix_is_found_either_way(full: SqlSessionManager, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.sessions.sql.listing.FEW", few)
    wanted = Filter(tenant="", prefix="s49")
    pages = [full.list(wanted, limit=50)]
    while pages[-1].next is not None:
        pages.append(full.list(wanted, limit=50, after=pages[-1].next))
    found = [session.session_id for page in pages for session in page.sessions]
    assert found == sorted((f"s{n}" for n in range(5000) if str(n).startswith("49")), key=lambda s: -int(s[1:]))


def test_a_page_of_a_prefix_that_most_sessions_have_is_not_sorted(full: SqlSessionManager) -> None:
    _, page = plans(full, lambda: full.list(Filter(tenant="", prefix="s"), limit=10))
    assert_by_index(page)
