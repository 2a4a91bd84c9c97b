"""What a store holds of encrypted data, looked at where it lies: rows, hashes and files."""

import base64
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from gateway.errors import ConfigurationError, StoreUnavailableError
from gateway.model import Session, SessionKey
from gateway.sessions import Filter, SessionManager, open_sessions
from gateway.sessions.jsonfile import JsonStore
from gateway.sessions.jsonfile.format import name_of
from gateway.sessions.sql import SqlStore
from tests.conftest import StoreAddress
from tests.harness.commands import Inside

MAKE = Callable[[str], StoreAddress]
KINDS = ["memory", "json", "sqlite", "postgresql", "mariadb", "valkey"]
ALICE, BOB = SessionKey("acme", "alice"), SessionKey("acme", "bob")
OLD, NEW = (base64.urlsafe_b64encode(bytes([number]) * 32).decode() for number in (1, 2))


class Kept:
    """A store's own record of a session, read and written behind its back."""

    def __init__(self, sessions: SessionManager) -> None:
        self._store: Any = sessions.store

    def __getitem__(self, key: SessionKey) -> dict[str, Any]:
        store = self._store
        if isinstance(store, SqlStore):
            (row,) = store.database.rows(sa.select(store.tables.sessions).where(self._is_of(key)))
            return dict(row._mapping)
        if isinstance(store, JsonStore):
            return dict(orjson.loads(store.file.path.read_bytes())[name_of(key)])
        return dict(store.client.call("HGETALL", store.keys.session(key)))

    def write(self, key: SessionKey, **values: Any) -> None:
        store = self._store
        if isinstance(store, SqlStore):
            store.database.change(sa.update(store.tables.sessions).where(self._is_of(key)).values(**values))
        elif isinstance(store, JsonStore):
            records = orjson.loads(store.file.path.read_bytes())
            records[name_of(key)].update(values)
            store.file.path.write_bytes(orjson.dumps(records, option=orjson.OPT_INDENT_2))
        else:
            for name, value in values.items():
                store.client.call("HSET", store.keys.session(key), name, value)

    def _is_of(self, key: SessionKey) -> sa.ColumnElement[bool]:
        columns = self._store.tables.sessions.c
        return sa.and_(columns.tenant == key.tenant, columns.session_id == key.session_id)


@contextmanager
def opened(address: StoreAddress, *keys: str) -> Iterator[tuple[SessionManager, Kept]]:
    with open_sessions(address.url, prefix=address.prefix, encryption_keys=keys) as store:
        yield store, Kept(store)


def bind(store: SessionManager, key: SessionKey, **bound: Any) -> Session:
    with store.turn(key) as turn:
        return turn.bind(f"conv_{key.session_id}", **bound)


def found(store: SessionManager, key: SessionKey) -> Session:
    session = store.get(key)
    assert session is not None
    return session


@pytest.mark.parametrize("name", KINDS)
def test_the_mapping_is_readable_and_nothing_else(name: str, make_store_address: MAKE, tmp_path: Path) -> None:
    with opened(make_store_address(name), NEW) as (store, kept):
        bind(store, ALICE, user_id="ann", data={"secret_name": "secret_1"}, metadata={"note": "secret_2"})
        store.update(ALICE, data={"more": "secret_3"})
        store.put([Session(*BOB, "conv_bob", 1, 2, data={"put": "secret_4"})])
        store.rename(BOB, "bobby")
        for key in (ALICE, SessionKey("acme", "bobby")):
            record = kept[key]
            assert (record["session_id"], record["conversation_id"]) == (
                key.session_id,
                found(store, key).conversation_id,
            )
            assert "secret" not in repr(record)
            assert record["data"].startswith("gAAAA")
        assert kept[ALICE]["user_id"] == "ann"
        # What is empty stays empty, and in a file it is left out.
        assert kept[SessionKey("acme", "bobby")].get("metadata", "{}") == "{}"
        assert b"secret" not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", KINDS)
def test_what_is_sealed_opens_in_its_own_session_and_field_only(name: str, make_store_address: MAKE) -> None:
    with opened(make_store_address(name), NEW) as (store, kept):
        alice = bind(store, ALICE, data={"whose": "alice"}, metadata={"whose": "alice"})
        bob = bind(store, BOB, data={"whose": "bob"})
        own, stolen = kept[ALICE], kept[BOB]["data"]
        for values in ({"data": stolen}, {"metadata": own["data"]}, {"data": own["data"][:-8] + "AAAAAAA="}):
            kept.write(ALICE, **values)
            there = kept[ALICE]
            for step in (found(store, ALICE).opened, lambda: store.update(ALICE, data={"a": 1})):
                with pytest.raises(StoreUnavailableError, match="encrypted"):
                    step()
            assert store.get(BOB) == bob
            assert kept[ALICE] == there
            kept.write(ALICE, data=own["data"], metadata=own["metadata"])
        assert store.get(ALICE) == alice


def test_in_a_file_it_costs_its_own_session_and_nothing_else(make_store_address: MAKE) -> None:
    address = make_store_address("json")
    with opened(address, NEW) as (store, kept):
        bind(store, ALICE, data={"whose": "alice"})
        bind(store, BOB, data={"whose": "bob"})
        kept.write(ALICE, data=kept[BOB]["data"])
        there = kept[ALICE]
        assert store.update(BOB, data={"a": 1}).data == {"whose": "bob", "a": 1}
        assert kept[ALICE] == there
    with opened(address) as (store, kept):
        assert bind(store, BOB).generation == 2
        assert kept[ALICE] == there
        with pytest.raises(StoreUnavailableError, match="there is no key to read it"):
            found(store, ALICE).opened()


@pytest.mark.parametrize("name", KINDS)
def test_an_edit_on_the_way_to_another_name_goes_along(
    name: str, make_store_address: MAKE, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(make_store_address(name), NEW) as (store, _):
        bind(store, ALICE, data={"a": 1})
        rename = store.store.sessions.rename

        def edited_meanwhile(*args: Any) -> bool:
            monkeypatch.setattr(store.store.sessions, "rename", rename)
            store.update(ALICE, data={"b": 2})
            return rename(*args)

        monkeypatch.setattr(store.store.sessions, "rename", edited_meanwhile)
        store.rename(ALICE, "renamed")
        assert found(store, SessionKey("acme", "renamed")).data == {"a": 1, "b": 2}


@pytest.mark.parametrize("name", ["json", "sqlite", "postgresql", "mariadb", "valkey"])
def test_without_the_key_sessions_still_expire(name: str, make_store_address: MAKE) -> None:
    address = make_store_address(name)
    with open_sessions(address.url, prefix=address.prefix, encryption_keys=[NEW], erase_expired=True) as store:
        now = store.now()
        store.put(
            [
                Session(*ALICE, "conv_alice", now - 9000, now - 9000, expires_at=now - 5000, data={"a": 1}),
                Session(*BOB, "conv_bob", now - 9000, now - 9000, data={"a": 1}),
            ]
        )
    with open_sessions(address.url, prefix=address.prefix, erase_expired=True) as store:
        assert store.expire() == 1
        assert [erasure.key for erasure in store.erasures()] == [ALICE]
        with pytest.raises(StoreUnavailableError, match="there is no key to read it"):
            found(store, BOB).opened()


def test_a_copy_is_encrypted_with_the_newest_key(tmp_path: Path) -> None:
    here, there = (f"json:{tmp_path}/{name}.json" for name in ("here", "there"))
    with open_sessions(here, encryption_keys=[OLD]) as store:
        alice = bind(store, ALICE, data={"a": "secret"})
    with open_sessions(there):
        pass
    gateway = Inside(tmp_path, GATEWAY_ENCRYPTION_KEY=f"{NEW},{OLD}")
    assert "1 session the same on both sides" in gateway.well("copy", here, there)
    assert b"secret" not in (tmp_path / "there.json").read_bytes()
    with open_sessions(there, encryption_keys=[NEW]) as store:
        assert store.get(ALICE) == alice
    shown = gateway("sessions", "list", "--store", there, "--json")
    assert "secret" in shown.stdout


def test_what_no_key_opens_is_neither_copied_nor_exported_and_that_is_told(tmp_path: Path) -> None:
    here, there = (f"json:{tmp_path}/{name}.json" for name in ("here", "there"))
    with open_sessions(here, encryption_keys=[OLD]) as store:
        bind(store, ALICE, data={"a": "secret"})
        bind(store, BOB)
    gateway = Inside(tmp_path, GATEWAY_ENCRYPTION_KEY=NEW)
    copied, exported = gateway("copy", here, there), gateway("export", "--store", here)
    for done in (copied, exported):
        assert done.returncode == 1
        assert "1 session left out: damaged, or encrypted with a key that is not here" in done.stderr
    with open_sessions(there) as store:
        assert [session.key for session in store.walk(Filter())] == [BOB]
    assert [orjson.loads(line)["session_id"] for line in exported.stdout.splitlines()] == ["bob"]


def test_without_keys_nothing_is_loaded_for_them() -> None:
    code = "import sys; from gateway.sessions import open_sessions; open_sessions('memory:').close()"
    done = subprocess.run([sys.executable, "-c", f"{code}; print('cryptography' in sys.modules)"], capture_output=True)
    assert done.stdout == b"False\n"


@pytest.mark.parametrize("key", ["", "short", "ö", NEW[:-2] + "!="])
def test_a_key_that_is_none_stops_the_start(key: str) -> None:
    with pytest.raises(ConfigurationError, match="32 bytes in URL-safe base64") as refused:
        open_sessions("memory:", encryption_keys=[NEW, key])
    assert not key or repr(key) not in str(refused.value)
