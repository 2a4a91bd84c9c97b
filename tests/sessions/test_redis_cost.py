"""What the store costs: round trips of a turn, commands of a page, connections of many turns."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Barrier
from typing import Any

import pytest
import redis.connection

from gateway.errors import StoreUnavailableError
from gateway.model import SessionKey, Status, TurnState
from gateway.sessions import Page, SessionManager, open_sessions
from gateway.sessions.redis import RedisStore
from gateway.sessions.redis.listing import LOOK
from gateway.sessions.values import Filter, Lifetime, StoredSession
from gateway.testing.waiting import Clock
from tests.harness.servers import Valkey

KEY = SessionKey("", "s")
SESSIONS = 100_000
RARE = 50

Count = Callable[[Callable[[], object]], int]


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> Count:
    """How often something is sent to the server while a function runs."""
    sent = 0
    send = redis.connection.AbstractConnection.send_packed_command

    def counted(self: Any, *args: Any, **options: Any) -> Any:
        nonlocal sent
        sent += 1
        return send(self, *args, **options)

    monkeypatch.setattr(redis.connection.AbstractConnection, "send_packed_command", counted)

    def count(function: Callable[[], object]) -> int:
        before = sent
        function()
        return sent - before

    return count


@pytest.fixture
def store(make_store_address: Callable[[str], Any]) -> Iterator[SessionManager]:
    address = make_store_address("valkey")
    with open_sessions(address.url, prefix=address.prefix) as store:
        yield store


def in_redis(store: SessionManager) -> RedisStore:
    assert isinstance(store.store, RedisStore)
    return store.store


def run_turn(store: SessionManager, key: SessionKey = KEY, **options: Any) -> None:
    with store.turn(key, **options) as turn:
        if turn.session is None:
            turn.bind("conv_1", user_id="ann")
        turn.begin()
        turn.note("resp_1")
        turn.finish(TurnState.COMPLETED)


def test_a_turn_takes_four_round_trips(store: SessionManager, trips: Count) -> None:
    assert trips(lambda: run_turn(store)) == 5, "the first one binds"
    assert trips(lambda: run_turn(store)) == 4
    assert trips(lambda: run_turn(store, idempotency_key="key")) == 4
    for _ in range(70):
        run_turn(store)
    assert trips(lambda: run_turn(store)) == 4


def test_a_read_takes_one_round_trip_and_so_does_renewing_all(store: SessionManager, trips: Count) -> None:
    with ExitStack() as stack:
        turns = [stack.enter_context(store.turn(SessionKey("", f"s{number}"))) for number in range(20)]
        turns[0].bind("conv_1")
        assert trips(lambda: store.get(turns[0].key)) == 1
        assert trips(lambda: store.store.owners.find_key("ci")) == 1
        assert trips(lambda: store.store.tickets.renew([(turn.key, turn.record.turn_id) for turn in turns])) == 1


def test_many_turns_under_way_take_few_connections() -> None:
    with Valkey() as server, open_sessions(f"{server.url()}?max_connections=4") as store:
        start = Barrier(40)

        def hold(number: int) -> int:
            start.wait()
            with store.turn(SessionKey("", f"s{number}")) as turn:
                turn.bind("conv_1")
                start.wait()
                connected: int = server.ask("INFO", "clients")["connected_clients"] if number == 0 else 0
                start.wait()
                return connected

        with ThreadPoolExecutor(40) as threads:
            assert max(threads.map(hold, range(40))) <= 5  # and the one that asks


def test_when_no_connection_comes_free_the_store_is_unavailable_and_leases_go_on(
    store: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.sessions.redis.client.CONNECTION_WAIT_SECONDS", 0.05)
    with store.turn(KEY) as turn, ExitStack() as stack:
        for _ in range(16):
            stack.enter_context(in_redis(store).client.line.place(1))
        with pytest.raises(StoreUnavailableError):
            store.get(KEY)
        ticket = (KEY, turn.record.turn_id)
        assert store.store.tickets.renew([ticket]) == {turn.record.turn_id}, "leases stand in no line"
    assert store.get(KEY) is None


@pytest.fixture(scope="module")
def crowded() -> Iterator[tuple[Valkey, SessionManager]]:
    """100,000 sessions: the oldest half is called old_, fifty in between are rare_, and 100 each have the same use."""
    with Valkey() as server, open_sessions(server.url()) as store:
        start = store.now() - SESSIONS
        for first in range(0, SESSIONS, 1000):
            some = []
            for number in range(first, first + 1000):
                rare = number % (SESSIONS // RARE) == 0
                name = f"{'rare' if rare else 'old' if number < SESSIONS // 2 else 'new'}_{number}"
                used, status = start + number // 100, Status.COMPLETED if rare else Status.ACTIVE
                some.append(stored(name, used, status=status, user_id=f"user{number % 1000}"))
            assert all(store.store.sessions.put([(None, session) for session in some]))
        yield server, store


def stored(name: str, used: int, tenant: str = "", **fields: Any) -> StoredSession:
    told: dict[str, Any] = {"expires_at": None, "status": Status.ACTIVE, "user_id": None, **fields}
    return StoredSession(tenant, name, "conv", used, used, data="{}", metadata="{}", generation=1, turns=0, **told)


@pytest.fixture
def commands(crowded: tuple[Valkey, SessionManager]) -> Count:
    """How many commands the server runs, those inside of scripts included."""
    return lambda function: commands_of(crowded[0], function)


def commands_of(server: Valkey, function: Callable[[], object]) -> int:
    def so_far() -> int:
        return sum(int(stat["calls"]) for stat in server.ask("INFO", "commandstats").values())

    before = so_far()
    function()
    return so_far() - before


@pytest.mark.parametrize(
    ("filtered", "matches", "most_trips", "most_commands"),
    [
        ({"tenant": None}, SESSIONS, 2, 60),
        ({}, SESSIONS, 1, 60),
        ({"user_id": "user7"}, 100, 1, 60),
        ({"user_id": "user7", "status": Status.ACTIVE, "prefix": "old"}, 50, 2, 160),
        ({"status": Status.COMPLETED}, RARE, 1, 60),
        ({"prefix": "rare_"}, RARE, 1, 120),
        ({"prefix": "rare_", "status": Status.COMPLETED}, RARE, 1, 120),
        ({"prefix": "new_"}, SESSIONS // 2, 2, 60),
        ({"prefix": "nobody"}, 0, 1, 60),
        # The worst there is: every other session is called so, and they are the oldest.
        ({"prefix": "old_"}, SESSIONS // 2, SESSIONS // 2 // LOOK + 4, 400),
    ],
)
def test_a_page_of_a_hundred_thousand_is_found_without_looking_at_all(
    crowded: tuple[Valkey, SessionManager],
    trips: Count,
    commands: Count,
    filtered: dict[str, Any],
    matches: int,
    most_trips: int,
    most_commands: int,
) -> None:
    _, store = crowded
    wanted = Filter(**{"tenant": "", **filtered})
    pages: list[Page] = []
    assert commands(lambda: pages.append(store.list(wanted))) <= most_commands
    while (after := pages[-1].next) is not None and len(pages) < 4:
        # Further pages cost no more, although a hundred have the same use.
        assert trips(lambda after=after: pages.append(store.list(wanted, after=after))) <= most_trips
    found = [session for page in pages for session in page.sessions]
    assert len({session.key for session in found}) == len(found) == min(80, matches)
    used = [session.last_used for session in found]
    assert used == sorted(used, reverse=True)


@pytest.mark.parametrize("tenant", ["", None])
def test_a_deep_page_costs_what_the_first_does(
    crowded: tuple[Valkey, SessionManager], trips: Count, tenant: str | None
) -> None:
    _, store = crowded
    middle = store.get(SessionKey("", f"old_{SESSIONS // 2 - 1}"))
    assert middle is not None
    page = store.list(Filter(tenant, used_before=middle.last_used))
    assert trips(lambda: store.list(Filter(tenant, used_before=middle.last_used), after=page.next)) <= 2
    # The one that the cursor stands on is used meanwhile: the next page still begins behind its place.
    last = page.sessions[-1]
    before = store.list(Filter(tenant), after=page.next).sessions
    run_turn(store, last.key)
    assert store.list(Filter(tenant), after=page.next).sessions == before
    assert store.list(Filter(tenant), limit=1).sessions[0].session_id == last.session_id


def test_a_tail_of_sessions_that_redis_dropped_is_passed_over_and_swept() -> None:
    with Valkey() as server, open_sessions(server.url()) as store:
        long_ago = store.now() - 100_000
        gone = [stored(f"s{number}", long_ago + number, expires_at=store.now() + 1) for number in range(3000)]
        store.store.sessions.put([(None, session) for session in gone])
        server.ask("DEL", *(in_redis(store).keys.session(session.key) for session in gone))
        run_turn(store)
        for tenant in ("", None):
            page = store.list(Filter(tenant), limit=100)
            assert ([session.session_id for session in page.sessions], page.next) == (["s"], None)
        assert server.ask("ZCARD", in_redis(store).keys.used) == 1
        while store.expire():
            pass
        assert server.ask("ZCARD", in_redis(store).keys.of("", "used")) == 1


def test_tenants_with_nothing_to_do_cost_nothing() -> None:
    clock = Clock()
    with (
        Valkey() as server,
        open_sessions(server.url(), clock=clock, erase_expired=True, lifetime=Lifetime(86_400.0)) as store,
    ):
        for number in range(500):
            key = SessionKey(f"tenant{number}", "s")
            with store.turn(key) as turn:
                turn.bind("conv_1")
                if number % 2:
                    turn.begin_erasure()
        for erasure in store.erasures(limit=1000):
            store.finish_erasure(erasure)

        def sweep() -> None:
            assert store.expire() == 0
            assert store.prune() == 0
            assert store.claim_erasures(20, store.now() + 60_000) == []

        for _ in range(10):  # a minute after a hint each is looked at once more
            clock.advance(120)
            sweep()
        assert commands_of(server, sweep) < 20
        clock.advance(86_400)
        assert store.expire() == 250
        assert len(store.claim_erasures(1000, store.now() + 60_000)) <= 250


def test_many_that_expire_at_once_go_in_few_round_trips(trips: Count) -> None:
    clock = Clock()
    with Valkey() as server, open_sessions(server.url(), clock=clock) as store:
        used = store.now()
        due = [stored(f"s{number}", used, tenant=f"t{number % 7}", expires_at=used + 1000) for number in range(5000)]
        store.store.sessions.put([(None, session) for session in due])
        clock.advance(61)
        assert trips(lambda: store.expire(1000)) <= 30
        assert store.expire(10_000) == 4000
        assert server.ask("DBSIZE") == 1  # the version


def test_no_step_reads_or_drops_all_turns_of_a_session_at_once() -> None:
    with Valkey() as server, open_sessions(server.url()) as store:
        for _ in range(1200):
            run_turn(store)
        server.ask("CONFIG", "RESETSTAT")
        with store.turn(KEY) as turn:
            erasure = turn.begin_erasure()
        assert len(store.responses(erasure, 100)) == 1
        store.finish_erasure(erasure)
        assert int(server.ask("INFO", "commandstats")["cmdstat_zrangebyscore"]["calls"]) >= 3
        assert store.turns(KEY) == []
        left = {name.partition("}")[2].split(":")[1] for name in server.ask("KEYS", "*{*")}
        assert left <= {"lock"}
