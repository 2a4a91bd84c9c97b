"""The sweeper: all processes erase, and nothing that fails holds up the rest."""

import logging
import threading

import pytest

from gateway.errors import StoreUnavailableError
from gateway.lifecycle import sweeping
from gateway.lifecycle.erasures import Eraser
from gateway.lifecycle.sweeping import CLAIMED, FAILURES_A_ROUND, Sweeper
from gateway.model import SessionKey
from gateway.sessions import SessionManager
from gateway.sessions.values import CLAIM_MS
from gateway.testing.waiting import Clock
from tests.harness.support import eventually
from tests.lifecycle.graveyard import Graveyard, bury

DAY_SECONDS = 24 * 3600
ROUND_SECONDS = 30


# --- Erasing ---------------------------------------------------------------------------------------------------


def test_those_that_fail_do_not_hold_up_the_others(
    store: SessionManager, graveyard: Graveyard, sweeper: Sweeper, clock: Clock
) -> None:
    for number in range(13):
        bury(store, number)
        clock.advance(0.1)
    graveyard.stuck = {f"conv_{number}" for number in range(12)}
    for _ in range(8):
        clock.advance(ROUND_SECONDS)
        sweeper.sweep()
    assert graveyard.deleted == ["conv_12"]
    assert (sweeper.totals.erased, len(store.erasures())) == (1, 12)
    graveyard.stuck.clear()
    clock.advance(DAY_SECONDS)
    for _ in range(3):
        sweeper.sweep()
    assert not store.erasures()


def test_one_that_fails_for_good_is_tried_less_and_less(
    store: SessionManager, graveyard: Graveyard, sweeper: Sweeper, clock: Clock
) -> None:
    bury(store, 1)
    graveyard.stuck = {"conv_1"}
    for _ in range(DAY_SECONDS // ROUND_SECONDS):
        sweeper.sweep()
        clock.advance(ROUND_SECONDS)
    first_day = len(graveyard.tried)
    assert 5 < first_day < 15
    for _ in range(10):
        clock.advance(DAY_SECONDS)
        sweeper.sweep()
    # And never less than once a day.
    assert len(graveyard.tried) >= first_day + 9


def test_what_failed_in_one_process_is_let_rest_by_all(
    store: SessionManager, graveyard: Graveyard, sweeper: Sweeper, eraser: Eraser
) -> None:
    bury(store, 1)
    graveyard.stuck = {"conv_1"}
    assert sweeper.sweep().failed == 1
    another = Sweeper(eraser)
    assert another.sweep().failed == 0
    assert graveyard.tried == ["conv_1"]


def test_all_processes_erase_and_no_two_the_same(
    store: SessionManager, graveyard: Graveyard, sweeper: Sweeper, eraser: Eraser
) -> None:
    for number in range(2 * CLAIMED):
        bury(store, number)
    another = Sweeper(eraser)

    def sweep_too(gone_id: str) -> None:
        graveyard.before = lambda gone_id: None
        another.sweep()

    graveyard.before = sweep_too
    assert sweeper.sweep().erased == CLAIMED
    assert another.totals.erased == CLAIMED
    assert sorted(graveyard.tried) == sorted(set(graveyard.tried))


def test_what_a_process_claimed_that_died_is_taken_by_the_next(
    store: SessionManager, sweeper: Sweeper, clock: Clock
) -> None:
    bury(store, 1)
    assert len(store.claim_erasures(CLAIMED, store.now() + CLAIM_MS)) == 1
    assert sweeper.sweep().erased == 0
    clock.advance(CLAIM_MS / 1000)
    assert sweeper.sweep().erased == 1


def test_a_provider_that_is_away_ends_the_round_and_the_rest_is_anybodys(
    store: SessionManager, graveyard: Graveyard, sweeper: Sweeper, eraser: Eraser
) -> None:
    for number in range(CLAIMED):
        bury(store, number)
    graveyard.stuck = {erasure.conversation_id for erasure in store.erasures()}
    done = sweeper.sweep()
    assert (done.erased, done.failed) == (0, FAILURES_A_ROUND)
    graveyard.stuck.clear()
    assert Sweeper(eraser).sweep().erased == CLAIMED - FAILURES_A_ROUND


def test_what_takes_longer_than_a_process_has_is_left_to_the_next(
    store: SessionManager, graveyard: Graveyard, sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    bury(store, 1)
    monkeypatch.setattr(sweeping, "WORK_SECONDS", 0.0)
    assert (sweeper.sweep().failed, graveyard.tried) == (0, [])
    monkeypatch.undo()
    assert sweeper.sweep().erased == 1


def test_a_defect_in_one_erasure_does_not_end_the_sweeping(
    store: SessionManager, graveyard: Graveyard, sweeper: Sweeper, clock: Clock
) -> None:
    bury(store, 1)
    bury(store, 2)

    def break_down(gone_id: str) -> None:
        if gone_id == "conv_1":
            raise KeyError("what no provider should do")

    graveyard.before = break_down
    done = sweeper.sweep()
    assert (done.failed, done.erased) == (1, 1)
    graveyard.before = lambda gone_id: None
    assert sweeper.sweep().erased == 0
    clock.advance(ROUND_SECONDS)
    assert sweeper.sweep().erased == 1


def test_one_that_somebody_else_is_erasing_is_left_to_them(
    store: SessionManager, graveyard: Graveyard, sweeper: Sweeper, clock: Clock
) -> None:
    with store.turn(SessionKey("", "ann")) as turn:
        turn.bind("conv_ann")
        turn.begin_erasure()
        clock.advance(CLAIM_MS / 1000)
        done = sweeper.sweep()
    assert (done.erased, done.failed, graveyard.tried) == (0, 0, [])
    clock.advance(CLAIM_MS / 1000)
    assert sweeper.sweep().erased == 1
    assert store.get(SessionKey("", "ann")) is None


# --- The whole -------------------------------------------------------------------------------------------------


def test_a_round_that_did_something_says_so_in_one_line_without_names(
    store: SessionManager, sweeper: Sweeper, graveyard: Graveyard, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    sweeper.sweep()
    assert not caplog.messages
    bury(store, 1)
    sweeper.sweep()
    assert caplog.messages == [
        "swept: 0 sessions expired, 1 conversations erased (0 items, 0 responses), 0 erasures failed"
    ]
    bury(store, 2)
    graveyard.stuck = {"conv_2"}
    sweeper.sweep()
    assert "provider_error" in caplog.text
    assert "conv_2" not in caplog.text
    assert "s-2" not in caplog.text


def test_the_thread_sweeps_survives_failures_and_ends(
    store: SessionManager, eraser: Eraser, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeper = Sweeper(eraser, period_seconds=0.01)
    asked = threading.Event()

    def away(*args: object) -> int:
        asked.set()
        raise StoreUnavailableError()

    with monkeypatch.context() as outage:
        outage.setattr(store, "expire", away)
        outage.setattr(store, "claim_erasures", away)
        sweeper.start()
        assert eventually(asked.is_set)
    bury(store, 1)
    eventually(lambda: sweeper.totals.erased == 1)
    sweeper.stop()
    sweeper.join(10)
    assert sweeper._thread is not None
    assert not sweeper._thread.is_alive()


def test_work_that_is_left_is_done_without_waiting_for_the_period(store: SessionManager, eraser: Eraser) -> None:
    for number in range(3 * CLAIMED):
        bury(store, number)
    sweeper = Sweeper(eraser, period_seconds=3600)
    sweeper.sweep()
    sweeper.start()
    eventually(lambda: sweeper.totals.erased == 3 * CLAIMED)
    sweeper.stop()
    sweeper.join(10)
