"""How long a session lives: renewed by turns, never by reads, and never over during a turn."""

from __future__ import annotations

import math

import pytest

from gateway.errors import SessionNotFoundError, TurnLostError
from gateway.model import SessionKey, TurnState
from gateway.sessions.manager import SessionManager
from gateway.sessions.values import Filter, Lifetime, Retention
from gateway.testing.contract import (
    KEY,
    SHORT_LEASE_SECONDS,
    OpenStore,
    StoreContract,
    make_session,
    run_turn,
    stop_renewing,
    wait_until_dead,
)
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

    @pytest.mark.parametrize("swept", [False, True], ids=["not swept yet", "swept"])
    def test_a_fresh_session_lists_no_turns_of_its_forerunner(
        self, mortal: SessionManager, clock: Clock, swept: bool
    ) -> None:
        run_turn(mortal, response_id="resp_1")
        run_turn(mortal, response_id="resp_2", idempotency_key="key")
        clock.advance(IDLE_SECONDS)
        if swept:
            assert mortal.expire() == 1
        record = run_turn(mortal, response_id="resp_3")
        assert list(mortal.turns(KEY)) == [record]
        assert mortal.turns(KEY, after=record.turn_id) == []

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

    def test_a_dead_ticket_keeps_no_session_from_being_dropped(self, open_store: OpenStore, clock: Clock) -> None:
        store = open_store(lifetime=Lifetime(idle_seconds=IDLE_SECONDS), clock=clock, lease_seconds=SHORT_LEASE_SECONDS)
        make_session(store)
        with store.turn(KEY) as lost:
            lost.begin()
            stop_renewing(store, lost)
            wait_until_dead(store, KEY, lost.record.turn_id)
            clock.advance(IDLE_SECONDS)
            assert store.expire() == 1
            assert store.store.sessions.get(KEY) is None
            with pytest.raises(TurnLostError):
                lost.finish(TurnState.COMPLETED)
        assert store.get(KEY) is None

    def test_turn_records_are_kept_for_thirty_days_and_then_gone(self, open_store: OpenStore, clock: Clock) -> None:
        store = open_store(clock=clock, lifetime=Lifetime(idle_seconds=math.inf))
        records = [run_turn(store, response_id=f"resp_{number}") for number in range(3)]
        clock.advance(Retention().record_ms / 1000 - 60)
        store.prune()
        young = run_turn(store, response_id="resp_young")
        assert list(store.turns(KEY)) == [young, *reversed(records)]
        clock.advance(120)
        # A store may let go of them at a turn of theirs, or when somebody prunes; of all or of some at a time.
        while store.prune(limit=2) >= 2:
            pass
        run_turn(store)
        assert young in store.turns(KEY)
        assert all(store.turn_record(KEY, record.turn_id) is None for record in records)
        assert store.response_owner("", "resp_0") is None

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
