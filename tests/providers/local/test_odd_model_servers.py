"""A model server may say anything: what makes no sense fails its response, and the next turn goes on without it."""

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ProviderError
from gateway.providers.local import LocalProvider
from tests.harness.model_servers import ANSWERS, CALLS, ModelServer, chunk
from tests.harness.spoiling import RUNS, spoilt
from tests.providers.local.conftest import Open, texts, user

JSON = dict[str, Any]
HELLO = [user("Hello")]


def frames(*data: str) -> bytes:
    return "".join(f"data: {one}\n\n" for one in data).encode()


ODD_BODIES = {
    "nothing": b"",
    "an empty line": b"\n\n",
    "HTML": b"<!doctype html><title>Welcome</title>",
    "JSON at once": b'{"choices":[{"message":{"content":"Good day"},"finish_reason":"stop"}]}',
    "a number": frames("5"),
    "a list": frames("[]"),
    "null": frames("null"),
    "a text": frames('"a"'),
    "cut JSON": frames('{"type":"response.output_text.delta","delt'),
    "no UTF-8": b'data: {"type":"response.output_text.delta","delta":"\xff"}\n\n',
    "half a pair": frames('{"type":"response.output_text.delta","delta":"\\ud83d"}'),
    "only its end": frames("[DONE]"),
    "a thousand levels": frames("[" * 2000),
}
ODD_EVENTS: dict[str, list[Any]] = {
    "chat": [
        {"choices": [5]},
        {"choices": 5},
        {"choices": [{"delta": 5}]},
        {"choices": "stop"},
        chunk(content=5),
        chunk(content=["a"]),
        chunk(refusal={"a": 1}),
        chunk(reasoning_content=5),
        chunk(tool_calls=[5]),
        chunk(tool_calls=5),
        chunk(tool_calls=[{"index": "x", "function": {"name": "f"}}, {"index": 1, "function": {"name": "f"}}]),
        chunk(tool_calls=[{"index": 0, "id": "call_a", "function": {"arguments": "{}"}}]),
        chunk(tool_calls=[{"index": 0, "id": "call_a", "function": {"name": 5, "arguments": "{}"}}]),
        chunk(tool_calls=[{"index": 0, "id": 5, "function": {"name": "f", "arguments": "{}"}}]),
        chunk(tool_calls=[{"index": 0, "id": "call_a", "function": {"name": "f", "arguments": {"a": 1}}}]),
        {"model": 5},
        {"usage": "seven"},
        {"usage": {"prompt_tokens": "7"}},
        {"usage": {"prompt_tokens": 1.5}},
        {"usage": {"completion_tokens": -1}},
        {"usage": {"prompt_tokens": 2**64 - 1, "completion_tokens": 2**64 - 1}},
        {"usage": {"prompt_tokens_details": 5}},
        {"error": 5},
        {"error": {"message": {"a": 1}, "code": 5, "param": 5}},
    ],
    "responses": [
        {"type": "response.output_text.delta"},
        {"type": "response.output_text.delta", "delta": 5},
        {"type": "response.refusal.delta", "delta": None},
        {"type": "response.output_text.annotation.added", "annotation": 5},
        {"type": "response.output_item.added"},
        {"type": "response.output_item.added", "item": 5},
        {"type": "response.output_item.added", "item": {"type": "function_call"}},
        {"type": "response.output_item.added", "item": {"type": "function_call", "name": ""}},
        {"type": "response.output_item.added", "item": {"type": "function_call", "name": 5}},
        {"type": "response.output_item.added", "item": {"type": "function_call", "name": "f", "call_id": 5}},
        {"type": "response.function_call_arguments.delta", "delta": "{}"},
        {"type": "response.output_item.done", "item": {"type": 5}},
        {"type": "response.output_item.done", "item": {"type": ["a"]}},
        {"type": "response.output_item.done", "item": {"type": "reasoning"}},
        {"type": "response.output_item.done", "item": {"type": "custom_tool_call", "name": "f", "input": ""}},
        {"type": "response.output_item.done", "item": {"type": "custom_tool_call_output", "call_id": {}}},
        {"type": "response.completed"},
        {"type": "response.completed", "response": 5},
        {"type": "response.completed", "response": {"model": {}}},
        {"type": "response.completed", "response": {"usage": "seven"}},
        {"type": "response.completed", "response": {"usage": {"input_tokens": [7]}}},
        {"type": "response.completed", "response": {"usage": {"input_tokens": 2**64 - 1, "output_tokens": 1}}},
        {"type": "response.incomplete", "response": {"incomplete_details": 5}},
        {"type": "response.incomplete", "response": {"incomplete_details": {"reason": 5}}},
        {"type": "response.failed"},
        {"type": "response.failed", "response": {"error": 5}},
        {"type": "error", "message": 5},
    ],
}


def fails(provider: LocalProvider, model: ModelServer, api: str, answer: Any) -> None:
    """Passes only if this answer is an error of the server, streamed or not, and nothing is left of it."""
    conversation_id = provider.create_conversation(metadata={})["id"]
    model.answer = answer
    asked = {"conversation": conversation_id, "input": HELLO}
    *_, last = [event.json() for event in provider.stream_response(asked)]
    assert (last["type"], last["response"]["error"]["code"]) == ("response.failed", "server_error")
    assert provider.retrieve_response(last["response"]["id"])["status"] == "failed"
    with pytest.raises(ProviderError) as caught:
        provider.create_response(asked)
    assert caught.value.status == 502
    assert texts(provider, conversation_id) == []
    model.answer = ANSWERS[api]
    assert provider.create_response(asked)["status"] == "completed"
    assert texts(provider, conversation_id)[-1] == "Good day"


@pytest.mark.parametrize("how", ODD_BODIES)
def test_a_body_without_an_answer_is_the_servers_error(model: ModelServer, ask: Open, api: str, how: str) -> None:
    fails(ask(api), model, api, ODD_BODIES[how])


@pytest.mark.parametrize(
    ("api", "event"), [(api, event) for api, events in ODD_EVENTS.items() for event in events], ids=str
)
def test_an_event_that_makes_no_sense_is_the_servers_error(
    model: ModelServer, ask: Open, api: str, event: JSON
) -> None:
    *start, end = ANSWERS[api]
    fails(ask(api), model, api, [*start, event, end])


@pytest.mark.slow
@pytest.mark.parametrize("sound", [ANSWERS, CALLS], ids=["words", "calls"])
def test_whatever_a_server_says_the_next_turn_works(
    model: ModelServer, ask: Open, api: str, sound: dict[str, list[Any]]
) -> None:
    provider = ask(api)

    @RUNS
    @given(spoilt(sound[api]), st.booleans())
    def hold(answer: list[Any], breaks_off: bool) -> None:
        conversation_id = provider.create_conversation(metadata={})["id"]
        model.answer, model.breaks_off = answer, breaks_off
        *_, last = [
            event.json() for event in provider.stream_response({"conversation": conversation_id, "input": HELLO})
        ]
        response = last["response"]
        if response["status"] == "failed":
            assert response["error"]["code"] == "server_error"
            assert provider.list_items(conversation_id)["data"] == []
        model.answer, model.breaks_off = ANSWERS[api], False
        calls = [item["call_id"] for item in response["output"] if item["type"] == "function_call"]
        outputs = [{"type": "function_call_output", "call_id": call_id, "output": ""} for call_id in calls]
        following = provider.create_response({"conversation": conversation_id, "input": [*outputs, user("And then?")]})
        assert following["status"] == "completed"

    hold()


def test_an_odd_list_of_models_is_the_servers_error(model: ModelServer, ask: Open, api: str) -> None:
    model.models = 5
    with pytest.raises(ProviderError):
        ask(api).list_models()


def test_the_log_tells_what_kind_of_nonsense_it_was(
    model: ModelServer, ask: Open, caplog: pytest.LogCaptureFixture
) -> None:
    model.answer = [5]
    with caplog.at_level(logging.WARNING, "gateway"), pytest.raises(ProviderError):
        ask("chat").create_response({"input": "Hello"})
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[0] is AttributeError


def test_a_look_at_the_server_leaves_the_next_turn_alone(model: ModelServer, ask: Open, api: str) -> None:
    provider = ask(api)
    model.answer = ANSWERS[api]
    for _ in range(3):
        provider.check()
        assert provider.create_response({"input": "Hello"})["status"] == "completed"
