"""What belongs to the operator: the settings of its workflows, its account at the provider, its key there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from gateway.providers.openai import OpenAIProvider
from gateway.sessions import open_sessions
from tests.harness.app import House
from tests.harness.stub_provider import StubProvider, frame, response, stub_provider
from tests.harness.upstream import UpstreamProcess
from tests.web.conftest import OpenHouse
from tests.web.test_access import Caller, add_key

JSON = dict[str, Any]
SECRETS = {
    "instructions": "TOP SECRET PROMPT",
    "tools": [{"type": "function", "name": "secret_tool", "parameters": {"type": "object", "properties": {}}}],
}


@pytest.mark.parametrize("provider", ["local", "hosted"])
def test_what_a_workflow_asked_with_is_not_read_back(open_house: OpenHouse, provider: str) -> None:
    house = open_house("memory", provider, settings=SECRETS)
    said = house.say("ann", "Hello")
    answer = house.ask("GET", f"/v1/responses/{said['response_id']}")
    found = answer.get_json()
    assert "secret" not in answer.text.lower()
    assert not {"instructions", "tools", "tool_choice", "prompt", "metadata", "text"} & found.keys()
    assert (found["id"], found["status"], found["conversation"]) == (said["response_id"], "completed", {"id": "ann"})
    assert found["output"][0]["content"][0]["text"] == said["output_text"]
    assert found["usage"]["total_tokens"] == said["usage"]["total_tokens"]


@pytest.mark.parametrize("where", [{}, {"conversation": "ann"}])
def test_what_a_caller_sent_itself_it_reads_back(open_house: OpenHouse, where: JSON) -> None:
    house = open_house("memory")
    body = {"model": "demo", "input": "Hello", "instructions": "Be brief.", "metadata": {"topic": "tea"}, **where}
    made = house.post("/v1/responses", body)
    found = house.get(f"/v1/responses/{made['id']}")
    assert (found["instructions"], found["metadata"]) == ("Be brief.", {"topic": "tea"})


# --- Ids of the whole account --------------------------------------------------------------------------------

INTERPRETER = {"type": "code_interpreter"}
ACCOUNT_WIDE: list[tuple[str, JSON]] = [
    ("Prompt", {"prompt": {"id": "ID", "version": "1"}}),
    ("File", {"prompt": {"variables": {"a": {"type": "input_file", "file_id": "ID"}}}}),
    ("Vector store", {"tools": [{"type": "file_search", "vector_store_ids": ["ID"]}]}),
    ("Container", {"tools": [{**INTERPRETER, "container": "ID"}]}),
    ("File", {"tools": [{**INTERPRETER, "container": {"type": "auto", "file_ids": ["ID"]}}]}),
    ("Container", {"tools": [{"type": "shell", "environment": {"type": "container_reference", "container_id": "ID"}}]}),
    ("Skill", {"tools": [{"type": "shell", "environment": {"skills": [{"type": "reference", "skill_id": "ID"}]}}]}),
    ("File", {"tools": [{"type": "image_generation", "input_image_mask": {"file_id": "ID"}}]}),
    ("File", {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "ID"}]}]}),
    ("File", {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "ID"}]}]}),
    (
        "File",
        {"input": [{"type": "computer_call_output", "call_id": "c", "output": {"type": "x", "file_id": "ID"}}]},
    ),
    ("Container", {"input": [{"type": "code_interpreter_call", "container_id": "ID", "code": "1"}]}),
    ("Item", {"input": [{"type": "mcp_approval_response", "approval_request_id": "ID", "approve": True}]}),
]
PLACES = pytest.mark.parametrize(("kind", "fields"), ACCOUNT_WIDE)
"""What waits for an approval is an item, and that of one session whoever shares the account."""


def naming(fields: JSON, given: str) -> JSON:
    named: JSON = orjson.loads(orjson.dumps(fields).replace(b'"ID"', orjson.dumps(given)))
    return named


def asked(service: UpstreamProcess) -> list[JSON]:
    return [seen["body"] for seen in service.seen()["requests"] if seen["path"] == "/v1/responses"]


@PLACES
@pytest.mark.parametrize("where", [{}, {"conversation": "s"}], ids=["alone", "in a session"])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_thing_of_the_accounts_is_not_there(
    open_house: OpenHouse, service: UpstreamProcess, kind: str, fields: JSON, where: JSON, streamed: bool
) -> None:
    house = open_house("memory", "hosted", settings={"auth": "keys"})
    acme = Caller(house, add_key(house, "acme"))
    acme.post("/v1/responses", {"model": "demo", "input": "Hello", "conversation": "s"})
    before = len(asked(service))
    body = {"model": "demo", "input": "Hello", "stream": streamed, **naming(fields, "thing_1"), **where}
    answer = acme.ask("POST", "/v1/responses", body)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (404, "not_found")
    assert answer.get_json()["error"]["message"] == f"{kind} with id 'thing_1' not found."
    assert len(asked(service)) == before


@pytest.mark.parametrize("settings", [{}, {"auth": "keys", "v1_shared": "allow"}], ids=["no auth", "shared"])
@pytest.mark.parametrize(("kind", "fields"), [place for place in ACCOUNT_WIDE if place[0] != "Item"])
def test_it_is_where_all_callers_share_the_account(
    open_house: OpenHouse, service: UpstreamProcess, settings: JSON, kind: str, fields: JSON
) -> None:
    house = open_house("memory", "hosted", settings=settings)
    caller = Caller(house, add_key(house, "acme")) if settings else house
    body = {"model": "demo", "input": "Hello", **naming(fields, "thing_1")}
    caller.ask("POST", "/v1/responses", body)
    assert asked(service)[-1] == {**body, "stream": True}


@pytest.mark.parametrize(
    ("path", "name"), [("/workflow", "input"), ("/sessions/s/items", "items"), ("/v1/conversations/s/items", "items")]
)
def test_no_item_names_one_on_any_route(open_house: OpenHouse, path: str, name: str) -> None:
    house = open_house("memory", settings={"auth": "keys"})
    acme = Caller(house, add_key(house, "acme"))
    acme.post("/workflow", {"session_id": "s", "input_as_text": "Hello"})
    session = {"session_id": "s"} if path == "/workflow" else {}
    content = [{"type": "input_file", "file_id": "file-1"}]
    for item in (
        {"role": "user", "content": content},
        {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True},
    ):
        answer = acme.ask("POST", path, {name: [item], **session})
        assert (answer.status_code, answer.get_json()["error"]["code"]) == (404, "not_found"), item
    assert len(acme.get("/sessions/s/items")["data"]) == 2


FREE: list[JSON] = [
    {"metadata": {"file_id": "mine", "container": "tea"}},
    {"tools": [{"type": "function", "name": "f", "parameters": {"properties": {"file_id": {"type": "string"}}}}]},
    {"tools": [{"type": "function", "name": "f", "parameters": {"examples": [{"file_id": "file-1"}]}}]},
    {"tools": [{**INTERPRETER, "container": {"type": "auto"}}]},
    {"text": {"format": {"type": "json_schema", "name": "n", "schema": {"default": {"skill_id": "x"}}}}},
    {"input": "file_id container_id prompt"},
    {"prompt_cache_key": "file_id"},
]


@pytest.mark.parametrize("fields", FREE)
def test_a_callers_own_names_are_free(open_house: OpenHouse, service: UpstreamProcess, fields: JSON) -> None:
    house = open_house("memory", "hosted", settings={"auth": "keys"})
    body = {"model": "demo", "input": "Hello", **fields}
    Caller(house, add_key(house, "acme")).ask("POST", "/v1/responses", body)
    assert asked(service)[-1] == {**body, "stream": True}


@pytest.fixture
def stub() -> Iterator[StubProvider]:
    with stub_provider() as stub:
        yield stub


def test_what_the_provider_gave_a_caller_it_may_name_again(stub: StubProvider) -> None:
    call = {"id": "ci_1", "type": "code_interpreter_call", "container_id": "cntr_1", "code": "1", "status": "completed"}
    stub.says(frame("response.completed", response=response("Done") | {"output": [call]}))
    house = House(open_sessions("memory:"), OpenAIProvider(api_key="sk-test", base_url=stub.url), auth="keys")
    acme, other = Caller(house, add_key(house, "acme")), Caller(house, add_key(house, "other", "other"))
    again = {"model": "m", "input": "Go on", "tools": [{**INTERPRETER, "container": "cntr_1"}]}
    for where in ({}, {"conversation": "s"}):
        assert other.ask("POST", "/v1/responses", {**again, **where}).status_code == 404
        acme.post("/v1/responses", {"model": "m", "input": "Go", **where})
        acme.post("/v1/responses", {**again, **where})
        assert other.ask("POST", "/v1/responses", {**again, **where}).status_code == 404
    house.close()


# --- The key at the provider, and whose it is ----------------------------------------------------------------

KEY = "sk-proj-0123456789abcdefghij"


@pytest.fixture
def house(stub: StubProvider) -> Iterator[House]:
    house = House(open_sessions("memory:"), OpenAIProvider(api_key=KEY, base_url=stub.url))
    yield house
    house.close()


def error(message: str) -> JSON:
    return {"message": message, "type": "invalid_request_error", "param": None, "code": "rate_limit_exceeded"}


WORDS = f"Rate limit reached in organization org-abcDEF123456 for key {KEY}."


def leaks(text: str) -> bool:
    return KEY in text or "org-abcDEF123456" in text


@pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized", "404 Not Found", "422 No", "500 No"])
@pytest.mark.parametrize("streamed", [False, True])
def test_no_error_tells_the_providers_key(
    house: House, stub: StubProvider, caplog: pytest.LogCaptureFixture, status: str, streamed: bool
) -> None:
    stub.answers(status, orjson.dumps({"error": error(WORDS) | {"code": None}}))
    for where in ({}, {"conversation": "ann"}):
        answer = house.ask("POST", "/v1/responses", {"model": "m", "input": "Hello", "stream": streamed, **where})
        assert not leaks(answer.text)
    assert not leaks(house.ask("POST", "/workflow", {"input_as_text": "Hello", "stream": streamed}).text)
    assert not leaks(caplog.text)


@pytest.mark.parametrize(
    "said",
    [
        frame("response.failed", response=response(status="failed") | {"error": error(WORDS)}),
        frame("error", **error(WORDS)),
        frame("response.output_text.delta", delta=f"Your key is {KEY}")
        + frame("response.completed", response=response(f"Your key is {KEY}")),
    ],
    ids=["failed", "error", "words"],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_no_event_tells_it(house: House, stub: StubProvider, said: bytes, streamed: bool) -> None:
    stub.says(said)
    for where in ({}, {"conversation": "ann"}):
        answer = house.ask("POST", "/v1/responses", {"model": "m", "input": "Hello", "stream": streamed, **where})
        assert not leaks(answer.text)
    assert not leaks(house.ask("POST", "/workflow", {"input_as_text": "Hello", "stream": streamed}).text)
