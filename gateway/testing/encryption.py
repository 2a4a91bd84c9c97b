"""`data` and `metadata` encrypted at rest: as good as plain to those with the key, and never absent to others."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from gateway.errors import StoreUnavailableError
from gateway.model import Session, Status, TurnState
from gateway.sessions.values import Filter
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
from gateway.testing.remote import RemoteStore, StoreAddress, edit_keys

OLD, NEW, WRONG = (base64.urlsafe_b64encode(bytes([number]) * 32).decode() for number in range(3))
DATA = {"plan": "gold", "nested": {"ö": [1, None, "\u4e2d"]}}
METADATA = {"note": "vip"}
TIMES = 3


class EncryptionContract(StoreContract):
    def test_what_is_encrypted_reads_as_it_was(self, open_store: OpenStore) -> None:
        store = open_store(encryption_keys=[NEW])
        made = make_session(store, data=DATA, metadata=METADATA, user_id="ann")
        assert (made.data, made.metadata) == (DATA, METADATA)
        assert store.get(KEY) == made
        assert store.list(Filter(user_id="ann")).sessions == [made]
        with store.turn(KEY) as turn:
            assert turn.session == made
            turn.begin()
            turn.finish(TurnState.COMPLETED)
        with store.turn(KEY) as turn:
            bound = turn.bind("conv_2")
        assert (bound.data, bound.metadata, bound.version) == (DATA, METADATA, made.version)
        assert store.get(KEY) == bound

    def test_edits_of_what_is_encrypted_are_merged(self, open_store: OpenStore) -> None:
        store = open_store(encryption_keys=[NEW])
        made = make_session(store, data=DATA)
        before = stored(store)
        edited = store.update(KEY, data={"plan": None, "more": 1}, metadata=METADATA, expected_version=made.version)
        assert edited.data == {"nested": DATA["nested"], "more": 1}
        assert store.get(KEY) == edited
        assert store.update(KEY, status=Status.COMPLETED).data == edited.data
        assert not store.store.sessions.swap(replace(before, data='{"late":1}'))
        assert store.update(KEY, data={"nested": None, "more": None}, metadata={}).data == {}

    def test_threads_that_edit_what_is_encrypted_lose_nothing(self, open_store: OpenStore) -> None:
        store = open_store(encryption_keys=[NEW])
        make_session(store, data={"kept": True})
        names = [f"thread_{number}" for number in range(4)]
        edit_keys(store, KEY, names, TIMES)
        session = store.get(KEY)
        assert session is not None
        assert session.data == {"kept": True, **dict.fromkeys(names, TIMES)}

    def test_what_is_encrypted_goes_to_another_name(self, open_store: OpenStore) -> None:
        store = open_store(encryption_keys=[NEW])
        make_session(store, data=DATA, metadata=METADATA)
        renamed = store.rename(KEY, "renamed", user_id="ann")
        assert (renamed.data, renamed.metadata) == (DATA, METADATA)
        assert store.get(renamed.key) == renamed
        assert store.update(renamed.key, data={"more": 1}).data == {**DATA, "more": 1}

    def test_what_is_encrypted_is_put_and_found_the_same(self, open_store: OpenStore) -> None:
        store = open_store(encryption_keys=[NEW])
        session = Session("acme", "s", "conv_1", 1, 2, data=DATA, metadata=METADATA)
        for expected in ("made", "same"):
            assert [merge.value for merge in store.put([session])] == [expected]
        assert store.get(session.key) == session


class EncryptionOfWhatIsKept(SharedStoreContract):
    """Needs a store that can be opened again with other keys."""

    def test_what_no_key_opens_is_an_error_and_stays(self, open_store: OpenStore) -> None:
        made = make_session(open_store(encryption_keys=[OLD]), data=DATA, metadata=METADATA)
        for keys in ((), [WRONG]):
            assert_cannot_read(open_store, keys)
        store = open_store(encryption_keys=[OLD])
        session = store.get(KEY)
        assert session is not None
        assert (session.data, session.metadata, session.turns) == (made.data, made.metadata, 2)
        with store.turn(KEY) as turn:
            erasure = turn.begin_erasure()
        open_store().finish_erasure(erasure)
        assert store.get(KEY) is None

    def test_what_was_written_in_plain_is_encrypted_when_it_is_edited(self, open_store: OpenStore) -> None:
        made = make_session(open_store(), data=DATA, metadata=METADATA)
        store = open_store(encryption_keys=[NEW])
        assert store.get(KEY) == made
        run_turn(store)
        edited = store.update(KEY, data={"more": 1})
        assert edited.data == {**DATA, "more": 1}
        assert store.get(KEY) == edited
        assert_cannot_read(open_store, ())

    def test_keys_are_rotated(self, open_store: OpenStore) -> None:
        make_session(open_store(encryption_keys=[OLD]), data=DATA)
        both = open_store(encryption_keys=[NEW, OLD])
        edited = both.update(KEY, metadata=METADATA)
        assert edited.data == DATA
        assert open_store(encryption_keys=[NEW]).get(KEY) == edited
        assert_cannot_read(open_store, [OLD])

    def test_processes_that_edit_what_is_encrypted_lose_nothing(
        self, open_store: OpenStore, address: StoreAddress, workers: Workers
    ) -> None:
        store = open_store(encryption_keys=[NEW])
        make_session(store, data={"kept": True})
        (worker,) = workers(1)
        # One of them is still on the way from the old key to the new one.
        there = RemoteStore(worker, address, encryption_keys=(NEW, OLD))
        names = [[f"{side}_{number}" for number in range(2)] for side in ("here", "there")]
        job = there.start(edit_keys, KEY, names[1], TIMES)
        edit_keys(store, KEY, names[0], TIMES)
        job.result(110)
        session = store.get(KEY)
        assert session is not None
        assert session.data == {"kept": True, **dict.fromkeys(names[0] + names[1], TIMES)}
        assert there.do("get", KEY) == session


def assert_cannot_read(open_store: OpenStore, keys: Sequence[str]) -> None:
    """With these keys the store says that it cannot read what is kept with the session, and writes nothing over it; its
    turns go on, and it is listed."""
    store = open_store(encryption_keys=keys)
    session = store.get(KEY)
    assert session is not None
    assert session.unreadable is not None
    assert session.as_dict()["unreadable"]
    assert store.list(Filter()).sessions == [session]
    steps: list[Callable[[], object]] = [
        session.opened,
        lambda: store.update(KEY, data={"a": 1}),
        lambda: store.rename(KEY, "renamed"),
        lambda: store.put([Session(*KEY, "conv_2", 1, 2)], replace=True),
    ]
    for step in steps:
        with pytest.raises(StoreUnavailableError, match="encrypted"):
            step()
    run_turn(store)
