"""How long a session lives: renewed by turns, never by reads, and never over during a turn."""

from __future__ import annotations

import pytest

from gateway.errors import SessionNotFoundError
from gateway.model import SessionKey, TurnState
from gateway.sessions.manager import SessionManager
from gateway.sessions.values import Filter, Lifetime
from gateway.testing.contract import KEY, OpenStore, StoreContract, make_session, run_turn
from gateway.testing.waiting import Clock

IDLE_SECONDS = 600.0


class LifetimeContract(StoreContract):
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def mortal(self, open_store: OpenStore, clock: Clock) -> SessionManager:
        """The store, where sessions die when nobody has used them for ten minutes."""
        return open_store(lifetime=Lifetime(idle_seconds=IDLE_SECONDS), clock=clock)

    def test_a_session_that_nobody_uses_expires(self, mortal: SessionManager, clock: Clock) -> None:
        session = make_session(mortal)
        assert session.expires_at == session.created_at + IDLE_SECONDS * 1000
        clock.advance(IDLE_SECONDS - 1)
        assert mortal.get(KEY) == session
        clock.advance(1)
        assert mortal.get(KEY) is None
        assert mortal.list(Filter()).sessions == []
        with pytest.raises(SessionNotFoundError):
            mortal.update(KEY, data={"a": 1})
        with pytest.raises(SessionNotFoundError):
            mortal.rename(KEY, "renamed")

    def test_a_turn_renews_it_and_reading_does_not(self, mortal: SessionManager, clock: Clock) -> None:
        made = make_session(mortal)
        clock.advance(IDLE_SECONDS - 10)
        mortal.get(KEY)
        mortal.list(Filter())
        mortal.update(KEY, data={"read": True})
        read = mortal.get(KEY)
        assert read is not None
        assert read.expires_at == made.expires_at
        run_turn(mortal)
        clock.advance(IDLE_SECONDS - 10)
        renewed = mortal.get(KEY)
        assert renewed is not None
        assert (renewed.created_at, renewed.turns) == (made.created_at, 1)
        clock.advance(10)
        assert mortal.get(KEY) is None

    def test_no_use_can_keep_it_past_its_age(self, open_store: OpenStore, clock: Clock) -> None:
        store = open_store(lifetime=Lifetime(idle_seconds=IDLE_SECONDS, age_seconds=1000), clock=clock)
        make_session(store)
        clock.advance(550)
        run_turn(store)
        session = store.get(KEY)
        assert session is not None
        assert session.expires_at == session.created_at + 1_000_000
        clock.advance(450)
        assert store.get(KEY) is None

    def test_it_does_not_expire_during_a_turn(self, mortal: SessionManager, clock: Clock) -> None:
        make_session(mortal)
        with mortal.turn(KEY) as turn:
            turn.begin()
            clock.advance(IDLE_SECONDS * 2)
            assert mortal.get(KEY) == turn.session
            assert mortal.expire() == 0
            assert mortal.get(KEY) == turn.session
            turn.finish(TurnState.COMPLETED)
        session = mortal.get(KEY)
        assert session is not None
        assert (session.turns, session.last_used) == (1, mortal.now())
        clock.advance(IDLE_SECONDS)
        assert mortal.get(KEY) is None

    def test_a_turn_after_its_end_begins_a_fresh_session(self, mortal: SessionManager, clock: Clock) -> None:
        make_session(mortal, data={"old": True}, user_id="u")
        run_turn(mortal)
        clock.advance(IDLE_SECONDS)
        with mortal.turn(KEY) as turn:
            assert turn.session is None
            fresh = turn.bind("conv_2")
            assert mortal.get(KEY) == fresh
        assert (fresh.generation, fresh.turns, fresh.data, fresh.user_id) == (1, 0, {}, None)
        assert fresh.created_at == mortal.now()
        assert mortal.get(KEY) == fresh
        assert not mortal.erasures()

    def test_a_fresh_session_is_not_dropped_for_its_forerunner(self, mortal: SessionManager, clock: Clock) -> None:
        make_session(mortal)
        clock.advance(IDLE_SECONDS)
        fresh = make_session(mortal, conversation_id="conv_2")
        assert mortal.expire() == 0
        assert mortal.get(KEY) == fresh

    def test_expired_sessions_are_dropped_a_few_at_a_time(self, mortal: SessionManager, clock: Clock) -> None:
        for number in range(5):
            make_session(mortal, SessionKey("", f"old_{number}"))
        clock.advance(IDLE_SECONDS)
        young = make_session(mortal)
        assert mortal.expire(limit=2) == 2
        assert mortal.expire(limit=2) == 2
        assert mortal.expire(limit=2) == 1
        assert mortal.expire(limit=2) == 0
        assert mortal.get(KEY) == young
        assert not mortal.erasures()

    def test_an_expired_conversation_is_handed_to_the_erasers(self, open_store: OpenStore, clock: Clock) -> None:
        store = open_store(lifetime=Lifetime(idle_seconds=IDLE_SECONDS), clock=clock, erase_expired=True)
        for number in range(3):
            make_session(store, SessionKey("t", f"old_{number}"), f"conv_{number}")
        clock.advance(IDLE_SECONDS)
        assert store.get(SessionKey("t", "old_0")) is None
        assert store.expire() == 3
        assert store.expire() == 0
        erasures = store.erasures()
        assert sorted((each.tenant, each.session_id, each.conversation_id) for each in erasures) == [
            ("t", f"old_{number}", f"conv_{number}") for number in range(3)
        ]
        for erasure in erasures:
            store.finish_erasure(erasure)
        assert not store.erasures()

    def test_a_fresh_session_hands_its_forerunner_to_the_erasers(self, open_store: OpenStore, clock: Clock) -> None:
        store = open_store(lifetime=Lifetime(idle_seconds=IDLE_SECONDS), clock=clock, erase_expired=True)
        make_session(store)
        clock.advance(IDLE_SECONDS)
        fresh = make_session(store, conversation_id="conv_2")
        (erasure,) = store.erasures()
        assert (erasure.conversation_id, erasure.whole) == ("conv_1", False)
        store.finish_erasure(erasure)
        assert store.get(KEY) == fresh

    def test_a_store_that_is_told_nothing_has_its_own_lifetime(self, open_store: OpenStore, clock: Clock) -> None:
        store = open_store(clock=clock)
        idle_seconds = store.store.idle_seconds
        session = make_session(store)
        if idle_seconds is None:
            assert session.expires_at is None
            idle_seconds = 10 * 365 * 24 * 3600
        else:
            assert session.expires_at == session.created_at + idle_seconds * 1000
        clock.advance(idle_seconds - 1)
        assert store.expire() == 0
        assert store.get(KEY) == session
