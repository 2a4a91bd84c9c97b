"""What a turn costs a database: round trips, connections, and rows looked at."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from typing import Any

import pytest
import sqlalchemy as sa

from gateway.database.drivers import CONNECTIONS
from gateway.liveness import Liveness
from gateway.model import SessionKey, Status, TurnState
from gateway.sessions import Filter, open_sessions
from gateway.sessions.manager import SessionManager
from gateway.sessions.sql import SqlStore
from gateway.sessions.values import Erasure
from tests.conftest import StoreAddress
from tests.harness.servers import TcpProxy
from tests.harness.sql_stores import KEY, sql_store

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


def open_sql(address: StoreAddress, url: str | None = None, **options: Any) -> SessionManager:
    return open_sessions(url or address.url, prefix=address.prefix, **options)


@contextmanager
def statements(store: SessionManager) -> Iterator[list[tuple[str, Any]]]:
    """What is executed in the block, with its parameters."""
    seen: list[tuple[str, Any]] = []

    def see(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        seen.append((statement, parameters))

    sa.event.listen(sql_store(store).database.engine, "before_cursor_execute", see)
    try:
        yield seen
    finally:
        sa.event.remove(sql_store(store).database.engine, "before_cursor_execute", see)


def run_streamed_turn(store: SessionManager, key: SessionKey = KEY, **options: Any) -> None:
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


# --- Rows looked at ----------------------------------------------------------------------------------------


FILTERS = {
    "of every tenant": Filter(),
    "of a tenant": Filter(tenant=""),
    "of a user": Filter(tenant="", user_id="user_7"),
    "of a status": Filter(tenant="", status=Status.COMPLETED),
    "used before": Filter(tenant="", used_before=1_000_500),
}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def full(request: pytest.FixtureRequest, make_lasting_address: MAKE) -> Iterator[SessionManager]:
    """A store with so many rows that reading all of a table is never the cheapest way."""
    with open_sql(make_lasting_address(request.param)) as store:
        fill(store)
        with sql_store(store).database.engine.connect() as connection:
            connection.exec_driver_sql("ANALYZE")
        yield store


def fill(store: SessionManager, sessions: int = 5000, expires_at: int = 3_000_000_000_000) -> None:
    empty = {"tenant": "", "conversation_id": "conv_1", "data": "{}", "metadata": "{}", "generation": 1, "turns": 0}
    empty["revision"] = 0
    rows = [
        {
            **empty,
            "session_id": f"s{number}",
            "created_at": 1_000_000,
            "last_used": 1_000_000 + number,
            "expires_at": expires_at + number,
            "status": "completed" if number % 5 == 0 else "active",
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

    erasures = [
        Erasure("", f"s{number}", f"conv_old_{number}", number, whole=False, not_before=4_000_000_000_000 + number)
        for number in range(sessions)
    ]
    given = [{"tenant": "", "given_id": f"item_{n}", "until": 4_000_000_000_000 + n} for n in range(sessions)]
    tables = sql_store(store).tables

    def insert(work: sa.Connection) -> None:
        work.execute(sa.insert(tables.sessions), rows)
        work.execute(sa.insert(tables.turns), turns)
        work.execute(sa.insert(tables.given), given)
        work.execute(sa.insert(tables.erasures), [asdict(erasure) for erasure in erasures])

    sql_store(store).database.atomically(insert)


def plans(store: SessionManager, action: Callable[[], object]) -> list[str]:
    """How the database carries out each statement of `action`."""
    with statements(store) as seen:
        action()
    explain = "EXPLAIN QUERY PLAN " if sql_store(store).database.kind == "sqlite" else "EXPLAIN "
    found = []
    with sql_store(store).database.engine.connect() as connection:
        for text, parameters in seen:
            if text.split()[0] in {"SELECT", "INSERT", "UPDATE", "DELETE", "WITH"}:
                one = parameters[0] if many(parameters) else parameters
                rows = connection.exec_driver_sql(explain + text, one).fetchall()
                found.append(text + "\n" + "\n".join(str(row[-1]) for row in rows))
    return found


def many(parameters: Any) -> bool:
    """Whether a statement was executed for each of a list of parameters."""
    return isinstance(parameters, list) and isinstance(parameters[0], (dict, tuple))


def assert_by_index(plan: str) -> None:
    for line in plan.splitlines():
        assert not re.search(r"Seq Scan on \w+_(sessions|turns|erasures)", line), plan
        # Of SQLite's scans only one that walks an index in the order of a page ends early.
        walked = r"CONSTANT ROW|single|.* USING INDEX \w+_(sessions_used|erasures_requested|erasures_due|given_until)"
        assert not re.search(rf"SCAN (?!{walked})", line), plan
        assert "Sort" not in line.split("(")[0], plan
        assert "TEMP B-TREE" not in line, plan


def test_a_turn_reads_no_table_from_end_to_end(full: SessionManager) -> None:
    for plan in plans(full, lambda: run_streamed_turn(full, SessionKey("", "s7"), idempotency_key="k")):
        assert_by_index(plan)


def test_nor_does_one_that_waits(full: SessionManager) -> None:
    key = SessionKey("", "s7")
    with full.turn(key):
        in_line = threading.Thread(target=run_streamed_turn, args=(full, key), kwargs={"turn_id": "turn_waiting"})
        in_line.start()
        while full.turn_record(key, "turn_waiting") is None:
            pass
        found = plans(full, lambda: full.store.tickets.poll(key, "turn_waiting"))
    in_line.join()
    assert found
    for plan in found:
        assert_by_index(plan)


@pytest.mark.parametrize("wanted", FILTERS.values(), ids=FILTERS.keys())
def test_nor_does_a_page_of_a_listing(full: SessionManager, wanted: Filter) -> None:
    first = full.list(wanted, limit=10)
    assert first.next is not None
    for after in (None, first.next):
        (plan,) = plans(full, lambda after=after: full.list(wanted, limit=10, after=after))
        assert_by_index(plan)


def test_nor_does_the_sweeper(full: SessionManager) -> None:
    """Neither when nothing is past its time, nor when a little is."""
    later = replace(full.store.terms, clock=lambda: 4_000_000_000.0)
    soon = SqlStore(sql_store(full).database, sql_store(full).tables, Liveness(None), later)
    for sweep in (
        lambda: full.expire(limit=10),
        lambda: full.prune(limit=10),
        lambda: full.claim_erasures(10, full.now() + 60_000),
        lambda: soon.sessions.expire(10),
        lambda: soon.records.prune(10),
        lambda: soon.owners.prune(10),
    ):
        found = plans(full, sweep)
        assert found
        for plan in found:
            assert_by_index(plan)


def test_nor_does_who_erases(full: SessionManager) -> None:
    erasure = Erasure("", "s8", "conv_1", 0, whole=True)
    for step in (
        lambda: full.responses(erasure, 100),
        lambda: full.drop_responses(erasure, ["resp_8"]),
        lambda: full.finish_erasure(erasure),
        full.erasures,
    ):
        for plan in plans(full, step):
            assert_by_index(plan)


def test_nor_does_who_looks_something_up(full: SessionManager) -> None:
    for look in (
        lambda: full.recall("", "key_7"),
        lambda: full.response_owner("", "resp_7"),
        lambda: full.turns(SessionKey("", "s7"), limit=3),
        lambda: full.store.sessions.get_many([SessionKey("", f"s{number}") for number in range(20)]),
        lambda: full.made("", limit=20),
    ):
        for plan in plans(full, look):
            assert_by_index(plan)


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


@pytest.mark.parametrize("few", [1, 100_000], ids=["walked", "sorted"])
def test_a_prefix_is_found_either_way(full: SessionManager, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.sessions.sql.listing.FEW", few)
    wanted = Filter(tenant="", prefix="s49")
    pages = [full.list(wanted, limit=50)]
    while pages[-1].next is not None:
        pages.append(full.list(wanted, limit=50, after=pages[-1].next))
    found = [session.session_id for page in pages for session in page.sessions]
    assert found == sorted((f"s{n}" for n in range(5000) if str(n).startswith("49")), key=lambda s: -int(s[1:]))


def test_a_page_of_a_prefix_that_most_sessions_have_is_not_sorted(full: SessionManager) -> None:
    _, page = plans(full, lambda: full.list(Filter(tenant="", prefix="s"), limit=10))
    assert_by_index(page)
