"""The end of a session by somebody's will: marked first, finished later, and final."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.errors import SessionNotFoundError, TurnBusyError, TurnLostError
from gateway.model import SessionKey, Status, TurnState
from gateway.sessions.manager import SessionManager
from gateway.sessions.values import CLAIM_MS, Erasure, Filter
from gateway.testing.contract import (
    KEY,
    SHORT_LEASE_SECONDS,
    OpenStore,
    SharedStoreContract,
    StoreContract,
    Workers,
    make_session,
    run_turn,
    stop_renewing,
    wait_until_dead,
)
from gateway.testing.remote import RemoteStore, StoreAddress
from gateway.testing.waiting import Clock


def begin_erasure(store: SessionManager, key: SessionKey = KEY) -> Erasure:
    with store.turn(key, erasing=True) as turn:
        return turn.begin_erasure()


class ErasureContract(StoreContract):
    def test_a_session_that_is_being_erased_says_so(self, store: SessionManager) -> None:
        make_session(store)
        with store.turn(KEY) as turn:
            erasure = turn.begin_erasure()
            assert turn.session is not None
            assert turn.session.status is Status.ERASING
        assert (erasure.session_id, erasure.conversation_id, erasure.whole) == (KEY.session_id, "conv_1", True)
        assert list(store.erasures()) == [erasure]
        session = store.get(KEY)
        assert session is not None
        assert (session.status, session.conversation_id) == (Status.ERASING, "conv_1")
        assert store.list(Filter(status=Status.ERASING)).sessions == [session]

    def test_it_takes_no_turns_and_no_edits_but_the_erasers(self, store: SessionManager) -> None:
        make_session(store)
        begin_erasure(store)
        with pytest.raises(TurnBusyError), store.turn(KEY):
            pass
        with pytest.raises(SessionNotFoundError):
            store.update(KEY, data={"a": 1})
        with store.turn(KEY, erasing=True, wait_seconds=0) as turn:
            assert turn.session is not None

    def test_beginning_twice_is_one_erasure(self, store: SessionManager) -> None:
        make_session(store)
        begin_erasure(store)
        begin_erasure(store)
        assert len(store.erasures()) == 1

    def test_what_is_not_there_cannot_be_erased(self, store: SessionManager) -> None:
        with store.turn(KEY) as turn:
            with pytest.raises(SessionNotFoundError):
                turn.begin_erasure()
            with pytest.raises(SessionNotFoundError):
                turn.forget()

    def test_finishing_removes_the_session_and_its_turns(self, store: SessionManager) -> None:
        record = run_turn(store, response_id="resp_1", idempotency_key="key")
        bystander = make_session(store, SessionKey("", "another"), "conv_other")
        erasure = begin_erasure(store)
        assert list(store.store.records.responses(KEY, "conv_1", 100)) == ["resp_1"]
        store.finish_erasure(erasure)
        assert store.get(KEY) is None
        assert store.turn_record(KEY, record.turn_id) is None
        assert store.turns(KEY) == []
        assert store.store.records.responses(KEY, "conv_1", 100) == []
        assert not store.erasures()
        assert store.list(Filter()).sessions == [bystander]
        with store.turn(KEY) as turn:
            assert turn.session is None

    def test_finishing_twice_spares_the_session_that_came_after(self, store: SessionManager) -> None:
        make_session(store)
        erasure = begin_erasure(store)
        store.finish_erasure(erasure)
        with store.turn(KEY) as turn:
            turn.bind("conv_2")
            turn.begin()
            record = turn.finish(TurnState.COMPLETED, response_id="resp_2")
        session = store.get(KEY)
        store.finish_erasure(erasure)
        assert session is not None
        assert session.generation == 1
        assert store.get(KEY) == session
        assert list(store.turns(KEY)) == [record]

    def test_a_late_writer_does_not_bring_it_back(self, open_store: OpenStore) -> None:
        store = open_store(lease_seconds=SHORT_LEASE_SECONDS)
        make_session(store)
        with store.turn(KEY) as late:
            late.begin()
            stop_renewing(store, late)
            wait_until_dead(store, KEY, late.record.turn_id)
            store.finish_erasure(begin_erasure(store))
            for write in (
                lambda: late.note("resp_late"),
                lambda: late.finish(TurnState.COMPLETED),
                lambda: late.bind("conv_late"),
            ):
                with pytest.raises(TurnLostError):
                    write()
        assert store.get(KEY) is None
        assert store.turns(KEY) == []
        assert store.list(Filter()).sessions == []

    def test_the_turn_that_erased_it_does_not_bring_it_back(self, store: SessionManager) -> None:
        make_session(store)
        with store.turn(KEY) as turn:
            turn.begin()
            store.finish_erasure(turn.begin_erasure())
            turn.finish(TurnState.COMPLETED)
        assert store.get(KEY) is None
        assert store.list(Filter()).sessions == []

    def test_erasing_an_old_conversation_leaves_the_session(self, store: SessionManager) -> None:
        run_turn(store, response_id="resp_1")
        with store.turn(KEY) as turn:
            turn.bind("conv_2", erase_old=True)
            turn.begin()
            record = turn.finish(TurnState.COMPLETED, response_id="resp_2")
        session = store.get(KEY)
        (erasure,) = store.erasures()
        assert list(store.store.records.responses(KEY, "conv_1", 100)) == ["resp_1"]
        assert list(store.store.records.responses(KEY, "conv_2", 100)) == ["resp_2"]
        store.finish_erasure(erasure)
        assert store.store.records.responses(KEY, "conv_1", 100) == []
        assert list(store.turns(KEY)) == [record]
        assert store.get(KEY) == session
        assert not store.erasures()

    def test_erasures_come_oldest_first(self, open_store: OpenStore) -> None:
        clock = Clock()
        store = open_store(clock=clock)
        keys = [SessionKey("t", name) for name in ("c", "a", "b")]
        for key in keys:
            make_session(store, key, f"conv_{key.session_id}")
            begin_erasure(store, key)
            clock.advance(1)
        assert [each.session_id for each in store.erasures()] == ["c", "a", "b"]
        assert [each.session_id for each in store.erasures(limit=2)] == ["c", "a"]

    def test_what_is_to_be_erased_is_given_to_one_at_a_time(self, open_store: OpenStore) -> None:
        clock = Clock()
        store = open_store(clock=clock)
        keys = [SessionKey("t", name) for name in ("c", "a", "b")]
        for key in keys:
            make_session(store, key, f"conv_{key.session_id}")
            begin_erasure(store, key)
            clock.advance(1)
        assert store.claim_erasures(10, store.now() + 60_000) == []  # whoever began one is at it
        clock.advance(CLAIM_MS / 1000)
        until = store.now() + 60_000
        first = store.claim_erasures(2, until)
        assert [(each.session_id, each.not_before) for each in first] == [("c", until), ("a", until)]
        assert [each.session_id for each in store.claim_erasures(2, until)] == ["b"]
        assert store.claim_erasures(2, until) == []
        clock.advance(60)  # and none of them was heard of again
        assert len(store.claim_erasures(10, store.now() + 60_000)) == 3

    def test_who_begins_one_again_has_it_to_themselves(self, open_store: OpenStore) -> None:
        clock = Clock()
        store = open_store(clock=clock)
        make_session(store)
        begin_erasure(store)
        clock.advance(CLAIM_MS / 1000)
        again = begin_erasure(store)
        assert store.claim_erasures(1, store.now() + 60_000) == []
        assert [each.not_before for each in store.erasures()] == [again.not_before]

    def test_what_failed_comes_again_when_it_is_to(self, open_store: OpenStore) -> None:
        clock = Clock()
        store = open_store(clock=clock)
        make_session(store)
        failed = replace(begin_erasure(store), attempts=3, not_before=store.now() + 5000)
        store.postpone(failed)
        assert list(store.erasures()) == [failed]
        assert store.claim_erasures(1, store.now() + 60_000) == []
        clock.advance(5)
        (again,) = store.claim_erasures(1, store.now() + 60_000)
        assert again.attempts == 3
        store.finish_erasure(again)
        store.postpone(again)
        assert not store.erasures()

    def test_responses_that_are_gone_are_no_more_asked_for(self, store: SessionManager) -> None:
        records = [run_turn(store, response_id=f"resp_{number}") for number in range(3)]
        erasure = begin_erasure(store)
        assert sorted(store.responses(erasure, 100)) == ["resp_0", "resp_1", "resp_2"]
        assert len(store.responses(erasure, 2)) == 2
        store.drop_responses(erasure, ["resp_0", "resp_2"])
        assert list(store.responses(erasure, 100)) == ["resp_1"]
        found = store.turn_record(KEY, records[0].turn_id)
        assert found is not None
        assert found.response_id is None
        assert store.response_owner("", "resp_0") is None

    def test_a_session_of_another_conversation_is_not_forgotten(self, store: SessionManager) -> None:
        record = run_turn(store)
        session = store.get(KEY)
        with store.turn(KEY) as turn:
            store.store.sessions.forget(turn.record.turn_id, KEY, "conv_other", erase=False)
        assert store.get(KEY) == session
        assert list(store.turns(KEY)) == [record]

    def test_forgetting_leaves_the_conversation_alone(self, store: SessionManager) -> None:
        record = run_turn(store)
        with store.turn(KEY) as turn:
            turn.forget()
            assert turn.session is None
            assert store.get(KEY) is None
            fresh = turn.bind("conv_2")
        assert not store.erasures()
        assert store.turn_record(KEY, record.turn_id) is None
        assert store.turns(KEY) == []
        assert (fresh.generation, fresh.turns) == (1, 0)
        assert store.get(KEY) == fresh


class ErasureAcrossProcesses(SharedStoreContract):
    def test_an_erasure_outlives_the_process_that_began_it(
        self, store: SessionManager, address: StoreAddress, workers: Workers
    ) -> None:
        make_session(store)
        there = RemoteStore(workers(1)[0], address)
        turn = there.take(KEY)
        erasure = turn.do("begin_erasure")
        turn.leave()
        there.worker.kill()
        with address.open() as reopened:
            assert list(reopened.erasures()) == [erasure]
            with pytest.raises(TurnBusyError), reopened.turn(KEY):
                pass
            reopened.finish_erasure(erasure)
        assert store.get(KEY) is None
        assert not store.erasures()
