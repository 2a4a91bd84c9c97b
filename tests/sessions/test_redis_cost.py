"""What the store costs: round trips of a turn, commands of a page, connections of many turns."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Barrier
from typing import Any

import pytest
import redis.connection

from gateway.errors import StoreUnavailableError
from gateway.model import Session, SessionKey, Status, TurnState
from gateway.sessions.base import Filter, Page
from gateway.sessions.redis import RedisSessionManager, open_redis
from gateway.sessions.redis.indices import LOOK
from gateway.sessions.redis.records import encode_session
from tests.harness.servers import Valkey

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
def store(make_store_address: Callable[[str], Any]) -> Iterator[RedisSessionManager]:
    address = make_store_address("valkey")
    with open_redis(address.url, prefix=address.prefix) as store:
        yield store


def run_turn(store: RedisSessionManager, **options: Any) -> None:
    with store.turn(SessionKey("", "s"), **options) as turn:
        if turn.session is None:
            turn.bind("conv_1", user_id="ann")
        turn.begin()
        turn.note("resp_1")
        turn.finish(TurnState.COMPLETED)


def test_a_turn_takes_four_round_trips(store: RedisSessionManager, trips: Count) -> None:
    assert trips(lambda: run_turn(store)) == 5, "the first one binds"
    assert trips(lambda: run_turn(store)) == 4
    assert trips(lambda: run_turn(store, idempotency_key="key")) == 5
    for _ in range(70):  # beyond what is kept whole
        run_turn(store)
    assert trips(lambda: run_turn(store)) == 4


def test_a_read_takes_one_round_trip_and_so_does_renewing_all(store: RedisSessionManager, trips: Count) -> None:
    with ExitStack() as stack:
        turns = [stack.enter_context(store.turn(SessionKey("", f"s{number}"))) for number in range(20)]
        turns[0].bind("conv_1")
        assert trips(lambda: store.get(turns[0].key)) == 1
        assert trips(lambda: store.key("ci")) == 1
        assert trips(lambda: store._renew([(turn.key, turn.record.turn_id) for turn in turns])) == 1


def test_many_turns_under_way_take_few_connections(make_store_address: Callable[[str], Any]) -> None:
    with Valkey() as server, open_redis(f"{server.url()}?max_connections=4", prefix="g") as store:
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


def test_when_no_connection_comes_free_the_store_is_unavailable(
    store: RedisSessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.sessions.redis.link.CONNECTION_WAIT_SECONDS", 0.05)
    with ExitStack() as stack:
        for _ in range(16):
            stack.enter_context(store._link._connection())
        with pytest.raises(StoreUnavailableError):
            store.get(SessionKey("", "s"))
    assert store.get(SessionKey("", "s")) is None


@pytest.fixture(scope="module")
def crowded() -> Iterator[tuple[Valkey, RedisSessionManager]]:
    """100,000 sessions: the oldest half is called old_, fifty in between are rare_, and 100 each have the same use."""
    with Valkey() as server, open_redis(server.url(), prefix="g") as store:
        start = store.now() - SESSIONS
        for first in range(0, SESSIONS, 1000):
            commands: list[Any] = []
            for number in range(first, first + 1000):
                rare = number % (SESSIONS // RARE) == 0
                name = f"{'rare' if rare else 'old' if number < SESSIONS // 2 else 'new'}_{number}"
                used = start + number // 100
                session = Session(
                    "",
                    name,
                    "conv",
                    used,
                    used,
                    None,
                    Status.COMPLETED if rare else Status.ACTIVE,
                    f"user{number % 1000}",
                )
                commands.append(store._indices.enter(session))
                commands.append(("HSET", store._keys.session(session.key), *encode_session(session)))
            store._link.batch(commands)
        server.ask("ZADD", store._keys.tenants, "1", "")
        yield server, store


@pytest.mark.parametrize(
    ("filtered", "matches", "most_trips", "most_commands"),
    [
        ({}, SESSIONS, 2, 60),
        ({"tenant": ""}, SESSIONS, 2, 60),
        ({"user_id": "user7"}, 100, 2, 60),
        ({"user_id": "user7", "status": Status.ACTIVE, "prefix": "old"}, 50, 3, 60),
        ({"status": Status.COMPLETED}, RARE, 2, 60),
        ({"prefix": "rare_"}, RARE, 2, 120),
        ({"prefix": "rare_", "status": Status.COMPLETED}, RARE, 2, 120),
        ({"prefix": "new_"}, SESSIONS // 2, 3, 60),
        ({"prefix": "nobody"}, 0, 1, 60),
        # The worst there is: every other session is called so, and they are the oldest.
        ({"prefix": "old_"}, SESSIONS // 2, SESSIONS // 2 // LOOK + 4, 400),
    ],
)
def test_a_page_of_a_hundred_thousand_is_found_without_looking_at_all(
    crowded: tuple[Valkey, RedisSessionManager],
    trips: Count,
    filtered: dict[str, Any],
    matches: int,
    most_trips: int,
    most_commands: int,
) -> None:
    server, store = crowded
    wanted = Filter(**filtered)
    pages: list[Page] = []
    if wanted.tenant is None:
        most_trips += 1  # who the tenants are

    def commands() -> int:
        stats = server.ask("INFO", "commandstats")
        return sum(int(stat["calls"]) for stat in stats.values())

    before = commands()
    assert trips(lambda: pages.append(store.list(wanted))) <= most_trips
    assert commands() - before <= most_commands
    while (after := pages[-1].next) is not None and len(pages) < 4:
        # Further pages cost no more, although a hundred have the same use.
        assert trips(lambda after=after: pages.append(store.list(wanted, after=after))) <= most_trips
    found = [session for page in pages for session in page.sessions]
    assert len({session.key for session in found}) == len(found) == min(80, matches)
    used = [session.last_used for session in found]
    assert used == sorted(used, reverse=True)


def test_a_deep_page_costs_what_the_first_does(crowded: tuple[Valkey, RedisSessionManager], trips: Count) -> None:
    _, store = crowded
    middle = store._get(SessionKey("", f"old_{SESSIONS // 2 - 1}"))
    assert middle is not None
    page = store.list(Filter(used_before=middle.last_used))
    assert trips(lambda: store.list(Filter(tenant="", used_before=middle.last_used), after=page.next)) == 2
    # The one that the cursor stands on is used meanwhile: the next page still begins behind its place.
    last = page.sessions[-1]
    before = store.list(Filter(tenant=""), after=page.next).sessions
    with store.turn(last.key) as turn:
        turn.begin()
        turn.finish(TurnState.COMPLETED)
    assert store.list(Filter(tenant=""), after=page.next).sessions == before
    assert store.list(Filter(), limit=1).sessions[0].session_id == last.session_id


def test_a_tail_of_sessions_that_redis_dropped_ends_a_page_early_and_is_cleared(trips: Count) -> None:
    with Valkey() as server, open_redis(server.url(), prefix="g") as store:
        for number in range(3000):
            session = Session("", f"s{number}", "conv", number, number)
            store._link.batch([store._indices.enter(session)])
        with store.turn(SessionKey("", "alive")) as turn:
            turn.bind("conv")
        page = store.list(Filter(), limit=100)
        assert [session.session_id for session in page.sessions] == ["alive"]
        assert page.next is not None
        assert 1900 < server.ask("ZCARD", store._keys.index("", "used")) < 2002
        seen = 1
        while page.next is not None:
            page = store.list(Filter(), limit=100, after=page.next)
            seen += len(page.sessions)
        assert seen == 1
        assert server.ask("ZCARD", store._keys.index("", "used")) == 1
