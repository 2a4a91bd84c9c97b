"""What older versions of a store left behind is read by this one."""

from collections.abc import Callable
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest
import redis
import sqlalchemy as sa

from gateway.database.drivers import parse_url, server_engine
from gateway.database.engine import Database
from gateway.database.sqlite import file_engine
from gateway.model import SessionKey, Status, TurnState
from gateway.sessions import SessionManager, open_sessions
from tests.conftest import StoreAddress
from tests.harness.released import ALICE, BOB, CAROL, CI, DAVE, FOLDER, clock, restore_redis, restore_sql

VERSIONS = sorted(int(folder.name) for folder in FOLDER.iterdir())
MAKE = Callable[[str], StoreAddress]


def restore(version: int, address: StoreAddress) -> None:
    if address.name == "valkey":
        with redis.Redis.from_url(address.url, decode_responses=True) as client:
            restore_redis(client, version, address.prefix)
    elif address.name == "json":
        path = Path(address.url.removeprefix("json:"))
        copyfile(FOLDER / str(version) / "sessions.json", path)
        beside = path.with_name(path.name + ".d")
        beside.mkdir()
        database = Database(file_engine(sa.URL.create("sqlite", database=str(beside / "turns.db"))))
        restore_sql(database, version, "sqlite", address.prefix, without="sessions")
        database.close()
    else:
        url = parse_url(address.url)
        database = Database(server_engine(url) if address.networked else file_engine(url))
        restore_sql(database, version, address.name, address.prefix)
        database.close()


@pytest.mark.parametrize("name", ["json", "sqlite", "postgresql", "mariadb", "valkey"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_store_of_each_version_goes_on(version: int, name: str, make_store_address: MAKE) -> None:
    address = make_store_address(name)
    restore(version, address)
    with open_sessions(address.url, prefix=address.prefix, clock=clock) as sessions:
        check_what_was_kept(sessions)
        with sessions.turn(ALICE) as turn:
            assert turn.session is not None
            turn.begin()
            turn.finish(TurnState.COMPLETED, response_id="resp_now")
        assert sessions.update(ALICE, data={"more": 1}).data == {"plan": "gold", "more": 1}
        assert [record.response_id for record in sessions.turns(ALICE)] == ["resp_now", "resp_5", "resp_1"]
        for erasure in sessions.erasures():
            sessions.finish_erasure(erasure)
        assert sessions.get(CAROL) is None
        assert sessions.rename(BOB, "robert").conversation_id == "conv_2"


def check_what_was_kept(sessions: SessionManager) -> None:
    alice, bob, carol, dave = map(sessions.get, (ALICE, BOB, CAROL, DAVE))
    assert alice is not None
    assert (alice.conversation_id, alice.turns, alice.user_id) == ("conv_1", 2, "ann")
    assert (alice.data, alice.metadata) == ({"plan": "gold"}, {"note": "vip"})
    assert bob is not None
    assert bob.status is Status.COMPLETED
    assert carol is not None
    assert carol.status is Status.ERASING
    assert dave is not None
    assert (dave.conversation_id, dave.generation) == ("conv_new", 2)
    record = sessions.recall("", "key-1")
    assert record is not None
    assert (record.turn_id, record.fingerprint, record.usage) == ("turn_1", "print", {"total_tokens": 3})
    assert [record.turn_id for record in sessions.turns(ALICE)] == ["turn_5", "turn_1"]
    erasures: dict[SessionKey, Any] = {erasure.key: erasure for erasure in sessions.erasures()}
    assert (erasures[CAROL].whole, erasures[CAROL].attempts) == (True, 2)
    assert (erasures[DAVE].whole, erasures[DAVE].conversation_id) == (False, "conv_4")
    assert sessions.responses(erasures[DAVE], 10) == ["resp_4"]
    assert sessions.remembered("acme", ["item_1", "item_2"]) == {"item_1"}
    assert sessions.response_owner("acme", "resp_2") is not None
    assert list(sessions.store.owners.keys()) == [CI]
