"""The anonymous visitor logs in: one session, one name, at every moment."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest

from gateway.errors import SessionExistsError, SessionNotFoundError, TurnBusyError
from gateway.model import SessionKey
from gateway.sessions.manager import SessionManager
from gateway.sessions.values import Filter, Lifetime
from gateway.testing.contract import KEY, OpenStore, SharedStoreContract, StoreContract, Workers, make_session, run_turn
from gateway.testing.remote import RemoteStore, StoreAddress, in_threads, watch_renames
from gateway.testing.waiting import Clock

NEW = SessionKey("", "alice")


class RenamingContract(StoreContract):
    def test_the_session_has_its_new_name_only(self, store: SessionManager) -> None:
        run_turn(store)
        old = store.update(KEY, data={"a": 1}, metadata={"b": "2"})
        renamed = store.rename(KEY, "alice")
        assert renamed == replace(old, session_id="alice")
        assert store.get(NEW) == renamed
        assert store.get(KEY) is None
        assert store.list(Filter()).sessions == [renamed]

    def test_it_can_be_given_a_user(self, store: SessionManager) -> None:
        make_session(store)
        assert store.rename(KEY, "alice", user_id="u_1").user_id == "u_1"
        session = store.get(NEW)
        assert session is not None
        assert session.user_id == "u_1"
        assert store.list(Filter(user_id="u_1")).sessions == [session]
        assert store.rename(NEW, "bob").user_id == "u_1"

    def test_its_turns_go_with_it(self, store: SessionManager) -> None:
        records = [run_turn(store, response_id=f"resp_{number}", idempotency_key=f"key_{number}") for number in (1, 2)]
        store.rename(KEY, "alice")
        moved = [replace(record, session_id="alice") for record in reversed(records)]
        assert list(store.turns(NEW)) == moved
        assert store.turn_record(NEW, records[0].turn_id) == moved[1]
        assert store.recall("", "key_1") == moved[1]
        assert sorted(store.store.records.responses(NEW, "conv_1", 100)) == ["resp_1", "resp_2"]
        assert store.turns(KEY) == []
        assert store.turn_record(KEY, records[0].turn_id) is None

    def test_both_names_can_be_used_afterwards(self, store: SessionManager) -> None:
        make_session(store)
        store.rename(KEY, "alice")
        with store.turn(NEW, wait_seconds=0) as one, store.turn(KEY, wait_seconds=0) as other:
            assert one.session is not None
            assert other.session is None
            assert other.bind("conv_2").generation == 1
        assert store.rename(NEW, "bob").conversation_id == "conv_1"

    def test_a_name_that_is_taken_stays_taken(self, store: SessionManager) -> None:
        one, other = make_session(store), make_session(store, NEW, "conv_2")
        with pytest.raises(SessionExistsError):
            store.rename(KEY, "alice")
        with pytest.raises(SessionExistsError):
            store.rename(KEY, KEY.session_id)
        assert (store.get(KEY), store.get(NEW)) == (one, other)

    def test_an_expired_session_does_not_take_a_name(self, open_store: OpenStore) -> None:
        clock = Clock()
        store = open_store(lifetime=Lifetime(idle_seconds=60), clock=clock, erase_expired=True)
        make_session(store, NEW, "conv_old")
        clock.advance(60)
        make_session(store)
        renamed = store.rename(KEY, "alice")
        assert store.get(NEW) == renamed
        assert [each.conversation_id for each in store.erasures()] == ["conv_old"]

    def test_what_is_not_there_has_no_name_to_change(self, store: SessionManager) -> None:
        with pytest.raises(SessionNotFoundError):
            store.rename(KEY, "alice")
        assert store.get(NEW) is None

    def test_it_waits_for_the_turn(self, store: SessionManager) -> None:
        made = make_session(store)
        with store.turn(KEY), pytest.raises(TurnBusyError):
            store.rename(KEY, "alice", wait_seconds=0)
        with store.turn(NEW), pytest.raises(TurnBusyError):
            store.rename(KEY, "alice", wait_seconds=0)
        assert (store.get(KEY), store.get(NEW)) == (made, None)

    def test_renames_that_cross_end(self, store: SessionManager) -> None:
        make_session(store)
        pairs = [(KEY, NEW), (NEW, KEY)]

        def rename(number: int) -> None:
            old, new = pairs[number % 2]
            with suppress(SessionNotFoundError, SessionExistsError):
                store.rename(old, new.session_id)

        in_threads(6, rename)
        found = [session for session in (store.get(KEY), store.get(NEW)) if session is not None]
        assert [session.conversation_id for session in found] == ["conv_1"]


class RenamingAcrossProcesses(SharedStoreContract):
    def test_nobody_ever_sees_no_session_or_two(
        self, store: SessionManager, address: StoreAddress, workers: Workers
    ) -> None:
        pairs = [(SessionKey("", f"visitor_{number}"), SessionKey("", f"user_{number}")) for number in range(10)]
        for old, _ in pairs:
            make_session(store, old)
        watchers = [RemoteStore(worker, address).start(watch_renames, pairs) for worker in workers(2)]
        for old, new in pairs:
            store.rename(old, new.session_id)
        assert [watcher.result(60) for watcher in watchers] == [None, None]
