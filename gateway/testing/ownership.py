"""Whose a response is, and whether the reply of a turn has reached anybody."""

from __future__ import annotations

import pytest

from gateway.model import SessionKey, TurnState
from gateway.sessions.manager import SessionManager
from gateway.sessions.values import ResponseOwner, Retention
from gateway.testing.contract import KEY, OpenStore, StoreContract, make_session, run_turn
from gateway.testing.remote import in_threads
from gateway.testing.waiting import Clock, eventually


class OwnershipContract(StoreContract):
    def test_a_response_is_its_tenants(self, store: SessionManager) -> None:
        assert store.response_owner("a", "resp_1") is None
        store.remember("a", ["resp_1", "msg_1", "msg_1"])
        store.remember("a", ["resp_1", "msg_2"])
        assert store.response_owner("a", "resp_1") == ResponseOwner(None, None, None)
        assert store.response_owner("b", "resp_1") is None
        assert store.response_owner("a", "RESP_1") is None
        assert store.remembered("a", ["msg_1", "msg_2", "msg_3", "MSG_1"]) == {"msg_1", "msg_2"}
        assert store.remembered("b", ["msg_1"]) == set()
        assert store.remembered("a", []) == set()
        for no_id in ("", "resp_\0", "resp_" * 50):
            assert store.response_owner("a", no_id) is None

    def test_a_turns_response_is_its_sessions_from_the_moment_it_is_known(self, store: SessionManager) -> None:
        key = SessionKey("a", KEY.session_id)
        make_session(store, key)
        with store.turn(key, workflow="coach") as turn:
            turn.begin()
            turn.note("resp_1")
            assert store.response_owner("a", "resp_1") == ResponseOwner(key.session_id, "conv_1", "coach")
            turn.finish(TurnState.COMPLETED)
        run_turn(store, key, "resp_2")
        for response_id, workflow in (("resp_1", "coach"), ("resp_2", "")):
            assert store.response_owner("a", response_id) == ResponseOwner(key.session_id, "conv_1", workflow)
            assert store.response_owner("", response_id) is None
            assert store.remembered("a", [response_id]) == set()

    def test_it_goes_with_its_session_to_another_name(self, store: SessionManager) -> None:
        run_turn(store, response_id="resp_1", workflow="/v1/responses")
        store.rename(KEY, "renamed")
        assert store.response_owner("", "resp_1") == ResponseOwner("renamed", "conv_1", "/v1/responses")

    def test_it_is_nobodys_once_its_session_is_erased(self, store: SessionManager) -> None:
        run_turn(store, response_id="resp_1")
        with store.turn(KEY, erasing=True) as turn:
            erasure = turn.begin_erasure()
        store.finish_erasure(erasure)
        assert store.response_owner("", "resp_1") is None

    def test_it_is_nobodys_once_its_session_is_forgotten(self, store: SessionManager) -> None:
        run_turn(store, response_id="resp_1")
        with store.turn(KEY) as turn:
            turn.forget()
        assert store.response_owner("", "resp_1") is None

    def test_what_was_given_is_forgotten_after_thirty_days(self, open_store: OpenStore) -> None:
        clock = Clock()
        store = open_store(clock=clock)
        for number in range(3):
            store.store.owners.remember("", [f"resp_{number}"], store.now() + 1)
        store.remember("", ["resp_young"])
        clock.advance(1)
        for _ in range(2):
            store.prune(limit=2)
        # A server's own clock may be the one that counts.
        eventually(lambda: all(store.response_owner("", f"resp_{number}") is None for number in range(3)))
        assert store.response_owner("", "resp_young") is not None
        assert Retention().given_ms == 30 * 86_400_000

    def test_a_reply_that_reached_nobody_is_claimed_once(self, store: SessionManager) -> None:
        make_session(store)
        with store.turn(KEY) as turn:
            turn.begin()
            turn.note("resp_1")
            record = turn.finish(TurnState.COMPLETED, undelivered=True)
        assert record.undelivered
        assert store.turn_record(KEY, record.turn_id) == record
        claims = in_threads(8, lambda _: store.claim_undelivered(record))
        assert sorted(claims) == [False] * 7 + [True]
        (found,) = store.turns(KEY)
        assert not found.undelivered

    @pytest.mark.parametrize("times", [1, 2])
    def test_that_a_reply_reached_nobody_can_be_said_later(self, store: SessionManager, times: int) -> None:
        record = run_turn(store, response_id="resp_1")
        assert not record.undelivered
        assert not store.claim_undelivered(record)
        for _ in range(times):
            store.mark_undelivered(record)
        (found,) = store.turns(KEY)
        assert found.undelivered
        assert store.claim_undelivered(record)
        assert not store.claim_undelivered(record)

    def test_a_turn_under_way_is_not_marked(self, store: SessionManager) -> None:
        make_session(store)
        with store.turn(KEY) as turn:
            turn.begin()
            store.mark_undelivered(turn.record)
            record = turn.finish(TurnState.COMPLETED)
            assert store.turn_record(KEY, record.turn_id) == record
        assert not store.claim_undelivered(record)
