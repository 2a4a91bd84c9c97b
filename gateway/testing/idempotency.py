"""An idempotency key belongs to one turn: while it runs, when it has ended, and when it is in doubt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from gateway.errors import TurnBusyError
from gateway.model import SessionKey, TurnRecord, TurnState
from gateway.sessions.manager import SessionManager
from gateway.sessions.values import KeyTakenError, Lifetime, Retention
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
from gateway.testing.remote import RemoteStore, StoreAddress, race_for_key
from gateway.testing.waiting import Clock

OTHER = SessionKey("", "another")


def taken(store: SessionManager, key: SessionKey = KEY, idempotency_key: str = "key") -> TurnRecord:
    """The turn that has the key, as one who comes with it again is told."""
    with pytest.raises(KeyTakenError) as caught, store.turn(key, idempotency_key=idempotency_key):
        pass
    record = caught.value.record
    assert store.recall(key.tenant, idempotency_key) == record
    return record


@contextmanager
def turn_in_doubt(store: SessionManager) -> Iterator[TurnRecord]:
    """A turn of an existing session that was cut off after it had begun."""
    with store.turn(KEY, idempotency_key="key", fingerprint="print") as turn:
        turn.begin()
        turn.note("resp_1")
        turn.leave()
        record = store.turn_record(KEY, turn.record.turn_id)
        assert record is not None
        yield record


class IdempotencyContract(StoreContract):
    def test_a_key_never_used_is_free(self, store: SessionManager) -> None:
        assert store.recall("", "key") is None

    def test_the_key_of_a_turn_under_way_is_taken(self, store: SessionManager) -> None:
        make_session(store)
        with store.turn(KEY, idempotency_key="key", fingerprint="print") as turn:
            for key in (KEY, OTHER):
                record = taken(store, key)
                assert (record.turn_id, record.session_id) == (turn.record.turn_id, KEY.session_id)
                assert (record.fingerprint, record.live, record.state) == ("print", True, TurnState.WAITING)
            with pytest.raises(KeyTakenError), store.turn(KEY, idempotency_key="key", wait_seconds=0):
                pass  # its own key, not the session, is what it is told about
            turn.begin()
            assert taken(store) == turn.record

    def test_the_key_of_an_ended_turn_is_taken(self, store: SessionManager) -> None:
        record = run_turn(store, idempotency_key="key", fingerprint="print", response_id="resp_1")
        assert taken(store) == record
        assert taken(store, OTHER) == record
        assert (record.live, record.state) == (False, TurnState.COMPLETED)

    def test_who_comes_with_a_taken_key_leaves_nothing(self, store: SessionManager) -> None:
        run_turn(store, idempotency_key="key")
        with (
            pytest.raises(KeyTakenError),
            store.turn(KEY, turn_id="turn_again", idempotency_key="key"),
        ):
            pass
        assert store.turn_record(KEY, "turn_again") is None
        with store.turn(KEY, wait_seconds=0):
            pass

    def test_a_turn_that_never_began_frees_its_key(self, store: SessionManager) -> None:
        with store.turn(KEY, idempotency_key="key") as turn:
            turn.bind("conv_1")
        assert store.recall("", "key") is None
        run_turn(store, idempotency_key="key")

    def test_a_turn_that_was_refused_frees_its_key(self, store: SessionManager) -> None:
        with store.turn(KEY):
            with pytest.raises(TurnBusyError), store.turn(KEY, idempotency_key="key", wait_seconds=0):
                pass
            with pytest.raises(TurnBusyError), store.turn(KEY, idempotency_key="key", wait_seconds=0.1):
                pass
            assert store.recall("", "key") is None
        run_turn(store, idempotency_key="key")

    def test_a_turn_that_died_before_it_began_frees_its_key(self, open_store: OpenStore) -> None:
        store = open_store(lease_seconds=SHORT_LEASE_SECONDS)
        with store.turn(KEY, idempotency_key="key") as dead:
            dead.bind("conv_1")
            stop_renewing(store, dead)
            wait_until_dead(store, KEY, dead.record.turn_id)
            assert store.recall("", "key") is None
            with store.turn(OTHER, idempotency_key="key") as heir:
                dead.leave()  # which does not take the key along
                recalled = store.recall("", "key")
                assert recalled is not None
                assert recalled.turn_id == heir.record.turn_id

    def test_a_begun_turn_that_was_cut_off_keeps_its_key_and_is_in_doubt(self, store: SessionManager) -> None:
        make_session(store)
        with turn_in_doubt(store) as record:
            assert taken(store) == record
            assert record.in_doubt
            assert (record.response_id, record.fingerprint) == ("resp_1", "print")
            assert list(store.turns(KEY)) == [record]

    def test_a_turn_in_doubt_is_settled_once(self, store: SessionManager) -> None:
        make_session(store)
        with turn_in_doubt(store) as record:
            usage = {"total_tokens": 3}
            end = replace(record, state=TurnState.COMPLETED, finished_at=store.now(), usage=usage)
            assert store.settle(end)
            assert not store.settle(replace(end, state=TurnState.LOST))
            assert taken(store) == end

    def test_settling_can_free_the_key(self, store: SessionManager) -> None:
        make_session(store)
        with turn_in_doubt(store) as record:
            assert store.settle(replace(record, state=TurnState.LOST, idempotency_key=None))
            assert store.recall("", "key") is None
            run_turn(store, idempotency_key="key")

    def test_a_turn_under_way_cannot_be_settled(self, store: SessionManager) -> None:
        make_session(store)
        with store.turn(KEY, idempotency_key="key") as turn:
            assert not store.settle(replace(turn.record, state=TurnState.LOST, live=False))
            turn.begin()
            assert not store.settle(replace(turn.record, state=TurnState.LOST, live=False))
            record = turn.finish(TurnState.COMPLETED)
            assert not store.settle(replace(record, state=TurnState.LOST))
        assert taken(store) == record

    def test_a_turn_can_end_without_its_key(self, store: SessionManager) -> None:
        make_session(store)
        with store.turn(KEY, idempotency_key="key") as turn:
            turn.begin()
            record = turn.finish(TurnState.FAILED, error_code="provider_rate_limited", forget_key=True)
        assert store.recall("", "key") is None
        assert store.turn_record(KEY, record.turn_id) == record
        run_turn(store, idempotency_key="key")

    def test_a_key_is_remembered_for_a_day(self, open_store: OpenStore) -> None:
        clock = Clock()
        store = open_store(clock=clock, lifetime=None)
        record = run_turn(store, idempotency_key="key")
        clock.advance(Retention().key_ms / 1000 - 60)
        assert taken(store, OTHER) == record
        clock.advance(120)
        assert store.recall("", "key") is None
        again = run_turn(store, OTHER, idempotency_key="key")
        assert taken(store, OTHER) == again

    @pytest.mark.parametrize("erase_expired", [False, True], ids=["", "its conversation is erased"])
    def test_a_key_outlives_the_session_that_expired(self, open_store: OpenStore, erase_expired: bool) -> None:
        clock = Clock()
        store = open_store(clock=clock, lifetime=Lifetime(1800), erase_expired=erase_expired)
        record = run_turn(store, response_id="resp_1", idempotency_key="key", fingerprint="print")
        clock.advance(3600)
        assert store.expire() == 1
        assert taken(store) == record
        for erasure in store.erasures():
            store.finish_erasure(erasure)
        recalled = taken(store)
        assert (recalled.turn_id, recalled.fingerprint) == (record.turn_id, "print")
        assert recalled.state is (TurnState.LOST if erase_expired else TurnState.COMPLETED)
        assert store.get(KEY) is None

    @pytest.mark.parametrize("whole", [False, True], ids=["a reset", "an erasure"])
    def test_after_an_erasure_a_key_is_lost_and_never_free(self, store: SessionManager, whole: bool) -> None:
        record = run_turn(store, response_id="resp_1", idempotency_key="key", fingerprint="print")
        run_turn(store, response_id="resp_2")
        with store.turn(KEY) as turn:
            if whole:
                turn.begin_erasure()
            else:
                turn.bind("conv_2", erase_old=True)
        (erasure,) = store.erasures()
        store.finish_erasure(erasure)
        recalled = taken(store, OTHER)
        assert (recalled.turn_id, recalled.fingerprint, recalled.state) == (record.turn_id, "print", TurnState.LOST)
        assert (recalled.session_id, recalled.conversation_id, recalled.response_id) == ("", None, None)
        assert store.recall("", "key") == recalled
        assert store.turns(KEY) == []
        assert store.turn_record(KEY, record.turn_id) is None

    def test_a_key_goes_with_its_session_to_another_name(self, store: SessionManager) -> None:
        record = run_turn(store, response_id="resp_1", idempotency_key="key")
        store.rename(KEY, "renamed")
        assert taken(store) == replace(record, session_id="renamed")

    def test_keys_that_look_alike_are_different_keys(self, store: SessionManager) -> None:
        keys = ["key", "Key", "KEY", "key.", "key-", "k:ey", "{key}", "k*", "k%", "k_", "'k'", '"k"', "\\k", "k" * 255]
        records = {key: run_turn(store, idempotency_key=key) for key in keys}
        assert {key: store.recall("", key) for key in keys} == records

    def test_the_same_key_in_two_tenants_is_two_keys(self, store: SessionManager) -> None:
        one = run_turn(store, SessionKey("one", "s"), idempotency_key="key")
        two = run_turn(store, SessionKey("two", "s"), idempotency_key="key")
        assert (store.recall("one", "key"), store.recall("two", "key")) == (one, two)
        assert store.recall("", "key") is None


class IdempotencyAcrossProcesses(SharedStoreContract):
    @pytest.mark.parametrize("spread", [False, True], ids=["in one session", "in as many sessions"])
    def test_of_many_that_come_with_one_key_one_enters(
        self, store: SessionManager, address: StoreAddress, workers: Workers, spread: bool
    ) -> None:
        there = [RemoteStore(worker, address) for worker in workers(2)]
        races = [
            remote.start(
                race_for_key,
                [SessionKey("", f"{name}_{number}") if spread else KEY for number in range(20)],
                "key",
                name,
            )
            for remote, name in zip(there, ("left", "right"), strict=True)
        ]
        (entered,) = [turn_id for race in races for turn_id in race.result(110)]
        record = store.recall("", "key")
        assert record is not None
        assert (record.turn_id, record.state) == (entered, TurnState.COMPLETED)
