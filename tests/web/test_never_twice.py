"""What may have happened is never done again: whatever the provider's side says, and whatever else goes wrong after it
was asked."""

from __future__ import annotations

import gc
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import orjson
import pytest
from werkzeug.test import TestResponse

from gateway.errors import ProviderRateLimitedError, StoreUnavailableError
from gateway.providers.openai import OpenAIProvider
from gateway.sessions import open_sessions
from gateway.workflows.base import WorkflowTurn
from gateway.workflows.function import FunctionWorkflow
from tests.harness.app import House
from tests.harness.stub_provider import CREATED, RESPONSE_ID, StubProvider, frame, response, stub_provider, words
from tests.harness.support import eventually
from tests.harness.upstream_http import serving
from tests.web.conftest import OpenHouse

JSON = dict[str, Any]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def stub() -> Iterator[StubProvider]:
    with stub_provider() as stub:
        yield stub


@pytest.fixture(scope="module")
def gateway(stub: StubProvider) -> Iterator[House]:
    """One for all tests: each has a session of its own."""
    yield from before(stub)


@pytest.fixture
def provider(stub: StubProvider) -> StubProvider:
    stub.asked.clear()
    return stub


@pytest.fixture
def alice() -> str:
    """A session that no other test uses; serves as an idempotency key too."""
    return f"alice-{next(_numbers)}"


def before(provider: StubProvider, **options: Any) -> Iterator[House]:
    """A gateway before this provider."""
    hosted = OpenAIProvider(api_key="sk-test", base_url=provider.url, **{"timeout_seconds": 10, **options})
    house = House(open_sessions("memory:"), hosted)
    yield house
    house.close()


Ask = Callable[..., TestResponse]


def workflow(house: House, alice: str, *, streamed: bool = False, **headers: str) -> TestResponse:
    return house.ask("POST", "/workflow", {"input_as_text": "Hi", "session_id": alice, "stream": streamed}, **headers)


def in_session(house: House, alice: str, *, streamed: bool = False, **headers: str) -> TestResponse:
    body = {"model": "m", "input": "Hi", "conversation": alice, "stream": streamed}
    return house.ask("POST", "/v1/responses", body, **headers)


def alone(house: House, alice: str, *, streamed: bool = False, **headers: str) -> TestResponse:
    return house.ask("POST", "/v1/responses", {"model": "m", "input": "Hi", "stream": streamed}, **headers)


TURNS = pytest.mark.parametrize("ask", [workflow, in_session])
STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["json", "streamed"])


def error_of(answer: TestResponse) -> JSON:
    """The error that the answer is, or that its stream ends with."""
    if answer.mimetype == "text/event-stream":
        last = answer.data.strip().split(b"\n\n")[-1].splitlines()
        assert last[0] == b"event: error", answer.data
        told: JSON = orjson.loads(last[-1].removeprefix(b"data: "))
        return told.get("error", told)
    assert answer.status_code >= 400, answer.data
    found: JSON = answer.get_json()["error"]
    return found


# --- What cannot be read -------------------------------------------------------------------------------------

JUNK = {
    "a beginning without a response": frame("response.created"),
    "a beginning without an id": frame("response.created", response={"object": "response"}),
    "JSON that is cut": b'data: {"type":"response.output_text.del\n\n',
    "an end that is cut": CREATED + b'event: response.completed\ndata: {"type":"response.compl\n\n',
    "a name that is no text": b"event: resp\xffonse\ndata: {}\n\n",
    "no object": b"data: 5\n\n",
    "nothing where the response should be": CREATED + frame("response.completed", response=None),
    "an output that is none": CREATED + frame("response.completed", response=response() | {"output": [5]}),
    "content that is none": CREATED
    + frame("response.completed", response=response() | {"output": [{"type": "message", "content": 5}]}),
    "an end before its time": CREATED,
    "nothing": b"",
    "a failure that is cut": b'event: response.failed\ndata: {"type":"response.fai\n\n',
    "a failure without a response": frame("response.failed", response=[]),
}


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What nobody closes stays open."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("ask", [workflow, in_session, alone])
@STREAMED
def test_who_says_what_cannot_be_read_is_hung_up_on_at_once(
    gateway: House, provider: StubProvider, alice: str, ask: Ask, streamed: bool
) -> None:
    hung_up = threading.Event()

    def babble() -> Iterator[bytes]:
        try:
            yield frame("response.created")
            while True:
                yield b": still there\n\n"
        finally:
            hung_up.set()

    provider.answers("200 OK", babble, content_type="text/event-stream")
    assert error_of(ask(gateway, alice, streamed=streamed))["code"] == "provider_error"
    assert hung_up.wait(10)


@pytest.mark.parametrize("said", JUNK.values(), ids=JUNK)
@TURNS
@STREAMED
def test_what_cannot_be_read_leaves_the_turn_in_doubt(
    gateway: House, provider: StubProvider, alice: str, ask: Ask, streamed: bool, said: bytes
) -> None:
    provider.says(said)
    key = {"Idempotency_Key": alice}

    first = error_of(ask(gateway, alice, streamed=streamed, **key))
    assert first["code"] == "provider_error"

    again = ask(gateway, alice, streamed=streamed, **key)
    assert (again.status_code, error_of(again)["code"]) == (409, "turn_lost")
    assert again.headers["x-should-retry"] == "false"
    assert len(provider.asked) == 1


@pytest.mark.parametrize("said", [*JUNK.values(), CREATED + frame("response.output_text.delta", delta=5)])
@pytest.mark.parametrize("ask", [workflow, in_session, alone])
@STREAMED
def test_no_answer_of_the_providers_is_a_defect_of_ours(
    gateway: House, provider: StubProvider, alice: str, ask: Ask, streamed: bool, said: bytes
) -> None:
    provider.says(said)
    answer = ask(gateway, alice, streamed=streamed)
    assert error_of(answer)["code"] != "internal_error"
    if answer.mimetype != "text/event-stream":
        assert (answer.status_code, answer.headers["x-should-retry"]) == (502, "false")
    assert len(provider.asked) == 1


def test_usage_that_is_none_is_told_as_none(gateway: House, provider: StubProvider, alice: str) -> None:
    for usage in ({"input_tokens": "many"}, "much", [1]):
        provider.says(frame("response.completed", response=response("Hello") | {"usage": usage}))
        reply = workflow(gateway, alice).get_json()
        assert reply["output_text"] == "Hello"
        assert reply["usage"] in (None, {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0})


@STREAMED
def test_whatever_goes_wrong_after_the_question_leaves_the_turn_in_doubt(
    open_house: OpenHouse, alice: str, streamed: bool
) -> None:
    house = open_house("memory")
    for method in ("create_response", "stream_response"):
        house.provider.fail(method, RuntimeError("nobody thought of this"))
    key = {"Idempotency_Key": alice}
    assert error_of(workflow(house, alice, streamed=streamed, **key))["code"] == "provider_error"
    house.provider.heal()
    assert error_of(workflow(house, alice, streamed=streamed, **key))["code"] == "turn_lost"


# --- After an answer -----------------------------------------------------------------------------------------


def remembers(turn: WorkflowTurn) -> str:
    turn.data["answered"] = True
    return turn.respond().output_text


def asks_again(turn: WorkflowTurn) -> str:
    return turn.respond().output_text + turn.respond().output_text


def store_is_away(house: House) -> None:
    def away(*args: object) -> None:
        raise StoreUnavailableError(retry_after=1)

    house.sessions.store.sessions.swap = away


def provider_has_enough(house: House) -> None:
    house.provider.fail("create_response", ProviderRateLimitedError(retry_after=1), first=1)


@pytest.mark.parametrize(
    ("function", "fails", "status"),
    [(remembers, store_is_away, 503), (asks_again, provider_has_enough, 429)],
    ids=["its data cannot be saved", "its second question is refused"],
)
def test_a_turn_that_was_answered_is_not_to_be_sent_again(
    open_house: OpenHouse, alice: str, function: Any, fails: Callable[[House], None], status: int
) -> None:
    house = open_house("memory")
    house.app.gateway.workflows["answered"] = FunctionWorkflow(function)
    fails(house)
    said = {"input_as_text": "Hi", "session_id": alice, "on_busy": "reject"}
    answer = house.ask("POST", "/workflow/answered", said)
    assert (answer.status_code, answer.headers["x-should-retry"]) == (status, "false")


# --- Who refused ---------------------------------------------------------------------------------------------

LOST_BY_A_PROXY = b"upstream connect error or disconnect/reset before headers. reset reason: connection termination"


@pytest.mark.parametrize("status", ["503 Service Unavailable", "429 Too Many Requests"])
@pytest.mark.parametrize(
    "body", [LOST_BY_A_PROXY, b"<html>", b"", b'{"message":"Service Unavailable"}', b'{"error":"busy"}']
)
@pytest.mark.parametrize("ask", [workflow, in_session, alone])
@STREAMED
def test_what_a_proxy_says_may_come_after_the_request_was_passed_on(
    gateway: House, provider: StubProvider, alice: str, ask: Ask, streamed: bool, status: str, body: bytes
) -> None:
    provider.answers(status, body, content_type="text/plain", Retry_After="0")
    answer = ask(gateway, alice, streamed=streamed)
    assert error_of(answer)["code"] in ("provider_unavailable", "provider_rate_limited")
    assert answer.headers.get("x-should-retry", "false") == "false"
    assert len(provider.asked) == 1


@TURNS
def test_a_key_whose_request_a_proxy_lost_is_not_used_again(
    gateway: House, provider: StubProvider, alice: str, ask: Ask
) -> None:
    provider.answers("503 Service Unavailable", LOST_BY_A_PROXY, content_type="text/plain")
    assert ask(gateway, alice, Idempotency_Key=alice).status_code == 503
    provider.says(*words("Hello"))
    assert error_of(ask(gateway, alice, Idempotency_Key=alice))["code"] == "turn_lost"
    assert len(provider.asked) == 1


@pytest.mark.parametrize("status", ["503 Service Unavailable", "429 Too Many Requests"])
@pytest.mark.parametrize("ask", [workflow, in_session])
@STREAMED
def test_what_the_provider_itself_refused_is_asked_for_again(
    gateway: House, provider: StubProvider, alice: str, ask: Ask, streamed: bool, status: str
) -> None:
    error = orjson.dumps({"error": {"message": "Overloaded.", "type": "server_error", "param": None, "code": None}})

    def refuse_once() -> Iterator[bytes]:
        provider.says(*words("Hello"))
        yield error

    provider.answers(status, refuse_once, Retry_After="0.1")
    assert b"Hello" in ask(gateway, alice, streamed=streamed).data
    assert len(provider.asked) == 2


@pytest.mark.parametrize(("status", "times"), [("303 See Other", 1), ("302 Found", 1), ("307 Moved", 2)])
def test_only_a_redirect_that_means_it_sends_a_question_again(
    gateway: House, provider: StubProvider, alice: str, status: str, times: int
) -> None:
    def lead_on() -> Iterator[bytes]:
        provider.says(*words("Hello"))
        yield b""

    provider.answers(status, lead_on, Location="/v1/responses")
    answer = workflow(gateway, alice, Idempotency_Key=alice)
    assert answer.status_code == (200 if times == 2 else 502)
    workflow(gateway, alice, Idempotency_Key=alice)
    assert len(provider.asked) == times


def test_a_server_that_gave_up_waiting_is_not_the_clients_mistake(
    gateway: House, provider: StubProvider, alice: str
) -> None:
    provider.answers("408 Request Timeout", b"")
    answer = workflow(gateway, alice)
    assert (answer.status_code, answer.headers["x-should-retry"]) == (504, "false")


@pytest.mark.parametrize("delay", ["inf", "nan", "1e400", "-inf"])
def test_a_delay_that_is_no_number_of_seconds_hurts_nobody(
    gateway: House, provider: StubProvider, alice: str, delay: str
) -> None:
    error = orjson.dumps({"error": {"message": "Slow down.", "type": "tokens", "code": "rate_limit_exceeded"}})
    provider.answers("429 Too Many Requests", error, Retry_After=delay)
    body = {"input_as_text": "Hi", "session_id": alice, "on_busy": "reject"}
    answer = gateway.ask("POST", "/workflow", body)
    assert (answer.status_code, error_of(answer)["code"]) == (429, "provider_rate_limited")
    assert int(answer.headers["Retry-After"]) >= 1


def test_a_gateway_before_a_gateway_hears_of_the_doubt(gateway: House, provider: StubProvider, alice: str) -> None:
    """The one behind tells in a stream what it does not know."""
    provider.says(CREATED)
    with serving(gateway.app.wsgi_app) as address, contextmanager(before)(StubProvider(f"{address}/v1")) as upper:
        for code in ("provider_error", "turn_lost"):
            assert error_of(workflow(upper, alice, streamed=True, Idempotency_Key=alice))["code"] == code
    assert len(provider.asked) == 1


# --- Silence -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_turn_is_not_cut_off_while_its_provider_is_at_work(provider: StubProvider, alice: str) -> None:
    """It takes twice as long as the provider may be silent."""
    paced = threading.Event()

    def slowly() -> Iterator[bytes]:
        for chunk in words(*("word " for _ in range(8))):
            yield chunk
            paced.wait(0.2)

    provider.answers("200 OK", slowly, content_type="text/event-stream")
    with contextmanager(before)(provider, timeout_seconds=1) as impatient, ThreadPoolExecutor() as pool:
        for answer in pool.map(lambda ask: ask(impatient, alice), (workflow, in_session, alone)):
            assert answer.status_code == 200, answer.text
            assert "word " * 8 in answer.text


@TURNS
def test_an_answer_that_takes_its_time_leaves_its_id_by_which_a_crash_is_settled(
    gateway: House, provider: StubProvider, alice: str, ask: Ask
) -> None:
    seen = threading.Event()

    def pausing() -> Iterator[bytes]:
        first, *rest = words("Hello")
        yield first
        seen.wait(30)
        yield from rest

    provider.answers("200 OK", pausing, content_type="text/event-stream")
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(ask, gateway, alice)
        eventually(lambda: [turn["response_id"] for turn in turns_of(gateway, alice)] == [RESPONSE_ID])
        seen.set()
        assert answer.result().status_code == 200


def turns_of(house: House, session_id: str) -> list[JSON]:
    found: list[JSON] = house.ask("GET", f"/sessions/{session_id}/turns").get_json().get("data", [])
    return found
