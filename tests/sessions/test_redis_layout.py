"""What Redis holds of a session: which keys, in which slots, for how long, and what is left when it is erased."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from redis.crc import key_slot

from gateway.errors import StoreUnavailableError, TurnBusyError
from gateway.model import SessionKey, Status, TurnState
from gateway.sessions.base import Filter, Lifetime
from gateway.sessions.redis import RedisSessionManager, open_redis
from gateway.testing.waiting import Clock
from tests.harness.servers import Valkey
from tests.harness.support import eventually

KEY = SessionKey("acme", "user_alice_session")
WEEK_MS = 7 * 86_400_000

Open = Callable[..., RedisSessionManager]


@pytest.fixture
def open_store(make_store_address: Callable[[str], Any]) -> Iterator[Open]:
    """Opens the same fresh store every time."""
    address = make_store_address("valkey")
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(open_redis(address.url, prefix=address.prefix, **options))


@pytest.fixture
def store(open_store: Open) -> RedisSessionManager:
    return open_store()


def names(valkey: Valkey, store: RedisSessionManager) -> list[str]:
    found: list[str] = valkey.ask("KEYS", f"{store._keys.prefix}:*")
    return found


def run_turn(store: RedisSessionManager, key: SessionKey = KEY, **options: Any) -> None:
    with store.turn(key, **options) as turn:
        if turn.session is None:
            turn.bind("conv_1", user_id="ann", data={"plan": "gold"})
        turn.begin()
        turn.note("resp_1")
        turn.finish(TurnState.COMPLETED)


def test_the_mapping_reads_plainly_in_redis_cli(store: RedisSessionManager, valkey: Valkey) -> None:
    run_turn(store)
    record = valkey.ask("HGETALL", f"{store._keys.prefix}:{{acme/user_alice_session}}:session")
    assert record["session_id"] == "user_alice_session"
    assert record["conversation_id"] == "conv_1"
    assert record["data"] == '{"plan":"gold"}'
    assert (record["status"], record["turns"], record["generation"]) == ("active", "1", "1")


@pytest.mark.parametrize("tenant", ["", "acme", "a/b", "{a}b", "a}b{", "naïve tenant:1"])
def test_all_keys_of_a_session_share_a_slot(store: RedisSessionManager, valkey: Valkey, tenant: str) -> None:
    key = SessionKey(tenant, "a.b_~:@+=,|-c")
    with store.turn(key) as turn:
        turn.bind("conv_1", user_id="{u}/v")
        turn.begin()
        with pytest.raises(TurnBusyError), store.turn(key, wait_seconds=0):
            pass
        of_session = [name for name in names(valkey, store) if key.session_id in name]
        assert {name.rpartition(":")[2] for name in of_session} == {
            "session",
            "lock",
            "queue",
            "leases",
            "turns",
            "log",
        }
        slots = {key_slot(name.encode()) for name in of_session}
        assert slots == {valkey.ask("CLUSTER", "KEYSLOT", of_session[0])} if cluster_speaks(valkey) else len(slots) == 1
        of_tenant = [store._keys.index(tenant, name) for name in ("used", "names", "made", "expires", "trim")]
        of_tenant += [store._keys.by_user(tenant, "{u}/v"), store._keys.by_status(tenant, Status.ACTIVE)]
        assert len({key_slot(name.encode()) for name in of_tenant}) == 1
        assert set(names(valkey, store)) >= {*of_tenant} - {store._keys.index(tenant, "trim")}
        turn.finish(TurnState.COMPLETED)
    assert store.list(Filter(tenant=tenant, user_id="{u}/v")).sessions == [store.get(key)]


def cluster_speaks(valkey: Valkey) -> bool:
    """Some servers compute slots only in cluster mode."""
    try:
        valkey.ask("CLUSTER", "KEYSLOT", "x")
    except Exception:
        return False
    return True


def test_tenants_and_sessions_are_not_mixed_up(store: RedisSessionManager) -> None:
    keys = [SessionKey("a", "b"), SessionKey("", "b"), SessionKey("a/b", "b"), SessionKey("a%2Fb", "b")]
    for number, key in enumerate(keys):
        with store.turn(key) as turn:
            turn.bind(f"conv_{number}")
    assert [store._get(key).conversation_id for key in keys] == [f"conv_{number}" for number in range(4)]  # type: ignore[union-attr]
    assert {session.key for session in store.list(Filter()).sessions} == set(keys)


def test_the_mapping_carries_seven_days_and_turns_renew_them(store: RedisSessionManager, valkey: Valkey) -> None:
    name = store._keys.session(KEY)
    run_turn(store)
    assert WEEK_MS - 60_000 < valkey.ask("PTTL", name) <= WEEK_MS
    valkey.ask("PEXPIRE", name, "100000")
    store.get(KEY)
    store.list(Filter())
    store.update(KEY, data={"plan": None})
    assert valkey.ask("PTTL", name) <= 100_000
    run_turn(store)
    assert WEEK_MS - 60_000 < valkey.ask("PTTL", name) <= WEEK_MS


@pytest.mark.parametrize("end", ["finish", "leave"])
def test_a_turn_suspends_the_ttl(open_store: Open, valkey: Valkey, end: str) -> None:
    store = open_store(lifetime=Lifetime(idle_seconds=0.5), lease_seconds=20)
    name = store._keys.session(KEY)
    with store.turn(KEY) as turn:
        session = turn.bind("conv_1", user_id="ann")
        assert session.expires_at is not None
        eventually(lambda: store.now() > session.expires_at)
        assert valkey.ask("PTTL", name) > 10_000
        assert store.get(KEY) == session
        assert store.expire() == 0
        if end == "finish":
            turn.begin()
            turn.finish(TurnState.COMPLETED)
            assert 0 < valkey.ask("PTTL", name) <= 500
    eventually(lambda: not valkey.ask("EXISTS", name))
    assert store.get(KEY) is None
    assert store.list(Filter()).sessions == []
    # What Redis dropped by itself leaves the indices with the next sweep, the user's too.
    assert valkey.ask("ZCARD", store._keys.by_user("acme", "ann")) == 1
    store.expire()
    assert not valkey.ask("EXISTS", store._keys.by_user("acme", "ann"), store._keys.index("acme", "used"))
    assert not valkey.ask("EXISTS", store._keys.tenants)


def test_after_a_crash_the_mapping_still_goes_by_itself(open_store: Open, valkey: Valkey) -> None:
    store = open_store(lifetime=Lifetime(idle_seconds=0.2), lease_seconds=0.5)
    with store.turn(KEY) as turn:
        turn.bind("conv_1")
        store._keeper.close()
        assert valkey.ask("PTTL", store._keys.session(KEY)) > 500
        eventually(lambda: not valkey.ask("EXISTS", store._keys.session(KEY)))


def test_where_expiry_must_erase_first_redis_drops_nothing_by_itself(open_store: Open, valkey: Valkey) -> None:
    store = open_store(lifetime=Lifetime(idle_seconds=0.1), erase_expired=True)
    run_turn(store)
    name = store._keys.session(KEY)
    assert valkey.ask("PTTL", name) == -1
    eventually(lambda: store.get(KEY) is None)
    assert valkey.ask("EXISTS", name)
    assert store.expire() == 1
    assert not valkey.ask("EXISTS", name)
    (erasure,) = store.erasures()
    assert (erasure.conversation_id, erasure.whole) == ("conv_1", False)
    assert store.response_ids(KEY, "conv_1") == ["resp_1"]


def test_a_session_being_erased_does_not_expire(open_store: Open, valkey: Valkey) -> None:
    store = open_store(lifetime=Lifetime(idle_seconds=0.3))
    with store.turn(KEY) as turn:
        turn.bind("conv_1")
        store.begin_erasure(turn)
    assert valkey.ask("PTTL", store._keys.session(KEY)) == -1
    assert store.expire() == 0
    assert len(store.erasures()) == 1


def test_everything_else_has_a_ttl_of_its_own(store: RedisSessionManager, valkey: Valkey) -> None:
    with store.turn(KEY, idempotency_key="key") as turn:
        turn.bind("conv_1")
        turn.begin()
        for part in ("lock", "queue", "leases", "turns", "log"):
            assert valkey.ask("PTTL", store._keys.part(KEY, part)) > 0, part
        assert 0 < valkey.ask("PTTL", store._keys.claim("acme", "key")) <= 86_400_000
        turn.finish(TurnState.COMPLETED)
    for part in ("turns", "log"):
        assert valkey.ask("PTTL", store._keys.part(KEY, part)) > 29 * 86_400_000, part
    assert not valkey.ask("EXISTS", store._keys.part(KEY, "queue"), store._keys.part(KEY, "leases"))


def test_an_erased_session_leaves_no_trace(store: RedisSessionManager, valkey: Valkey) -> None:
    run_turn(store, idempotency_key="key")
    with store.turn(KEY) as turn:
        turn.bind("conv_2", erase_old=True)
    run_turn(store, idempotency_key="another")
    for erasure in store.erasures():
        store.finish_erasure(erasure)
    with store.turn(KEY) as turn:
        store.finish_erasure(store.begin_erasure(turn))
    eventually(lambda: names(valkey, store) == [store._keys.tenants], 20)
    store.expire()
    assert names(valkey, store) == []


def test_old_turns_leave_their_response_ids_and_nothing_else(open_store: Open, valkey: Valkey) -> None:
    clock = Clock()
    store = open_store(clock=clock)
    for number in range(60):
        with store.turn(KEY) as turn:
            if turn.session is None:
                turn.bind("conv_1")
            turn.begin()
            turn.finish(TurnState.COMPLETED, response_id=f"resp_{number}")
    store.expire()
    assert len(store.turns(KEY, limit=100)) == 60
    clock.advance(25 * 3600)
    store.expire()
    assert [record.response_id for record in store.turns(KEY, limit=100)] == [f"resp_{n}" for n in range(59, 9, -1)]
    assert sorted(store.response_ids(KEY, "conv_1")) == sorted(f"resp_{n}" for n in range(60))
    assert valkey.ask("HLEN", store._keys.part(KEY, "turns")) == 50
    assert not valkey.ask("EXISTS", store._keys.index("acme", "trim"))


def test_an_entry_of_an_index_without_its_session_is_passed_over_and_removed(
    store: RedisSessionManager, valkey: Valkey
) -> None:
    for name in ("a", "b", "c"):
        with store.turn(SessionKey("", name)) as turn:
            turn.bind("conv_1", user_id="ann")
    valkey.ask("DEL", store._keys.session(SessionKey("", "b")))
    page = store.list(Filter(), limit=2)
    assert [session.session_id for session in page.sessions] == ["c", "a"]
    assert page.next is None
    assert [s.session_id for s in store.list(Filter(user_id="ann")).sessions] == ["c", "a"]
    for index in ("used", "names", "made", "status:active"):
        assert valkey.ask("ZCARD", store._keys.index("", index)) == 2, index
    assert valkey.ask("ZCARD", store._keys.by_user("", "ann")) == 2


def test_tidying_does_not_lose_a_session_made_meanwhile(store: RedisSessionManager, valkey: Valkey) -> None:
    def write(answers: list[Any]) -> list[Any]:
        assert answers == ["0"] or answers == [0]
        run_turn(store)  # after the tidier has seen that there is no such session
        return [("ZREM", store._keys.index("acme", "used"), KEY.session_id)]

    name = store._keys.session(KEY)
    assert not store._link.watched([name], [("EXISTS", name)], write)
    assert [session.key for session in store.list(Filter()).sessions] == [KEY]


def test_an_edit_during_a_turn_keeps_its_place_in_the_indices(open_store: Open) -> None:
    clock = Clock()
    store = open_store(clock=clock)
    for name in ("a", "b"):
        with store.turn(SessionKey("", name)) as turn:
            turn.bind("conv_1")
            turn.begin()
            store.update(SessionKey("", name), status=Status.COMPLETED)
            clock.advance(1)
            turn.finish(TurnState.COMPLETED)
    assert store.list(Filter(status=Status.ACTIVE)).sessions == []
    assert [s.session_id for s in store.list(Filter(status=Status.COMPLETED)).sessions] == ["b", "a"]
    with store.turn(SessionKey("", "a")) as turn:
        store.update(SessionKey("", "a"), data={"edited": True})
        assert turn.bind("conv_2").data == {"edited": True}


def test_a_hand_written_record_can_be_edited_and_a_broken_one_is_an_error(
    store: RedisSessionManager, valkey: Valkey
) -> None:
    run_turn(store)
    name = store._keys.session(KEY)
    valkey.ask("HSET", name, "data", '{ "z": 1,  "a": 2 }')
    assert store.update(KEY, data={"b": 3}).data == {"z": 1, "a": 2, "b": 3}
    for field, broken in (("data", "{"), ("data", "[]"), ("generation", "one"), ("status", "odd")):
        good = valkey.ask("HGET", name, field)
        valkey.ask("HSET", name, field, broken)
        with pytest.raises(StoreUnavailableError, match="corrupt"):
            store.get(KEY)
        with pytest.raises(StoreUnavailableError), store.turn(KEY):
            pass
        assert valkey.ask("HGET", name, field) == broken
        valkey.ask("HSET", name, field, good)
    valkey.ask("HDEL", name, "conversation_id")
    with pytest.raises(StoreUnavailableError, match="corrupt"):
        store.get(KEY)
    valkey.ask("DEL", name)
    valkey.ask("SET", name, "no hash at all")
    with pytest.raises(StoreUnavailableError):
        store.get(KEY)
    with pytest.raises(StoreUnavailableError), store.turn(KEY):
        pass
    valkey.ask("DEL", name)
    run_turn(store, wait_seconds=0)  # the one that failed holds nobody up


def test_what_is_wrong_with_one_session_costs_no_other_its_turn(open_store: Open, valkey: Valkey) -> None:
    store = open_store()
    good, bad = SessionKey("", "good"), SessionKey("", "bad")
    with store.turn(good) as one, store.turn(bad) as other:
        leases = store._keys.part(bad, "leases")
        valkey.ask("DEL", leases)
        valkey.ask("SET", leases, "no zset")
        tickets = [(bad, other.record.turn_id), (good, one.record.turn_id)]
        assert store._renew(tickets) == {one.record.turn_id}
        valkey.ask("DEL", leases)


def test_a_rename_takes_keys_and_erasures_along(store: RedisSessionManager, valkey: Valkey) -> None:
    run_turn(store, idempotency_key="key")
    with store.turn(KEY) as turn:
        turn.bind("conv_2", erase_old=True)
    renamed = store.rename(KEY, "renamed", user_id="bob")
    recalled = store.recall("acme", "key")
    assert recalled is not None
    assert recalled.session_id == "renamed"
    (erasure,) = store.erasures()
    assert (erasure.session_id, erasure.conversation_id) == ("renamed", "conv_1")
    assert store.response_ids(renamed.key, "conv_1") == ["resp_1"]
    assert store.list(Filter(user_id="ann")).sessions == []
    assert store.list(Filter(user_id="bob")).sessions == [replace(renamed)]
    eventually(lambda: not [name for name in names(valkey, store) if KEY.session_id in name], 20)


def test_sessions_live_by_the_servers_clock(store: RedisSessionManager, valkey: Valkey) -> None:
    seconds, _ = valkey.ask("TIME")
    assert abs(store.now() - int(seconds) * 1000) < 5_000
    store._link._offset = 0.0  # as if our clock were far off
    run_turn(store)
    assert abs(store.now() - int(seconds) * 1000) < 60_000
