"""Whose ticket is dead in SQL, whatever clocks did; and the numbers that only grow."""

import time
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from gateway.errors import TurnBusyError
from gateway.model import SessionKey, TurnState
from gateway.sessions import Lifetime, SessionManager, open_sessions
from gateway.testing.waiting import Clock
from tests.conftest import StoreAddress
from tests.harness.sql_stores import KEY, execute, rows, run_turn, sql_store

MAKE = Callable[[str], StoreAddress]
OTHER = SessionKey("", "another")
DAY = 86400.0


def test_tickets_that_nobody_came_after_go_with_the_others(store: SessionManager, clock: Clock) -> None:
    with store.turn(KEY, turn_id="turn_holds") as turn:
        turn.bind("conv_1")
        execute(store, "UPDATE {turns} SET lease_until = 0")
        clock.advance(31 * DAY)
        assert store.prune() == 1
        assert rows(store, "SELECT * FROM {turns}") == []


def test_a_session_does_not_expire_while_a_turn_waits_for_it(make_store_address: MAKE, clock: Clock) -> None:
    address = make_store_address("sqlite")
    lifetime = Lifetime(idle_seconds=60)
    with open_sessions(address.url, prefix=address.prefix, clock=clock, lifetime=lifetime) as store:
        with store.turn(KEY) as turn:
            turn.bind("conv_1")
            clock.advance(61)
            execute(store, "UPDATE {turns} SET place = 5")
            assert store.expire() == 0
            execute(store, "UPDATE {turns} SET place = 0")
        assert store.expire() == 1


def test_sessions_with_turns_keep_no_others_from_expiring(make_store_address: MAKE, clock: Clock) -> None:
    address = make_store_address("sqlite")
    lifetime = Lifetime(idle_seconds=60)
    with open_sessions(address.url, prefix=address.prefix, clock=clock, lifetime=lifetime) as store:
        run_turn(store)
        clock.advance(1)
        run_turn(store, OTHER)
        with store.turn(KEY):
            clock.advance(61)
            assert store.expire(limit=1) == 1
            assert store.store.sessions.get(OTHER) is None


@pytest.mark.parametrize("late", [False, True], ids=["its lease is over", "its lease lies in the far future"])
def test_who_died_before_a_reboot_keeps_no_session_from_expiring(
    make_store_address: MAKE, clock: Clock, late: bool
) -> None:
    address = make_store_address("sqlite")
    options: dict[str, Any] = {"clock": clock, "lifetime": Lifetime(idle_seconds=60)}
    with open_sessions(address.url, prefix=address.prefix, **options) as store, store.turn(KEY) as turn:
        turn.bind("conv_1")
        turn.begin()
        clock.advance(61)
        execute(store, "UPDATE {turns} SET owner = '1-gone', lease_until = :until", until=2**60 if late else 0)
        assert store.expire() == 1
        assert store.store.sessions.get(KEY) is None


def test_no_lease_is_longer_than_two_whatever_a_clock_did(store: SessionManager) -> None:
    """A server's clock that stepped back by an hour: a holder that died would block its session for an hour."""
    hour_us = 3_600_000_000
    lease_us = round(store.store.terms.lease_seconds * 1e6)
    with store.turn(KEY, turn_id="turn_holds"):
        execute(store, "UPDATE {turns} SET lease_until = lease_until + :hour", hour=hour_us)
        with pytest.raises(TurnBusyError), store.turn(KEY, wait_seconds=0):
            pass
        database = sql_store(store).database
        ((until, now),) = database.rows(sa.select(sql_store(store).tables.turns.c.lease_until, database.tick))
        assert lease_us < until - now <= 2 * lease_us


def test_after_a_reboot_every_ticket_is_dead_whatever_its_lease_says(make_store_address: MAKE) -> None:
    address = make_store_address("sqlite")
    with open_sessions(address.url, prefix=address.prefix) as store, store.turn(KEY, turn_id="turn_before") as turn:
        turn.bind("conv_1")
        turn.begin()
        # The clock of leases starts anew: those of a machine that was up for long lie in the far future.
        execute(store, "UPDATE {turns} SET owner = :gone, lease_until = :far", gone="1-gone", far=2**60)
        assert not store.store.tickets.is_held(KEY)
        with store.turn(KEY, wait_seconds=0) as after:
            assert after.fence > turn.fence
        record = store.turn_record(KEY, "turn_before")
        assert record is not None
        assert record.in_doubt


def test_a_step_back_of_the_wall_clock_leaves_leases_alone(
    make_store_address: MAKE, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = make_store_address("sqlite")
    with open_sessions(address.url, prefix=address.prefix) as store:
        with store.turn(KEY) as turn:
            turn.bind("conv_1")
            real = time.time_ns
            monkeypatch.setattr(time, "time_ns", lambda: real() - 10**15)
            turn.begin()
            assert store.store.tickets.renew([(KEY, turn.record.turn_id)]) == {turn.record.turn_id}
            turn.finish(TurnState.COMPLETED)
        with store.turn(KEY) as later:
            assert later.fence > turn.fence  # and so do fences, which start from that clock
            assert later.session is not None
            assert later.session.last_used == turn.session.last_used


# --- Fences ------------------------------------------------------------------------------------------------


def test_fences_grow_where_another_hosts_clock_runs_ahead(store: SessionManager) -> None:
    run_turn(store)
    ahead = sql_store(store).database.epoch_us() + 3_600_000_000
    execute(store, "UPDATE {turns} SET fence = :ahead", ahead=ahead)
    fences = []
    for _ in range(3):
        with store.turn(KEY) as turn:
            fences.append(turn.fence)
            turn.begin()
            turn.finish(TurnState.COMPLETED)
    assert fences == [ahead + 1, ahead + 2, ahead + 3]
