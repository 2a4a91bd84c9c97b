"""What Redis holds of a session: which keys, in which slots, for how long, and what is left when it is erased."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from redis.crc import key_slot

from gateway.errors import StoreUnavailableError, TurnBusyError, TurnLostError
from gateway.model import SessionKey, Status, TurnState
from gateway.sessions import SessionManager, open_sessions
from gateway.sessions.redis import RedisStore
from gateway.sessions.redis.client import Client
from gateway.sessions.redis.connect import open_client
from gateway.sessions.redis.keys import Keys
from gateway.sessions.redis.scripts import load_scripts
from gateway.sessions.values import Filter, Lifetime, Terms
from gateway.testing.contract import stop_renewing, wait_until_dead
from gateway.testing.waiting import Clock
from tests.harness.servers import ClusterNode, Valkey
from tests.harness.support import eventually

KEY = SessionKey("acme", "user_alice_session")
WEEK_MS = 7 * 86_400_000

Open = Callable[..., SessionManager]


@pytest.fixture
def open_store(make_store_address: Callable[[str], Any]) -> Iterator[Open]:
    """Opens the same fresh store every time."""
    address = make_store_address("valkey")
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(open_sessions(address.url, prefix=address.prefix, **options))


@pytest.fixture
def store(open_store: Open) -> SessionManager:
    return open_store()


def keys_of(store: SessionManager) -> Keys:
    assert isinstance(store.store, RedisStore)
    return store.store.keys


def names(valkey: Valkey, store: SessionManager) -> list[str]:
    found: list[str] = valkey.ask("KEYS", f"{keys_of(store).prefix}:*")
    return found


def run_turn(store: SessionManager, key: SessionKey = KEY, response_id: str = "resp_1", **options: Any) -> str:
    with store.turn(key, **options) as turn:
        if turn.session is None:
            turn.bind("conv_1", user_id="ann", data={"plan": "gold"})
        turn.begin()
        turn.note(response_id)
        return turn.finish(TurnState.COMPLETED).turn_id


def part(store: SessionManager, name: str, key: SessionKey = KEY) -> str:
    return keys_of(store).of(key.tenant, f"{name}:{key.session_id}")


def test_the_mapping_reads_plainly_in_redis_cli(store: SessionManager, valkey: Valkey) -> None:
    run_turn(store)
    record = valkey.ask("HGETALL", f"{keys_of(store).prefix}:{{acme/}}:session:user_alice_session")
    assert record["session_id"] == "user_alice_session"
    assert record["conversation_id"] == "conv_1"
    assert record["data"] == '{"plan":"gold"}'
    assert (record["status"], record["turns"], record["generation"]) == ("active", "1", "1")


@pytest.mark.parametrize("tenant", ["", "acme", "a/b", "{a}b", "a}b{", "naïve tenant:1"])
def test_all_keys_of_a_tenant_share_a_slot(store: SessionManager, valkey: Valkey, tenant: str) -> None:
    key = SessionKey(tenant, "a.b_~:@+=,|-c")
    with store.turn(key, idempotency_key="{key}/1") as turn:
        turn.bind("conv_1", user_id="{u}/v")
        turn.begin()
        turn.note("{resp}")
        with pytest.raises(TurnBusyError), store.turn(key, wait_seconds=0):
            pass
        store.remember(tenant, ["{msg}"])
        turn.bind("conv_2", erase_old=True)
        keys = keys_of(store)
        outside = {keys.used, keys.due, keys.erasing, keys.version}
        of_tenant = [name for name in names(valkey, store) if name not in outside]
        assert {name.removeprefix(keys.tenant(tenant)).split(":")[0] for name in of_tenant} == {
            *("session", "lock", "queue", "leases", "turn", "history", "log", "claim", "response", "responses"),
            *("given", "used", "made", "names", "status", "user", "erasures", "erasing", "requested"),
        }
        assert len({key_slot(name.encode()) for name in of_tenant}) == 1
        turn.finish(TurnState.COMPLETED)
    assert store.list(Filter(tenant=tenant, user_id="{u}/v")).sessions == [store.get(key)]


def test_each_step_keeps_to_one_slot_of_a_cluster() -> None:
    """A node with all slots to itself still refuses a script that touches two."""
    with ClusterNode() as node:
        node.ask("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        eventually(lambda: "cluster_state:ok" in str(node.ask("CLUSTER", "INFO")), 20)
        keys = Keys("g")
        client = Client(open_client(node.url()), version_key=keys.version)
        client._is_checked = True  # which would say that a Cluster is not supported yet
        ran: set[str] = set()
        command = client.command

        def watched(script: str, *args: Any) -> Any:
            ran.add(script)
            return command(script, *args)

        client.command = watched
        clock = Clock()
        terms = Terms(erase_expired=True, clock=clock)
        with SessionManager(RedisStore(client, keys=keys, terms=terms), lifetime=Lifetime(600.0)) as store:
            turn_id = run_turn(store, idempotency_key="key")
            with store.turn(KEY) as turn, pytest.raises(TurnBusyError), store.turn(KEY, wait_seconds=0):
                pass
            assert store.store.tickets.poll(KEY, turn.record.turn_id) is None
            store.store.tickets.renew([(KEY, turn_id)])
            store.settle(turn.record)
            store.update(KEY, data={"a": 1})
            store.list(Filter(tenant="acme", user_id="ann", prefix="user_"))
            store.list(Filter(tenant="acme"))
            store.list(Filter())
            store.made("acme")
            assert store.turns(KEY)
            record = store.turn_record(KEY, turn_id)
            assert record is not None
            store.mark_undelivered(record)
            assert store.recall("acme", "key") is not None
            assert store.response_owner("acme", "resp_1") is not None
            with store.turn(KEY) as turn:
                turn.bind("conv_2", erase_old=True)
            renamed = store.rename(KEY, "renamed")
            (erasure,) = store.claim_erasures(10, store.now())
            store.drop_responses(erasure, ["resp_1"])
            store.postpone(erasure)
            store.finish_erasure(*store.erasures())
            assert store.put([replace(renamed, session_id="put")])
            with store.turn(renamed.key) as turn:
                turn.begin_erasure()
            with store.turn(KEY) as turn:
                turn.bind("conv_3")
                turn.forget()
            clock.advance(700)
            assert store.get(SessionKey("acme", "put")) is None
            assert store.expire() == 1
            assert ran == load_scripts().keys()


def test_tenants_and_sessions_are_not_mixed_up(store: SessionManager) -> None:
    keys = [SessionKey("a", "b"), SessionKey("", "b"), SessionKey("a/b", "b"), SessionKey("a%2Fb", "b")]
    for number, key in enumerate(keys):
        with store.turn(key) as turn:
            turn.bind(f"conv_{number}")
    assert [store.get(key).conversation_id for key in keys] == [f"conv_{number}" for number in range(4)]
    assert {session.key for session in store.list(Filter()).sessions} == set(keys)


def test_the_mapping_carries_seven_days_and_turns_renew_them(store: SessionManager, valkey: Valkey) -> None:
    name = part(store, "session")
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
    name = part(store, "session")
    with store.turn(KEY) as turn:
        session = turn.bind("conv_1", user_id="ann")
        assert session.expires_at is not None
        eventually(lambda: store.now() > session.expires_at)
        assert valkey.ask("PTTL", name) > 10_000
        assert store.get(KEY) == session
        assert store.expire() == 0
        turn.begin()
        turn.note("resp_1")
        if end == "finish":
            turn.finish(TurnState.COMPLETED)
            assert 0 < valkey.ask("PTTL", name) <= 500
    eventually(lambda: not valkey.ask("EXISTS", name))
    assert store.get(KEY) is None
    assert store.list(Filter()).sessions == []
    assert store.response_owner("acme", "resp_1") is None
    # What Redis dropped by itself leaves the indices with the next sweep, and its turns go, too.
    assert valkey.ask("ZCARD", keys_of(store).of("acme", "user:ann")) == 1
    valkey.ask("ZADD", keys_of(store).due, "1", "acme/user_alice_session")  # a held one was put off by its lease
    assert store.expire() == 1
    assert store.expire() == 0
    left = {name.removeprefix(keys_of(store).tenant("acme")).split(":")[0] for name in names(valkey, store)}
    assert not left & {"user", "used", "made", "names", "status", "turn", "log", "history", "response", "responses"}


def test_after_a_crash_the_mapping_still_goes_by_itself(open_store: Open, valkey: Valkey) -> None:
    store = open_store(lifetime=Lifetime(idle_seconds=0.2), lease_seconds=0.5)
    with store.turn(KEY) as turn:
        turn.bind("conv_1")
        store.leases.close()
        assert valkey.ask("PTTL", part(store, "session")) > 500
        eventually(lambda: not valkey.ask("EXISTS", part(store, "session")))


def test_where_expiry_must_erase_first_redis_drops_nothing_by_itself(open_store: Open, valkey: Valkey) -> None:
    store = open_store(lifetime=Lifetime(idle_seconds=0.1), erase_expired=True)
    run_turn(store)
    name = part(store, "session")
    assert valkey.ask("PTTL", name) == -1
    eventually(lambda: store.get(KEY) is None)
    assert valkey.ask("EXISTS", name)
    assert store.expire() == 1
    assert not valkey.ask("EXISTS", name)
    (erasure,) = store.erasures()
    assert (erasure.conversation_id, erasure.whole) == ("conv_1", False)
    assert store.responses(erasure, 10) == ["resp_1"]


def test_a_session_being_erased_does_not_expire(open_store: Open, valkey: Valkey) -> None:
    store = open_store(lifetime=Lifetime(idle_seconds=0.3))
    with store.turn(KEY) as turn:
        session = turn.bind("conv_1")
        turn.begin_erasure()
    assert valkey.ask("PTTL", part(store, "session")) == -1
    eventually(lambda: store.now() > session.expires_at)
    assert store.expire() == 0
    assert len(store.erasures()) == 1


def test_everything_else_has_a_ttl_of_its_own(store: SessionManager, valkey: Valkey) -> None:
    day, month = 86_400_000, 30 * 86_400_000

    def ttl(name: str) -> int:
        return int(valkey.ask("PTTL", keys_of(store).of("acme", name)))

    with store.turn(KEY, idempotency_key="key") as turn:
        assert 0 < ttl(f"turn:{turn.record.turn_id}") <= 2 * day
        turn.bind("conv_1")
        turn.begin()
        turn.note("resp_1")
        for name in ("lock", "queue", "leases"):
            assert 0 < valkey.ask("PTTL", part(store, name)) <= 2 * day, name
        assert 0 < ttl("claim:key") <= day
        record = turn.finish(TurnState.COMPLETED)
    history = valkey.ask("HGET", part(store, "session"), "history")
    for name in (
        f"turn:{record.turn_id}",
        f"log:{history}",
        f"history:{history}",
        "response:resp_1",
        "responses:conv_1",
    ):
        assert month - 60_000 < ttl(name) <= month, name
    assert not valkey.ask("EXISTS", part(store, "queue"), part(store, "leases"))


def test_an_erased_session_leaves_its_keys_mark_and_no_other_trace(open_store: Open, valkey: Valkey) -> None:
    store = open_store(lease_seconds=1)
    turn_id = run_turn(store, idempotency_key="key", fingerprint="print")
    with store.turn(KEY) as turn:
        turn.bind("conv_2", erase_old=True)
    run_turn(store, response_id="resp_2")
    for erasure in store.erasures():
        store.finish_erasure(erasure)
    with store.turn(KEY) as turn:
        erasure = turn.begin_erasure()
    store.finish_erasure(erasure)
    assert store.expire() == 0
    keys = keys_of(store)
    claim = keys.of("acme", "claim:key")
    # The numbers of its queue go with their TTL; that there were erasures of the tenant's is looked at a minute later.
    eventually(lambda: set(names(valkey, store)) == {claim, keys.version, keys.erasing}, 20)
    assert valkey.ask("HGETALL", claim).keys() == {"turn_id", "entered_at", "fingerprint"}
    assert valkey.ask("HGET", claim, "turn_id") == turn_id


def test_an_erasure_leaves_the_turns_that_another_one_waits_for(store: SessionManager) -> None:
    run_turn(store)
    with store.turn(KEY) as turn:
        turn.bind("conv_2", erase_old=True)
    run_turn(store, response_id="resp_2")
    with store.turn(KEY) as turn:
        whole = turn.begin_erasure()
    store.finish_erasure(whole)
    (other,) = store.erasures()
    assert (store.responses(other, 10), store.responses(whole, 10)) == (["resp_1"], [])
    store.finish_erasure(other)
    assert store.responses(other, 10) == []


def test_a_turn_that_erases_its_own_session_is_still_recalled(store: SessionManager) -> None:
    with store.turn(KEY, idempotency_key="key") as turn:
        turn.bind("conv_1")
        turn.begin()
        store.finish_erasure(turn.begin_erasure())
        recalled = store.recall("acme", "key")
        assert recalled is not None
        assert recalled.state is TurnState.RUNNING
        ended = turn.finish(TurnState.COMPLETED)
    assert store.recall("acme", "key") == ended


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
    store: SessionManager, valkey: Valkey
) -> None:
    run_turn(store)
    name = part(store, "session")
    valkey.ask("HSET", name, "data", '{ "z": 1,  "a": 2 }')
    assert store.update(KEY, data={"b": 3}).data == {"z": 1, "a": 2, "b": 3}
    for field, broken in (("generation", "one"), ("status", "odd"), ("created_at", "")):
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


def test_a_mapping_that_a_hand_wrote_is_listed_once_under_its_new_name(store: SessionManager, valkey: Valkey) -> None:
    run_turn(store)
    by_hand = SessionKey("acme", "by_hand")
    for name, value in valkey.ask("HGETALL", part(store, "session")).items():
        if name != "history":
            valkey.ask("HSET", keys_of(store).session(by_hand), name, value)
    store.rename(by_hand, "named")
    run_turn(store, SessionKey("acme", "named"))
    page = store.list(Filter(tenant="acme", prefix="named"))
    assert [session.session_id for session in page.sessions] == ["named"]


def test_what_is_spoilt_costs_its_own_session_and_nothing_else(open_store: Open, valkey: Valkey) -> None:
    clock = Clock()
    store = open_store(clock=clock, lifetime=Lifetime(600.0), erase_expired=True)
    for name in ("bad", "good", "odd"):
        run_turn(store, SessionKey("acme", name))
    bad, odd = part(store, "session", SessionKey("acme", "bad")), part(store, "session", SessionKey("acme", "odd"))
    valkey.ask("DEL", bad)
    valkey.ask("SET", bad, "no hash at all")
    valkey.ask("HSET", odd, "status", "odd")
    for wanted in (Filter(), Filter(tenant="acme"), Filter(tenant="acme", prefix="")):
        assert [session.session_id for session in store.list(wanted).sessions] == ["good"]
    assert [session.session_id for session in store.made("acme")] == ["good"]
    for name in ("bad", "odd"):
        with pytest.raises(StoreUnavailableError):
            store.get(SessionKey("acme", name))
    clock.advance(700)
    assert store.expire() >= 1
    assert store.expire() == 0
    assert valkey.ask("GET", bad) == "no hash at all"
    # An erasure that cannot be read is stepped over, too.
    valkey.ask("HSET", part(store, "erasures", SessionKey("acme", "good")), "conv_1", "{")
    run_turn(store, SessionKey("acme", "more"))
    with store.turn(SessionKey("acme", "more")) as turn:
        turn.bind("conv_2", erase_old=True)
    claimed = store.claim_erasures(10, store.now() + 60_000)
    assert "more" in {erasure.session_id for erasure in claimed}
    assert "good" not in {erasure.session_id for erasure in [*claimed, *store.erasures()]}


def test_what_is_wrong_with_one_sessions_leases_costs_no_other_its_turn(store: SessionManager, valkey: Valkey) -> None:
    good, bad = SessionKey("", "good"), SessionKey("", "bad")
    with store.turn(good) as one, store.turn(bad) as other:
        leases = part(store, "leases", bad)
        valkey.ask("DEL", leases)
        valkey.ask("SET", leases, "no zset")
        tickets = [(bad, other.record.turn_id), (good, one.record.turn_id)]
        assert store.store.tickets.renew(tickets) == {one.record.turn_id}
        valkey.ask("DEL", leases)


def test_a_clock_that_stepped_back_blocks_a_crashed_session_for_two_leases(open_store: Open, valkey: Valkey) -> None:
    store = open_store(lease_seconds=0.5)
    with store.turn(KEY) as crashed:
        stop_renewing(store, crashed)
        seconds, _ = valkey.ask("TIME")
        an_hour_on = str((int(seconds) + 3600) * 1000)
        valkey.ask("ZADD", part(store, "leases"), an_hour_on, crashed.record.turn_id)
        with store.turn(KEY, wait_seconds=20):
            pass
        with pytest.raises(TurnLostError):
            crashed.bind("conv_late")


def test_a_longer_lease_than_ours_is_anothers_to_choose(open_store: Open, valkey: Valkey) -> None:
    slow, quick = open_store(lease_seconds=600), open_store(lease_seconds=1)
    with slow.turn(KEY) as turn:
        with pytest.raises(TurnBusyError), quick.turn(KEY, wait_seconds=0):
            pass
        seconds, _ = valkey.ask("TIME")
        ends = float(valkey.ask("ZSCORE", part(slow, "leases"), turn.record.turn_id))
        assert ends > (int(seconds) + 500) * 1000


def test_a_crashed_turn_that_was_settled_cannot_end_itself(open_store: Open) -> None:
    store = open_store(lease_seconds=0.5)
    with store.turn(KEY) as turn:
        turn.bind("conv_1")
        turn.begin()
        stop_renewing(store, turn)
        wait_until_dead(store, KEY, turn.record.turn_id)
        assert store.settle(replace(turn.record, state=TurnState.LOST, live=False))
        with pytest.raises(TurnLostError):
            turn.finish(TurnState.COMPLETED)
    assert [record.state for record in store.turns(KEY)] == [TurnState.LOST]


def test_what_a_newer_version_keeps_beside_is_left_alone(store: SessionManager, valkey: Valkey) -> None:
    turn_id = run_turn(store)
    turn = keys_of(store).of("acme", f"turn:{turn_id}")
    for name in (part(store, "session"), turn):
        valkey.ask("HSET", name, "from_tomorrow", "1")
    run_turn(store)
    store.update(KEY, data={"a": 1})
    (_, record) = store.turns(KEY)
    store.mark_undelivered(record)
    renamed = store.rename(KEY, "renamed")
    assert store.put([replace(renamed, turns=9, last_used=renamed.last_used + 1)])
    for name in (part(store, "session", renamed.key), turn):
        assert valkey.ask("HGET", name, "from_tomorrow") == "1"


def test_a_rename_takes_keys_responses_and_erasures_along(open_store: Open, valkey: Valkey) -> None:
    store = open_store(lease_seconds=1)
    run_turn(store, idempotency_key="key")
    with store.turn(KEY) as turn:
        turn.bind("conv_2", erase_old=True)
    renamed = store.rename(KEY, "renamed", user_id="bob")
    recalled = store.recall("acme", "key")
    assert recalled is not None
    assert recalled.session_id == "renamed"
    (erasure,) = store.erasures()
    assert (erasure.session_id, erasure.conversation_id) == ("renamed", "conv_1")
    assert store.responses(erasure, 10) == ["resp_1"]
    assert store.list(Filter(user_id="ann")).sessions == []
    assert store.list(Filter(tenant="acme", user_id="bob")).sessions == [renamed]
    assert [session.key for session in store.list(Filter()).sessions] == [renamed.key]
    (claimed,) = store.claim_erasures(10, store.now() + 60_000)
    store.finish_erasure(claimed)
    assert store.turns(renamed.key) == []
    eventually(lambda: not [name for name in names(valkey, store) if KEY.session_id in name], 20)


def test_sessions_live_by_the_servers_clock(store: SessionManager, valkey: Valkey) -> None:
    seconds, _ = valkey.ask("TIME")
    assert abs(store.now() - int(seconds) * 1000) < 5_000
    assert isinstance(store.store, RedisStore)
    store.store.client._offset = 0.0  # as if our clock were far off
    run_turn(store)
    assert abs(store.now() - int(seconds) * 1000) < 60_000


def test_a_script_is_called_with_what_it_names_and_nothing_else() -> None:
    write = load_scripts()["undelivered"]
    assert write.command({"turn": "k"}, {"tenant": "t", "undelivered": True})[2:] == (1, "k", "t", 1)
    for keys, args in (
        ({}, {"tenant": "t", "undelivered": True}),
        ({"turn": "k"}, {"tenant": "t"}),
        ({"turn": "k"}, {"tenant": "t", "undelivered": True, "more": 1}),
    ):
        with pytest.raises(TypeError, match="is called with"):
            write.command(keys, args)
