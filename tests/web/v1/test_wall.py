"""The wall between sessions: an id of another's reads, byte for byte, as one that is not there."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from gateway.providers.base import StreamEvent
from gateway.web.v1.names import Names
from tests.harness.app import JSON, House, user

MISSING = "msg_" + 50 * "0"
MISSING_RESPONSE = "resp_" + 50 * "0"


@pytest.fixture(params=["local", "hosted"])
def house(request: pytest.FixtureRequest, open_house: Callable[..., House]) -> House:
    """A gateway before either provider, with the sessions of two people."""
    house = open_house("memory", request.param)
    for name in ("ann", "bob"):
        respond(house, conversation=name, input=f"I am {name}")
    return house


def respond(house: House, **body: object) -> JSON:
    return house.post("/v1/responses", {"model": "demo", **body})


def items(house: House, session_id: str) -> list[JSON]:
    found: list[JSON] = house.get(f"/v1/conversations/{session_id}/items")["data"]
    return found


def refusals(house: House, method: str, path: str, body: Any, foreign: str, missing: str) -> tuple[str, str]:
    """What is answered with either id in the place of ID; both must be 404."""
    told = []
    for given in (foreign, missing):
        asked = _with(body, given) if body is not None else None
        answer = house.ask(method, path.replace("ID", given), asked)
        assert answer.status_code == 404, answer.text
        headers = sorted((k, v) for k, v in answer.headers if k not in ("X-Request-Id", "Content-Length"))
        told.append(re.sub(r"req_\w+", "", answer.text).replace(given, "") + repr(headers))
    return told[0], told[1]


def _with(body: Any, given: str) -> Any:
    if isinstance(body, dict):
        return {name: _with(value, given) for name, value in body.items()}
    if isinstance(body, list):
        return [_with(value, given) for value in body]
    return given if body == "ID" else body


TALK = {"type": "message", "role": "user", "content": "hello"}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/responses", {"conversation": "ann", "input": [{**TALK, "id": "ID"}]}),
        ("POST", "/v1/responses", {"conversation": "ann", "input": [{"type": "item_reference", "id": "ID"}]}),
        ("POST", "/v1/responses", {"conversation": "ann", "input": [{"id": "ID"}]}),
        ("POST", "/v1/responses", {"conversation": "new", "input": [{"type": "item_reference", "id": "ID"}]}),
        ("POST", "/v1/responses", {"conversation": "ann", "stream": True, "input": [{**TALK, "id": "ID"}]}),
        ("POST", "/v1/conversations", {"items": [{**TALK, "id": "ID"}]}),
        ("POST", "/v1/conversations", {"items": [{"type": "item_reference", "id": "ID"}]}),
        ("POST", "/v1/conversations/ann/items", {"items": [{**TALK, "id": "ID"}]}),
        ("POST", "/v1/conversations/new/items", {"items": [{"type": "item_reference", "id": "ID"}]}),
        ("GET", "/v1/conversations/ann/items/ID", None),
        ("DELETE", "/v1/conversations/ann/items/ID", None),
        ("GET", "/v1/conversations/ann/items?after=ID", None),
        ("GET", "/v1/conversations/new/items?after=ID", None),
    ],
)
def test_an_item_of_another_session_is_not_there(house: House, method: str, path: str, body: Any) -> None:
    foreign = items(house, "bob")[0]["id"]
    before = items(house, "ann")
    one, other = refusals(house, method, path, body, foreign, MISSING)
    assert one == other
    assert items(house, "ann") == before
    assert house.ask("GET", "/v1/conversations/new").status_code == 404
    assert len(items(house, "bob")) == 2


@pytest.mark.parametrize("count", [1, 8])
def test_among_many_items_one_of_another_session_is_found(house: House, count: int) -> None:
    posted = house.post("/v1/conversations/ann/items", {"items": [user(f"say {n}") for n in range(count)]})["data"]
    foreign = items(house, "bob")[0]["id"]
    references = [{"type": "item_reference", "id": item["id"]} for item in posted]
    body = {"model": "demo", "conversation": "ann", "input": [*references, {"type": "item_reference", "id": foreign}]}
    assert house.ask("POST", "/v1/responses", body).status_code == 404
    # What is in the conversation may be named; whether it makes sense is for the provider to say.
    assert house.ask("POST", "/v1/responses", body | {"input": references}).status_code in (200, 400)


def test_outside_of_a_session_an_item_can_be_named_that_the_caller_was_given(house: House) -> None:
    # One that the provider has, and that did not go through this gateway.
    foreign = house.provider.behind.create_response({"model": "demo", "input": "secret"})["output"][0]["id"]
    for body in (
        {"input": [{"type": "item_reference", "id": "ID"}]},
        {"input": [{"id": "ID"}], "previous_response_id": None},
        {"input": [{**TALK, "id": "ID"}], "stream": True},
    ):
        one, other = refusals(house, "POST", "/v1/responses", body, foreign, MISSING)
        assert one == other
    given = [
        *respond(house, input="alone")["output"],
        *respond(house, conversation="ann", input="more")["output"],
        *items(house, "bob"),
        *house.post("/v1/conversations/ann/items", {"items": [TALK]})["data"],
    ]
    assert "hello" in str(respond(house, input=[*given, user("What was said?")]))


def test_a_response_of_nobodys_is_not_there(house: House) -> None:
    conversation_id = house.get("/sessions/bob")["conversation_id"]
    # One that the provider has, and that did not go through this gateway.
    foreign = house.provider.behind.create_response({"model": "demo", "input": "secret"})["id"]
    assert conversation_id.startswith("conv_")
    for method, path, body in (
        ("GET", "/v1/responses/ID", None),
        ("DELETE", "/v1/responses/ID", None),
        ("POST", "/v1/responses", {"input": "What did they say?", "previous_response_id": "ID"}),
        ("POST", "/v1/responses", {"input": "What?", "previous_response_id": "ID", "stream": True}),
    ):
        one, other = refusals(house, method, path, body, foreign, MISSING_RESPONSE)
        assert one == other
    assert house.provider.behind.retrieve_response(foreign)["id"] == foreign


def test_what_was_deleted_reads_as_what_never_was(house: House) -> None:
    for made in (respond(house, input="alone"), respond(house, conversation="ann", input="more")):
        house.delete(f"/v1/responses/{made['id']}")
        for method in ("GET", "DELETE"):
            one, other = refusals(house, method, "/v1/responses/ID", None, made["id"], MISSING_RESPONSE)
            assert one == other


def test_a_response_of_an_erased_session_is_nobodys(house: House) -> None:
    made = respond(house, conversation="ann", input="more")
    assert house.get(f"/v1/responses/{made['id']}")["conversation"] == {"id": "ann"}
    house.delete("/v1/conversations/ann")
    house.error(404, "GET", f"/v1/responses/{made['id']}")


def test_a_response_keeps_the_name_that_its_session_has_now(house: House) -> None:
    made = respond(house, conversation="ann", input="more")
    house.post("/sessions/ann/reset", {"keep_history": True, "erase_old": False})
    assert house.get(f"/v1/responses/{made['id']}")["conversation"] == {"id": "ann"}
    house.post("/sessions/ann/rename", {"session_id": "anna"})
    assert house.get(f"/v1/responses/{made['id']}")["conversation"] == {"id": "anna"}


def test_responses_of_the_workflow_are_the_callers_own_too(house: House) -> None:
    said = house.say("ann", "through the workflow")
    assert house.get(f"/v1/responses/{said['response_id']}")["conversation"] == {"id": "ann"}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/responses", {"conversation": "ID", "input": "hello"}),
        ("POST", "/v1/responses", {"conversation": {"id": "ID"}, "input": "hello"}),
        ("POST", "/v1/conversations", {"metadata": {"session_id": "ID"}}),
        ("GET", "/v1/conversations/ID", None),
        ("POST", "/v1/conversations/ID", {"metadata": {}}),
        ("DELETE", "/v1/conversations/ID", None),
        ("GET", "/v1/conversations/ID/items", None),
        ("POST", "/v1/conversations/ID/items", {"items": [TALK]}),
        ("GET", "/v1/conversations/ID/items/msg_1", None),
        ("DELETE", "/v1/conversations/ID/items/msg_1", None),
    ],
)
def test_a_conversation_cannot_be_named_by_the_providers_id(house: House, method: str, path: str, body: Any) -> None:
    raw = house.get("/sessions/bob")["conversation_id"]
    error = house.error(400, method, path.replace("ID", raw), _with(body, raw))
    assert error["code"] == "invalid_session_id"


def test_no_answer_holds_the_providers_id(house: House) -> None:
    raw = house.get("/sessions/ann")["conversation_id"]
    body = {"model": "demo", "conversation": "ann", "input": "hello", "stream": True}
    answers = [
        house.ask("POST", "/v1/responses", body),
        house.ask("GET", "/v1/conversations/ann"),
        house.ask("GET", "/v1/conversations/ann/items"),
        house.ask("GET", "/v1/conversations"),
        house.ask("DELETE", f"/v1/conversations/ann/items/{items(house, 'ann')[0]['id']}"),
    ]
    house.provider.behind.delete_conversation(raw)
    answers += [
        house.ask("POST", "/v1/responses", body),
        house.ask("POST", "/v1/conversations/ann/items", {"items": [TALK]}),
        house.ask("GET", "/v1/conversations/ann/items"),
    ]
    assert [answer.status_code for answer in answers] == [200] * 5 + [410] * 3
    assert all(raw not in answer.text for answer in answers)


# --- What is renamed, and what is not ----------------------------------------------------------------------

RAW = "conv_" + 48 * "a"


def test_words_are_never_renamed() -> None:
    names = Names("ann", RAW)
    said = b'{"type":"response.output_text.delta", "delta":"%b \\"conversation\\":"}' % RAW.encode()
    assert names.event(StreamEvent("response.output_text.delta", said)) is said
    item = {"id": "msg_1", "type": "message", "content": [{"type": "output_text", "text": RAW}]}
    response = names.response({"id": "resp_1", "conversation": {"id": RAW, "new": 1}, "output": [item]})
    assert response == {"id": "resp_1", "conversation": {"id": "ann"}, "output": [item]}


def test_names_and_messages_are_renamed_wherever_they_stand() -> None:
    names = Names("ann", RAW)
    told = b'{"type":"response.future","thing":[{"conversation_id":"%b","conversation":{"id":"%b","kept":1.50}}]}'
    event = StreamEvent("response.future", told % (RAW.encode(), RAW.encode()))
    assert StreamEvent("", names.event(event)).json() == {
        "type": "response.future",
        "thing": [{"conversation_id": "ann", "conversation": {"id": "ann", "kept": 1.5}}],
    }
    failed = {"conversation": RAW, "error": {"code": "x", "message": f"{RAW} is broken"}}
    assert names.response(failed) == {"conversation": {"id": "ann"}, "error": {"code": "x", "message": "ann is broken"}}
