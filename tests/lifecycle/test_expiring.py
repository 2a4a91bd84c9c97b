"""The sweeper: one process drops what expired, and nobody does by a clock that was set."""

from typing import Any

import pytest

from gateway.errors import InvalidSessionIdError, StoreUnavailableError
from gateway.lifecycle import sweeping
from gateway.lifecycle.erasures import Eraser
from gateway.lifecycle.sweeping import DISTRUST_MS, SWEEPERS_TURN, Sweeper
from gateway.model import SessionKey, parse_session_id
from gateway.sessions import Lifetime, SessionManager, open_sessions
from gateway.testing.waiting import Clock
from tests.conftest import StoreAddress
from tests.lifecycle.graveyard import Graveyard, bury

IDLE_SECONDS = 60.0
DAY_SECONDS = 24 * 3600


@pytest.fixture
def store(clock: Clock) -> Any:
    with open_sessions("memory:", clock=clock, lifetime=Lifetime(IDLE_SECONDS), erase_expired=True) as sessions:
        yield sessions


def make(store: SessionManager, number: int) -> None:
    for each in range(number):
        with store.turn(SessionKey("", f"old-{each}")) as turn:
            turn.bind(f"conv_old_{each}")


def test_all_that_expired_is_dropped_in_one_round_a_batch_at_a_time(
    store: SessionManager, sweeper: Sweeper, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "DROPPED_AT_ONCE", 3)
    make(store, 10)
    clock.advance(IDLE_SECONDS)
    batches: list[int] = []
    expire = store.expire

    def counted(limit: int) -> int:
        batches.append(limit)
        return expire(limit)

    monkeypatch.setattr(store, "expire", counted)
    assert sweeper.sweep().expired == 10
    assert batches == [3, 3, 3, 3]


def test_one_process_drops_at_a_time_and_all_of_them_erase(store_address: StoreAddress, graveyard: Graveyard) -> None:
    clock = Clock()
    options: dict[str, Any] = {
        "prefix": store_address.prefix,
        "clock": clock,
        "lifetime": Lifetime(IDLE_SECONDS),
        "erase_expired": True,
    }
    with open_sessions(store_address.url, **options) as here:
        there = open_sessions(store_address.url, **options) if store_address.shared else here
        make(here, 1)
        clock.advance(IDLE_SECONDS)
        bury(here, 1)
        sweeper = Sweeper(Eraser(there, graveyard))
        with here.turn(SWEEPERS_TURN, wait_seconds=0):
            done = sweeper.sweep()
        assert (done.expired, done.erased) == (0, 1)
        done = sweeper.sweep()
        assert (done.expired, done.erased) == (1, 1)
        assert graveyard.deleted == ["conv_1", "conv_old_0"]
        if there is not here:
            there.close()


def test_no_client_can_name_the_sweepers_turn() -> None:
    with pytest.raises(InvalidSessionIdError):
        parse_session_id(SWEEPERS_TURN.session_id)


@pytest.mark.parametrize("failing", ["expire", "claim_erasures"])
@pytest.mark.parametrize("error", [StoreUnavailableError(), ValueError("a defect")])
def test_half_of_a_round_that_fails_does_not_end_the_other(
    store: SessionManager,
    sweeper: Sweeper,
    clock: Clock,
    failing: str,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bury(store, 1)
    make(store, 1)
    clock.advance(IDLE_SECONDS)

    def fail(*args: object) -> None:
        raise error

    monkeypatch.setattr(store, failing, fail)
    done = sweeper.sweep()
    # Both sessions are past their time; of the first one the old conversation was to be erased before.
    assert (done.expired, done.erased) == ((0, 1) if failing == "expire" else (2, 0))


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_was_set_drops_nothing_for_an_hour(
    store: SessionManager, eraser: Eraser, clock: Clock, hours: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Most likely it was set to a wrong time, and what is erased is gone."""
    up = Clock()
    sweeper = Sweeper(eraser, uptime=lambda: round(up() * 1e6))
    make(store, 1)
    sweeper.sweep()
    clock.advance(hours * 3600)
    if hours < 0:
        # Past its time by the clock as it goes from now on.
        clock.advance(3600 + IDLE_SECONDS)
        up.advance(3600 + IDLE_SECONDS)
    caplog.clear()
    assert sweeper.sweep().expired == 0
    assert "the store's clock went" in caplog.text
    for passed in (clock, up):
        passed.advance(DISTRUST_MS / 1000 - 1)
    assert sweeper.sweep().expired == 0
    for passed in (clock, up):
        passed.advance(1)
    assert sweeper.sweep().expired == 1


def test_time_that_passes_for_both_clocks_is_believed(store: SessionManager, eraser: Eraser, clock: Clock) -> None:
    """A host that slept for a night is no reason."""
    up = Clock()
    sweeper = Sweeper(eraser, uptime=lambda: round(up() * 1e6))
    make(store, 1)
    sweeper.sweep()
    clock.advance(DAY_SECONDS)
    up.advance(DAY_SECONDS - 30)
    assert sweeper.sweep().expired == 1
