"""A stream says something while it waits: for its turn, or for a provider that thinks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from gateway.providers.openai import OpenAIProvider
from gateway.sessions import open_sessions
from gateway.web.sse import KEEP_ALIVE
from tests.harness.app import House, key
from tests.harness.stub_provider import StubProvider, stub_provider, words


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.web.sse.KEEP_ALIVE_SECONDS", 0.05)


@pytest.fixture
def stub() -> Iterator[StubProvider]:
    with stub_provider() as stub:
        yield stub


@pytest.fixture
def house(stub: StubProvider) -> Iterator[House]:
    house = House(open_sessions("memory:"), OpenAIProvider(api_key="sk-test", base_url=stub.url))
    yield house
    house.close()


def stream(house: House, **fields: Any) -> Iterator[bytes]:
    body = {"model": "m", "input": "Hi", "stream": True, **fields}
    answer = house.client.post("/v1/responses", json=body, buffered=False)
    assert (answer.status_code, answer.mimetype) == (200, "text/event-stream")
    return answer.iter_encoded()


def rest(chunks: Iterator[bytes]) -> list[bytes]:
    """What is said from now on, without the words that only keep the connection alive."""
    return [frame for frame in b"".join(chunks).split(b"\n\n") if frame and frame + b"\n\n" != KEEP_ALIVE]


@pytest.mark.parametrize("where", [{}, {"conversation": "ann"}], ids=["alone", "in a session"])
def test_while_the_provider_thinks(house: House, stub: StubProvider, where: dict[str, str]) -> None:
    go_on = threading.Event()

    def thoughtfully() -> Iterator[bytes]:
        assert go_on.wait(30)
        yield from words("Hello", " you")

    stub.answers("200 OK", thoughtfully, content_type="text/event-stream")
    chunks = stream(house, **where)
    assert [next(chunks), next(chunks)] == [KEEP_ALIVE, KEEP_ALIVE]
    go_on.set()
    kinds = [frame.splitlines()[0].removeprefix(b"event: ") for frame in rest(chunks)]
    assert kinds == [b"response.created", *[b"response.output_text.delta"] * 2, b"response.completed"]


@pytest.mark.parametrize("where", [{}, {"conversation": "ann"}], ids=["alone", "in a session"])
def test_a_refusal_that_comes_late_is_an_event(house: House, stub: StubProvider, where: dict[str, str]) -> None:
    go_on = threading.Event()

    def refuse() -> Iterator[bytes]:
        assert go_on.wait(30)
        yield orjson.dumps({"error": {"message": "No.", "type": "invalid_request_error", "param": "input"}})

    stub.answers("400 Bad Request", refuse)
    chunks = stream(house, **where)
    assert next(chunks) == KEEP_ALIVE
    go_on.set()
    (frame,) = rest(chunks)
    name, data = frame.splitlines()
    told = orjson.loads(data.removeprefix(b"data: "))
    assert (name, told["type"], told["code"]) == (b"event: error", "error", "provider_rejected")
    assert (told["message"], told["param"]) == ("No.", "input")
    assert told["request_id"]


def test_while_it_waits_for_its_turn(house: House, stub: StubProvider) -> None:
    with house.sessions.turn(key("ann")):
        chunks = stream(house, conversation="ann")
        assert [next(chunks), next(chunks)] == [KEEP_ALIVE, KEEP_ALIVE]
        assert not stub.asked
    assert rest(chunks)[-1].startswith(b"event: response.completed")


def test_what_is_refused_at_once_is_a_plain_error(house: House, stub: StubProvider) -> None:
    with house.sessions.turn(key("ann")):
        body = {"model": "m", "input": "Hi", "stream": True, "conversation": "ann"}
        answer = house.ask("POST", "/v1/responses", body, X_On_Busy="reject")
    assert (answer.status_code, answer.mimetype) == (409, "application/json")
