"""What spans tenants only hints at where to look: too early costs a look, and too late does not happen."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from gateway.model import Session, SessionKey, TurnState
from gateway.sessions import SessionManager, open_sessions
from gateway.sessions.codec import Codec
from gateway.sessions.redis import RedisStore
from gateway.sessions.redis.hints import SETTLING_MS, Hints
from gateway.sessions.redis.steps import Steps
from gateway.sessions.values import Filter, Lifetime
from gateway.testing.waiting import Clock
from tests.harness.servers import Valkey

KEY = SessionKey("acme", "s")


@pytest.fixture
def store(make_store_address: Callable[[str], Any], clock: Clock) -> Iterator[SessionManager]:
    address = make_store_address("valkey")
    options: dict[str, Any] = {"clock": clock, "lifetime": Lifetime(600.0), "erase_expired": True}
    with open_sessions(address.url, prefix=address.prefix, **options) as store:
        yield store


@pytest.fixture
def redis_store(store: SessionManager) -> RedisStore:
    assert isinstance(store.store, RedisStore)
    return store.store


@pytest.fixture
def hints(redis_store: RedisStore) -> Hints:
    return Hints(Steps(redis_store.client, redis_store.keys, redis_store.terms))


def make(store: SessionManager, key: SessionKey = KEY) -> None:
    with store.turn(key) as turn:
        turn.bind("conv_1")


def use(store: SessionManager) -> None:
    with store.turn(KEY) as turn:
        turn.begin()
        turn.finish(TurnState.COMPLETED)


def test_a_session_that_was_used_since_is_looked_at_again_when_it_expires(
    store: SessionManager, hints: Hints, clock: Clock
) -> None:
    make(store)
    clock.advance(590)
    use(store)
    clock.advance(20)
    assert store.expire() == 0
    assert hints.due(10) == []
    clock.advance(579)
    assert store.expire() == 0
    clock.advance(1)
    assert store.expire() == 1


def test_a_session_that_is_mortal_only_since_its_last_turn_expires(
    make_store_address: Callable[[str], Any], clock: Clock
) -> None:
    address = make_store_address("valkey")
    for idle_seconds in (math.inf, 600.0):
        with open_sessions(
            address.url, prefix=address.prefix, clock=clock, lifetime=Lifetime(idle_seconds=idle_seconds)
        ) as store:
            if math.isinf(idle_seconds):
                make(store)
            else:
                use(store)
                clock.advance(600)
                assert store.expire() == 1


def test_what_is_put_with_an_old_use_is_listed_though_somebody_lists_meanwhile(
    store: SessionManager, redis_store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = redis_store.client.batch

    def in_two(commands: Sequence[Any], **how: Any) -> list[Any]:
        steps = [number for number, command in enumerate(commands) if command[0] == "EVALSHA"]
        before = batch(commands[: steps[0]], **how)
        with monkeypatch.context() as patch:
            patch.setattr(redis_store.client, "batch", batch)
            assert store.list(Filter()).sessions == []
        return before + batch(commands[steps[0] :], **how)

    session = Session(*KEY, "conv_1", created_at=store.now() - 10_000_000, last_used=store.now() - 9_000_000)
    with monkeypatch.context() as patch:
        patch.setattr(redis_store.client, "batch", in_two)
        redis_store.sessions.put([(None, Codec().encode(session))])
    assert store.list(Filter()).sessions == [session]


def test_who_finds_nothing_takes_back_no_hint_that_came_since(
    store: SessionManager, hints: Hints, redis_store: RedisStore, clock: Clock
) -> None:
    make(store)
    with store.turn(KEY) as turn:
        turn.forget()
    redis_store.client.call("ZADD", redis_store.keys.due, 1, "acme/s")  # as of one who broke off there
    ((key, found),) = hints.due(10)
    make(store)  # between the look and what follows from it
    hints.look_again([(key, found, "")])
    hints.forsake([key], store.now() - SETTLING_MS)
    assert [session.key for session in store.list(Filter()).sessions] == [KEY]
    clock.advance(600)
    assert store.expire() == 1


def test_a_hint_at_nothing_is_passed_over_and_taken_back_when_no_step_can_be_under_way(
    store: SessionManager, redis_store: RedisStore, clock: Clock, valkey: Valkey
) -> None:
    make(store, SessionKey("", "other"))
    used = redis_store.keys.used
    redis_store.client.call("ZADD", used, store.now(), "acme/s")
    for seconds, there in ((0, "2"), (61, "1")):
        clock.advance(seconds)
        assert [session.session_id for session in store.list(Filter()).sessions] == ["other"]
        assert str(valkey.ask("ZCARD", used)) == there


def test_erasures_that_are_begun_while_somebody_looks_are_found(
    store: SessionManager, hints: Hints, redis_store: RedisStore, clock: Clock
) -> None:
    make(store)
    redis_store.client.call(*hints.of_erasure("acme"))
    ((tenant, found),) = hints.erasing(10)
    clock.advance(1)
    with store.turn(KEY) as turn:
        turn.bind("conv_2", erase_old=True)
    hints.erase_again([(tenant, found, "")])  # seen before that
    clock.advance(120)
    hints.erase_again([(tenant, found, "")])
    (claimed,) = store.claim_erasures(10, store.now() + 5000)
    assert claimed.conversation_id == "conv_1"
    assert store.claim_erasures(10, store.now() + 5000) == []
    clock.advance(5)
    until = store.now() + 5000
    assert store.claim_erasures(10, until) == [replace(claimed, not_before=until)]


def test_a_tenant_without_erasures_is_looked_at_no_more(store: SessionManager, hints: Hints, clock: Clock) -> None:
    make(store)
    with store.turn(KEY) as turn:
        erasure = turn.begin_erasure()
    store.finish_erasure(erasure)
    assert hints.all_erasing() == ["acme"]
    assert store.claim_erasures(10, store.now() + 5000) == []
    assert hints.all_erasing() == ["acme"]  # a step that was hinted at may still be under way
    clock.advance(61)
    assert store.claim_erasures(10, store.now() + 5000) == []
    assert hints.all_erasing() == []
