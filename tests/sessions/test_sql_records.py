"""What becomes of turn records and erasures in SQL over the days, and what they are kept for."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from gateway.model import SessionKey, TurnState
from gateway.sessions import Lifetime, SessionManager, open_sessions
from gateway.testing.waiting import Clock
from tests.conftest import StoreAddress
from tests.harness.sql_stores import KEY, add_erasures, rows, run_turn, sql_store

MAKE = Callable[[str], StoreAddress]
OTHER = SessionKey("", "another")
HOUR, DAY = 3600.0, 86400.0


# --- Old records -------------------------------------------------------------------------------------------


def test_records_stay_whole_for_thirty_days_and_then_they_go(store: SessionManager, clock: Clock) -> None:
    records = [run_turn(store, workflow="coach", fingerprint="f" * 64) for _ in range(60)]
    clock.advance(30 * DAY - 1)
    assert store.prune() == 0
    assert list(store.turns(KEY, limit=100)) == records[::-1]
    clock.advance(1)
    assert store.prune(limit=50) == 50
    assert store.prune(limit=50) == 10
    assert rows(store, "SELECT * FROM {turns}") == []
    assert store.get(KEY) is not None


def test_thousands_of_records_go_at_once(store: SessionManager, clock: Clock) -> None:
    run_turn(store)
    turns = sql_store(store).tables.turns
    (row,) = sql_store(store).database.rows(sa.select(*(column for column in turns.c if column.name != "number")))
    copies = [{**row._asdict(), "turn_id": f"turn_{number}", "fence": number} for number in range(3000)]
    sql_store(store).database.atomically(lambda work: work.execute(sa.insert(turns), copies))
    clock.advance(31 * DAY)
    assert store.store.records.prune(2500) == 2500
    assert store.store.records.prune(2500) == 501


def test_records_without_a_session_go_too(store: SessionManager, clock: Clock) -> None:
    with store.turn(KEY) as turn:
        turn.finish(TurnState.FAILED, error_code="provider_unavailable")
    clock.advance(31 * DAY)
    assert store.prune() == 1
    assert rows(store, "SELECT * FROM {turns}") == []


def test_a_turn_that_lasts_is_not_past_its_time(store: SessionManager, clock: Clock) -> None:
    with store.turn(OTHER, turn_id="turn_long") as long:
        long.bind("conv_2")
        long.begin()
        clock.advance(40 * DAY)
        assert store.prune() == 0
        long.note("resp_2")


def test_a_key_is_forgotten_after_a_day(store: SessionManager, clock: Clock) -> None:
    run_turn(store, idempotency_key="key")
    clock.advance(25 * HOUR)
    assert store.recall("", "key") is None
    run_turn(store, idempotency_key="key")


def test_a_turn_in_doubt_is_kept_as_long_as_others(store: SessionManager, clock: Clock) -> None:
    with store.turn(KEY, turn_id="turn_cut_off") as turn:
        turn.bind("conv_1")
        turn.begin()
    clock.advance(29 * DAY)
    store.prune()
    record = store.turn_record(KEY, "turn_cut_off")
    assert record is not None
    assert record.in_doubt


# --- Records without their session -------------------------------------------------------------------------


@pytest.mark.parametrize("erase", [False, True], ids=["forgotten", "erased"])
def test_a_record_that_is_kept_for_its_key_alone_goes_with_it(store: SessionManager, clock: Clock, erase: bool) -> None:
    run_turn(store, idempotency_key="key")
    run_turn(store)
    with store.turn(KEY) as turn:
        if erase:
            store.finish_erasure(turn.begin_erasure())
        else:
            turn.forget()
    assert rows(store, "SELECT idempotency_key FROM {turns} WHERE place IS NULL") == [("key",)]
    clock.advance(DAY)
    assert store.prune() == 1
    assert rows(store, "SELECT * FROM {turns}") == []


def test_of_an_erased_turn_nothing_stays_but_its_key(store: SessionManager) -> None:
    record = run_turn(store, idempotency_key="key", fingerprint="print", workflow="coach")
    with store.turn(KEY) as turn:
        store.finish_erasure(turn.begin_erasure())
    (left,) = rows(store, "SELECT * FROM {turns}")
    kept = {name: value for name, value in left._asdict().items() if value}
    for name in ("number", "owner", "lease_until", "entered_at", "prune_at"):  # of the queue, and for how long
        kept.pop(name)
    assert kept == {
        "turn_id": record.turn_id, "state": "lost", "idempotency_key": "key", "fingerprint": "print",
    }  # fmt: skip


def test_what_an_erasure_needs_stays_until_it_is_done(make_store_address: MAKE, clock: Clock) -> None:
    address = make_store_address("sqlite")
    options: dict[str, Any] = {"lifetime": Lifetime(60), "erase_expired": True, "clock": clock}
    with open_sessions(address.url, prefix=address.prefix, **options) as store:
        run_turn(store)
        with store.turn(KEY) as turn:
            turn.bind("conv_2", erase_old=True)
        clock.advance(61)
        assert store.expire() == 1
        assert sorted(each.conversation_id for each in store.erasures()) == ["conv_2", "conv_user_alice_session"]
        assert store.turns(KEY) == []
        assert list(store.store.records.responses(KEY, "conv_user_alice_session", 10)) == ["resp_1"]
        for erasure in store.erasures():
            store.finish_erasure(erasure)
        assert rows(store, "SELECT * FROM {turns}") == []


# --- Erasures ----------------------------------------------------------------------------------------------


def test_of_many_who_claim_each_erasure_is_one_claimers(store: SessionManager) -> None:
    add_erasures(store, 40)
    until = store.now() + 60_000
    with ThreadPoolExecutor(4) as threads:
        claimed = [each for claim in threads.map(lambda _: store.claim_erasures(10, until), range(4)) for each in claim]
    assert len({each.session_id for each in claimed}) == len(claimed)
    claimed += store.claim_erasures(40, until)
    assert sorted(each.session_id for each in claimed) == sorted(f"s{number}" for number in range(40))


def test_one_that_fails_for_good_keeps_no_other_waiting(store: SessionManager, clock: Clock) -> None:
    add_erasures(store, 3)
    for _ in range(2):
        for erasure in store.claim_erasures(3, store.now() + 60_000):
            if erasure.session_id == "s0":
                store.postpone(replace(erasure, attempts=erasure.attempts + 1, not_before=store.now() + 500_000))
        clock.advance(60)
    assert [(each.session_id, each.attempts) for each in store.claim_erasures(3, store.now() + 60_000)] == [
        ("s1", 0),
        ("s2", 0),
    ]


# --- Whose ids these are -----------------------------------------------------------------------------------


def test_ids_given_outside_of_sessions_are_kept_a_month_from_the_last_time(store: SessionManager, clock: Clock) -> None:
    ids = [f"item_{number}" for number in range(1200)]
    store.remember("alice", ids)
    clock.advance(20 * DAY)
    store.remember("alice", [ids[-1], "resp_2"])
    store.remember("bob", ids[:1])
    clock.advance(11 * DAY)
    assert store.remembered("alice", [*ids, "resp_2"]) == {ids[-1], "resp_2"}
    assert store.remembered("bob", ids) == {ids[0]}
    assert (store.prune(limit=1000), store.prune(limit=1000)) == (1000, 199)
    assert rows(store, "SELECT count(*) FROM {given}") == [(3,)]


def test_the_mark_of_an_undelivered_reply_is_claimed_once(store: SessionManager) -> None:
    record = run_turn(store)
    assert not store.claim_undelivered(record)
    store.mark_undelivered(record)
    assert store.turns(KEY)[0].undelivered
    assert [store.claim_undelivered(record) for _ in range(3)] == [True, False, False]
    assert list(store.turns(KEY)) == [record]


def test_a_response_belongs_to_its_session_under_its_name_now(store: SessionManager) -> None:
    run_turn(store)
    store.rename(KEY, "renamed")
    assert store.response_owner("", "resp_1") == ("renamed", f"conv_{KEY.session_id}", "")
    assert store.response_owner("other", "resp_1") is None
    store.remember("other", ["resp_1"])
    assert store.response_owner("other", "resp_1") == (None, None, None)
