"""The sweeper: bounded rounds, one at a time, and nothing that fails holds up the rest."""

import logging
import threading
from typing import Any

import pytest

from gateway.errors import StoreUnavailableError
from gateway.lifecycle import sweeping
from gateway.lifecycle.erasures import Eraser
from gateway.lifecycle.sweeping import ERASURES_A_ROUND, SWEEPERS_TURN, Sweeper
from gateway.model import SessionKey
from gateway.sessions import Lifetime, SessionManager, open_sessions
from gateway.testing.waiting import Clock
from tests.conftest import StoreAddress
from tests.harness.support import eventually

IDLE_SECONDS = 60.0


class Graveyard:
    """A provider that deletes what it is told to, apart from `stuck`."""

    def __init__(self) -> None:
        self.deleted: list[str] = []
        self.stuck: set[str] = set()
        self.broken = False

    def list_items(self, conversation_id: str, **options: Any) -> dict[str, Any]:
        if self.broken:
            raise KeyError("what no provider should do")
        return {"data": []}

    def delete_conversation(self, conversation_id: str) -> None:
        from gateway.errors import ProviderError

        if conversation_id in self.stuck:
            raise ProviderError()
        self.deleted.append(conversation_id)


@pytest.fixture
def provider() -> Graveyard:
    return Graveyard()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> Any:
    with open_sessions("memory:", clock=clock, lifetime=Lifetime(IDLE_SECONDS), erase_expired=True) as sessions:
        yield sessions


@pytest.fixture
def sweeper(store: SessionManager, provider: Graveyard) -> Sweeper:
    return Sweeper(Eraser(store, provider))  # type: ignore[arg-type]


def bury(store: SessionManager, number: int) -> None:
    """A session that is to be erased."""
    with store.turn(SessionKey("", f"s-{number}")) as turn:
        turn.bind(f"conv_{number}")
        store.begin_erasure(turn)


def test_those_that_fail_do_not_hold_up_the_others(
    store: SessionManager, provider: Graveyard, sweeper: Sweeper, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "ERASURES_A_ROUND", 4)
    for number in range(12):
        bury(store, number)
        clock.advance(1)
    provider.stuck = {f"conv_{number}" for number in range(6)}
    for _ in range(6):
        sweeper.sweep()
    assert provider.deleted == [f"conv_{number}" for number in range(6, 12)]
    assert len(store.erasures()) == 6
    assert sweeper.totals.erased == 6
    assert sweeper.totals.failed >= 6
    provider.stuck.clear()
    for _ in range(2):
        sweeper.sweep()
    assert not store.erasures()


def test_a_round_is_bounded_and_gives_up_on_a_provider_that_is_away(
    store: SessionManager, provider: Graveyard, sweeper: Sweeper, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "EXPIRED_A_ROUND", 7)
    for number in range(ERASURES_A_ROUND + 5):
        bury(store, number)
    for number in range(10):
        with store.turn(SessionKey("", f"old-{number}")) as turn:
            turn.bind(f"conv_old_{number}")
    clock.advance(IDLE_SECONDS)
    first = sweeper.sweep()
    assert first is not None
    assert (first.expired, first.erased) == (7, ERASURES_A_ROUND)
    provider.stuck = {erasure.conversation_id for erasure in store.erasures()}
    second = sweeper.sweep()
    assert second is not None
    assert (second.expired, second.erased, second.failed) == (3, 0, 3)


def test_a_defect_in_one_erasure_does_not_end_the_sweeping(
    store: SessionManager, provider: Graveyard, sweeper: Sweeper
) -> None:
    bury(store, 1)
    provider.broken = True
    done = sweeper.sweep()
    assert done is not None
    assert done.failed == 1
    provider.broken = False
    done = sweeper.sweep()
    assert done is not None
    assert done.erased == 1


def test_one_that_somebody_else_is_erasing_is_left_to_them(
    store: SessionManager, provider: Graveyard, sweeper: Sweeper
) -> None:
    bury(store, 1)
    with store.turn(SessionKey("", "s-1"), erasing=True):
        done = sweeper.sweep()
    assert done is not None
    assert (done.erased, done.failed, provider.deleted) == (0, 0, [])


def test_one_process_of_a_store_sweeps_at_a_time(store_address: StoreAddress, provider: Graveyard) -> None:
    options: dict[str, Any] = {"prefix": store_address.prefix}
    with open_sessions(store_address.url, **options) as here:
        there = open_sessions(store_address.url, **options) if store_address.shared else here
        sweeper = Sweeper(Eraser(there, provider))  # type: ignore[arg-type]
        with here.turn(SWEEPERS_TURN, wait_seconds=0):
            assert sweeper.sweep() is None
        assert sweeper.sweep() is not None
        there.close()


def test_no_client_can_name_the_sweepers_turn() -> None:
    from gateway.errors import InvalidSessionIdError
    from gateway.model import parse_session_id

    with pytest.raises(InvalidSessionIdError):
        parse_session_id(SWEEPERS_TURN.session_id)


def test_a_round_that_did_something_says_so_in_one_line_without_names(
    store: SessionManager, sweeper: Sweeper, provider: Graveyard, caplog: pytest.LogCaptureFixture
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
    provider.stuck = {"conv_2"}
    sweeper.sweep()
    assert "provider_error" in caplog.text
    assert "conv_2" not in caplog.text
    assert "s-2" not in caplog.text


def test_the_thread_sweeps_when_woken_survives_failures_and_ends(
    store: SessionManager, provider: Graveyard, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeper = Sweeper(Eraser(store, provider), period_seconds=3600)  # type: ignore[arg-type]
    asked = threading.Event()
    expire = store.expire

    def away(**options: Any) -> int:
        asked.set()
        raise StoreUnavailableError()

    monkeypatch.setattr(store, "expire", away)
    sweeper.start()
    sweeper.wake()
    assert eventually(asked.is_set)
    monkeypatch.setattr(store, "expire", expire)
    bury(store, 1)
    eventually(lambda: sweeper.wake() or sweeper.totals.erased == 1)  # type: ignore[func-returns-value]
    sweeper.stop()
    sweeper.join(10)
    assert sweeper._thread is not None
    assert not sweeper._thread.is_alive()


def test_work_that_is_left_is_done_without_waiting_for_the_period(
    store: SessionManager, provider: Graveyard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "ERASURES_A_ROUND", 2)
    monkeypatch.setattr(sweeping, "SOON_SECONDS", 0.01)
    for number in range(7):
        bury(store, number)
    sweeper = Sweeper(Eraser(store, provider), period_seconds=3600)  # type: ignore[arg-type]
    sweeper.start()
    sweeper.wake()
    eventually(lambda: sweeper.totals.erased == 7)
    sweeper.stop()
    sweeper.join(10)
