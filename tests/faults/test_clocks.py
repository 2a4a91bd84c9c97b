"""The clock that rules the lifetime of sessions jumps, forward and back: turns under way are held all the same, and
no session is lost, doubled or stuck."""

from collections.abc import Callable, Iterator

import pytest

from gateway.errors import TurnBusyError
from gateway.model import SessionKey, TurnState
from gateway.sessions import Filter, Lifetime, SessionManager, open_sessions
from gateway.testing.waiting import Clock
from tests.conftest import StoreAddress

ANN, BOB = SessionKey("", "ann"), SessionKey("", "bob")
HOUR, YEAR = 3600.0, 365 * 86400.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(store_address: StoreAddress, clock: Clock) -> Iterator[SessionManager]:
    lifetime = Lifetime(idle_seconds=HOUR)
    with open_sessions(store_address.url, prefix=store_address.prefix, lifetime=lifetime, clock=clock) as store:
        yield store


def take_turn(store: SessionManager, key: SessionKey, *, during: Callable[[], None] = lambda: None) -> str:
    """A whole turn; the conversation that it took place in."""
    with store.turn(key, wait_seconds=0) as turn:
        session = turn.session or turn.bind(f"conv_{key.session_id}_{store.now()}")
        turn.begin()
        during()
        turn.finish(TurnState.COMPLETED)
    return session.conversation_id


@pytest.mark.parametrize("seconds", [YEAR, -YEAR], ids=["forward", "back"])
def test_a_turn_outlives_a_jump_and_nobody_gets_in_beside_it(
    seconds: float, store: SessionManager, clock: Clock
) -> None:
    first = take_turn(store, ANN)

    def jump() -> None:
        clock.advance(seconds)
        with pytest.raises(TurnBusyError), store.turn(ANN, wait_seconds=0):
            pass
        assert store.get(ANN) is not None

    assert take_turn(store, ANN, during=jump) == first
    session = store.get(ANN)
    assert session is not None
    assert (session.conversation_id, session.turns) == (first, 2)


def test_after_a_jump_back_a_session_is_the_same_and_its_last_use_does_not_go_back(
    store: SessionManager, clock: Clock
) -> None:
    first = take_turn(store, ANN)
    used = store.get(ANN)
    clock.advance(-YEAR)
    assert take_turn(store, ANN) == first
    take_turn(store, BOB)
    session = store.get(ANN)
    assert used is not None
    assert session is not None
    assert session.last_used >= used.last_used
    assert [listed.session_id for listed in store.list(Filter()).sessions] == ["ann", "bob"]
    assert store.expire() == 0


def test_a_jump_forward_and_back_again_leaves_a_session_as_long_as_it_would_have_lived(
    store: SessionManager, clock: Clock
) -> None:
    first = take_turn(store, ANN)
    clock.advance(YEAR)
    clock.advance(-YEAR + HOUR / 2)
    assert take_turn(store, ANN) == first
    clock.advance(HOUR + 1)
    assert store.get(ANN) is None
    assert take_turn(store, ANN) != first
