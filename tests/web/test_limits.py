"""How much one caller may ask for, and that others do not notice."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing

import pytest
from werkzeug.test import TestResponse

from gateway.errors import QueueFullError, RateLimitedError
from gateway.web.limits import TurnSlots
from tests.conftest import StoreAddress
from tests.web.conftest import OpenHouse
from tests.web.test_access import Caller, add_key


def test_a_rate_is_each_principals_own(open_house: OpenHouse) -> None:
    house = open_house("memory", settings={"auth": "keys", "rate_limit": "3/hour"})
    ann, bob = (Caller(house, add_key(house, name, user_id=name)) for name in ("ann", "bob"))
    for _ in range(3):
        assert ann.ask("GET", "/sessions").status_code == 200
    answer = ann.ask("POST", "/workflow", {"session_id": "s", "input_as_text": "x"})
    error = answer.get_json()["error"]
    assert (answer.status_code, error["code"], error["type"]) == (429, "rate_limited", "rate_limit_error")
    assert 3500 < int(answer.headers["Retry-After"]) <= 3600
    assert answer.headers["x-should-retry"] == "true"
    assert ann.ask("GET", "/healthz").status_code == 200
    assert bob.ids() == []


@pytest.mark.parametrize("store", ["valkey", "redis"])
def test_on_redis_all_processes_count_together(
    store: str, open_house: OpenHouse, make_store_address: Callable[[str], StoreAddress]
) -> None:
    address = make_store_address(store)
    settings = {"auth": "keys", "rate_limit": "3/hour", "store": address.url, "store_prefix": address.prefix}
    one, other = (open_house(store, address=address, settings=settings) for _ in range(2))
    key = add_key(one, "ann")
    callers = [Caller(one, key), Caller(other, key), Caller(one, key), Caller(other, key)]
    assert [caller.ask("GET", "/sessions").status_code for caller in callers] == [200, 200, 200, 429]


def test_a_counter_that_is_away_is_a_store_that_is_away(open_house: OpenHouse) -> None:
    settings = {"rate_limit": "3/hour", "store": "redis://127.0.0.1:1/0"}
    house = open_house("memory", settings=settings)
    assert house.error(503, "GET", "/sessions")["code"] == "store_unavailable"


def test_turns_under_way_have_places() -> None:
    places = TurnSlots(3, 2)
    first, _ = places.take("ann"), places.take("ann")
    with pytest.raises(RateLimitedError) as too_many:
        places.take("ann")
    assert too_many.value.retry_after == 1
    places.take("bob")
    with pytest.raises(QueueFullError):
        places.take("carol")
    first()
    places.take("carol")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/workflow", "/v1/responses"])
def test_a_turn_has_its_place_until_it_ends(open_house: OpenHouse, path: str, stream: bool) -> None:
    """However it ends: a place that was not given back would be missing for ever."""
    house = open_house("memory", settings={"principal_turn_limit": 1})
    begun, go_on = threading.Event(), threading.Event()

    def wait(args: object) -> None:
        begun.set()
        assert go_on.wait(30)

    def ask(session_id: str) -> TestResponse:
        named = {"session_id": session_id} if path == "/workflow" else {"model": "demo", "conversation": session_id}
        return house.ask("POST", path, {"input": "hello", "stream": stream, **named})

    method = "stream_response" if stream else "create_response"
    house.provider.refuse(method, wait)
    first = threading.Thread(target=lambda: ask("s").close())
    first.start()
    assert begun.wait(30)
    refused = ask("t")
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (429, "rate_limited")
    go_on.set()
    first.join()
    assert house.app.readers.drain(30)
    house.provider.heal()
    house.provider.fail(method, times=1)
    ask("t").close()
    assert house.app.readers.drain(30)
    assert ask("t").status_code == 200


@pytest.mark.parametrize("path", ["/workflow", "/v1/responses"])
def test_a_thread_that_cannot_be_started_costs_no_place(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    house = open_house("memory", settings={"principal_turn_limit": 1})
    body = {"model": "demo", "input": "hello"} if path == "/v1/responses" else {"input": "hello"}

    def no_thread(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr("_thread.start_new_thread", no_thread)
        for _ in range(3):
            with closing(house.ask("POST", path, {**body, "stream": True})) as answer:
                assert (answer.status_code, answer.get_json()["error"]["code"]) == (409, "queue_full")
    assert house.ask("POST", path, body).status_code == 200
    assert house.app.readers.drain(0)
