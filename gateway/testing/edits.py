"""What a client may change in a session: merged, never lost, and not disturbed by turns."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.errors import SessionNotFoundError, VersionMismatchError
from gateway.model import Session, Status, TurnState
from gateway.sessions.manager import SessionManager
from gateway.testing.contract import (
    KEY,
    OpenStore,
    SharedStoreContract,
    StoreContract,
    Workers,
    make_session,
    run_turn,
    stored,
)
from gateway.testing.remote import RemoteStore, StoreAddress, edit_keys, in_threads
from gateway.testing.waiting import Clock

TIMES = 5


class EditsContract(StoreContract):
    def test_data_is_merged_and_null_removes_a_key(self, store: SessionManager) -> None:
        make_session(store, data={"kept": 1, "changed": {"deep": 1}, "removed": 3})
        edited = store.update(KEY, data={"changed": {"other": None}, "removed": None, "new": [], "never": None})
        assert edited.data == {"kept": 1, "changed": {"other": None}, "new": []}
        assert store.get(KEY) == edited

    def test_metadata_is_replaced(self, store: SessionManager) -> None:
        make_session(store, metadata={"a": "1", "b": "2"})
        assert store.update(KEY, metadata={"b": "3"}).metadata == {"b": "3"}
        assert store.update(KEY, data={"x": 1}).metadata == {"b": "3"}
        assert store.update(KEY, metadata={}).metadata == {}

    @pytest.mark.parametrize("status", [Status.COMPLETED, Status.ABANDONED, Status.ACTIVE])
    def test_the_status_is_set(self, store: SessionManager, status: Status) -> None:
        make_session(store)
        assert store.update(KEY, status=status).status is status
        session = store.get(KEY)
        assert session is not None
        assert session.status is status

    def test_an_edit_touches_nothing_else(self, open_store: OpenStore) -> None:
        clock = Clock()
        store = open_store(clock=clock)
        made = make_session(store, user_id="u", metadata={"m": "1"})
        clock.advance(60)
        edited = store.update(KEY, data={"a": 1})
        assert edited == replace(made, data={"a": 1})
        assert store.get(KEY) == edited

    def test_what_is_not_there_cannot_be_edited(self, store: SessionManager) -> None:
        with pytest.raises(SessionNotFoundError):
            store.update(KEY, data={"a": 1})
        assert store.get(KEY) is None

    def test_an_edit_can_expect_a_version(self, store: SessionManager) -> None:
        first = make_session(store)
        second = store.update(KEY, data={"a": 1}, expected_version=first.version)
        assert second.version != first.version
        with pytest.raises(VersionMismatchError):
            store.update(KEY, data={"a": 2}, expected_version=first.version)
        assert store.get(KEY) == second

    def test_of_editors_who_expect_the_same_version_one_succeeds(self, store: SessionManager) -> None:
        version = make_session(store).version

        def edit(number: int) -> bool:
            try:
                store.update(KEY, data={"winner": number}, expected_version=version)
            except VersionMismatchError:
                return False
            return True

        won = in_threads(8, edit)
        session = store.get(KEY)
        assert session is not None
        assert won.count(True) == 1
        assert session.data == {"winner": won.index(True)}

    def test_a_turn_does_not_change_the_version(self, store: SessionManager) -> None:
        version = make_session(store, data={"a": 1}).version
        run_turn(store)
        with store.turn(KEY) as turn:
            turn.bind("conv_2")
        session = store.get(KEY)
        assert session is not None
        assert (session.version, session.turns, session.generation) == (version, 1, 2)

    def test_an_edit_during_a_turn_stays(self, store: SessionManager) -> None:
        make_session(store, data={"a": 1})
        with store.turn(KEY) as turn:
            turn.begin()
            store.update(KEY, data={"b": 2}, metadata={"m": "1"}, status=Status.COMPLETED)
            turn.finish(TurnState.COMPLETED)
        session = store.get(KEY)
        assert session is not None
        assert (session.data, session.metadata) == ({"a": 1, "b": 2}, {"m": "1"})
        assert (session.status, session.turns) == (Status.COMPLETED, 1)

    def test_an_edit_before_a_new_generation_stays(self, store: SessionManager) -> None:
        make_session(store, data={"a": 1})
        with store.turn(KEY) as turn:
            store.update(KEY, data={"b": 2})
            bound = turn.bind("conv_2")
            assert bound.data == {"a": 1, "b": 2}
        session = store.get(KEY)
        assert session is not None
        assert (session.conversation_id, session.generation, session.data) == ("conv_2", 2, {"a": 1, "b": 2})

    def test_a_stale_swap_is_refused(self, store: SessionManager) -> None:
        make_session(store)
        made = stored(store)
        store.update(KEY, data={"a": 1})
        edited = stored(store)
        assert not store.store.sessions.swap(replace(made, data='{"b":2}'))
        with store.turn(KEY) as turn:
            turn.bind("conv_2")
        assert not store.store.sessions.swap(replace(edited, data='{"b":2}'))
        session = store.get(KEY)
        assert session is not None
        assert session.data == {"a": 1}

    def test_threads_that_edit_at_once_lose_nothing(self, store: SessionManager) -> None:
        make_session(store, data={"kept": True})
        names = [f"thread_{number}" for number in range(4)]
        edit_keys(store, KEY, names, TIMES)
        session = store.get(KEY)
        assert session is not None
        assert session.data == {"kept": True, **dict.fromkeys(names, TIMES)}


class EditsAcrossProcesses(SharedStoreContract):
    def test_processes_that_edit_at_once_lose_nothing(
        self, store: SessionManager, address: StoreAddress, workers: Workers
    ) -> None:
        make_session(store)
        there = [RemoteStore(worker, address) for worker in workers(2)]
        names = [[f"{side}_{number}" for number in range(4)] for side in ("left", "right")]
        edits = [remote.start(edit_keys, KEY, each, TIMES) for remote, each in zip(there, names, strict=True)]
        for edit in edits:
            edit.result(110)
        session: Session | None = store.get(KEY)
        assert session is not None
        assert session.data == dict.fromkeys(names[0] + names[1], TIMES)
        assert [remote.do("get", KEY) for remote in there] == [session, session]
