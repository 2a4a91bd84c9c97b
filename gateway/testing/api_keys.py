"""API keys: a name is one key's alone, and what one process revokes opens nothing in any other."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from gateway.model import ApiKey, Role
from gateway.sessions.manager import SessionManager
from gateway.testing.contract import SharedStoreContract, StoreContract, Workers
from gateway.testing.remote import RemoteStore, StoreAddress, in_threads

CI = ApiKey("ci", "c1" * 32, "acme", Role.USER, None, 1_761_472_800_000)
ALICE = ApiKey("alice-laptop.2", "a2" * 32, "", Role.ADMIN, "ålice@exämple.com/ö \u4e2d", 1_761_472_800_001)


class KeysContract(StoreContract):
    def test_a_key_is_found_by_its_name_as_it_was_made(self, store: SessionManager) -> None:
        assert store.store.owners.find_key("ci") is None
        for key in (CI, ALICE):
            assert store.store.owners.add_key(key)
        assert store.store.owners.find_key("ci") == CI
        assert store.store.owners.find_key("alice-laptop.2") == ALICE

    def test_a_name_is_one_keys_alone(self, store: SessionManager) -> None:
        assert store.store.owners.add_key(CI)
        assert not store.store.owners.add_key(replace(CI, digest="d3" * 32, role=Role.ADMIN))
        assert store.store.owners.find_key("ci") == CI

    def test_names_that_look_alike_are_different_keys(self, store: SessionManager) -> None:
        alike = [replace(CI, name=name, tenant=name) for name in ("ci", "CI", "ci.", "Ci")]
        for key in alike:
            assert store.store.owners.add_key(key)
        assert [store.store.owners.find_key(key.name) for key in alike] == alike
        assert store.store.owners.remove_key("CI")
        assert [store.store.owners.find_key(key.name) for key in alike] == [alike[0], None, *alike[2:]]

    def test_every_key_is_listed(self, store: SessionManager) -> None:
        assert list(store.store.owners.keys()) == []
        for key in (replace(CI, name="b"), CI, replace(CI, name="B"), ALICE):
            store.store.owners.add_key(key)
        listed = sorted(store.store.owners.keys(), key=lambda key: key.name)
        assert [key.name for key in listed] == ["B", "alice-laptop.2", "b", "ci"]
        assert listed[1] == ALICE

    def test_a_revoked_key_is_gone_and_its_name_is_free(self, store: SessionManager) -> None:
        for key in (CI, ALICE):
            store.store.owners.add_key(key)
        assert store.store.owners.find_key("ci") == CI
        assert store.store.owners.remove_key("ci")
        assert store.store.owners.find_key("ci") is None
        assert list(store.store.owners.keys()) == [ALICE]
        assert not store.store.owners.remove_key("ci")
        another = replace(CI, digest="d3" * 32)
        assert store.store.owners.add_key(another)
        assert store.store.owners.find_key("ci") == another

    def test_of_those_who_make_a_key_of_the_same_name_one_succeeds(self, store: SessionManager) -> None:
        rivals = [replace(CI, digest=f"{number:064x}") for number in range(8)]
        won = in_threads(len(rivals), lambda number: store.store.owners.add_key(rivals[number]))
        assert won.count(True) == 1
        assert store.store.owners.find_key("ci") == rivals[won.index(True)]


class KeysAcrossProcesses(SharedStoreContract):
    def test_a_key_opens_every_process_until_one_revokes_it(
        self, store: SessionManager, address: StoreAddress, workers: Workers
    ) -> None:
        maker, revoker = (RemoteStore(worker, address) for worker in workers(2))
        finds = [partial(remote.do, "store.owners.find_key", "ci") for remote in (maker, revoker)]
        finds.append(partial(store.store.owners.find_key, "ci"))
        assert [find() for find in finds] == [None] * 3
        assert maker.do("store.owners.add_key", CI)
        assert [find() for find in finds] == [CI] * 3
        assert list(revoker.do("store.owners.keys")) == [CI]
        assert revoker.do("store.owners.remove_key", "ci")
        assert [find() for find in finds] == [None] * 3
        assert not maker.do("store.owners.remove_key", "ci")
