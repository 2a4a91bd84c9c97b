"""What a step costs a database in rows looked at: none reads a table from end to end."""

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from gateway.liveness import Liveness
from gateway.model import SessionKey, Status
from gateway.sessions import Filter
from gateway.sessions.manager import SessionManager
from gateway.sessions.sql import SqlStore
from gateway.sessions.values import Erasure
from tests.conftest import StoreAddress
from tests.harness.sql_stores import fill, open_sql, run_streamed_turn, sql_store, statements
from tests.harness.support import eventually

MAKE = Callable[[str], StoreAddress]


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
        eventually(lambda: full.turn_record(key, "turn_waiting"))
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
