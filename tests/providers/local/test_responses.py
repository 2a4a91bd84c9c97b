"""Responses: where a turn goes, what it must bring, and what a caller who hangs up loses."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.errors import NotFoundError, ToolOutputMissingError
from gateway.providers.local import LocalProvider
from tests.providers.local.conftest import refused, text_of, texts, user

TOOL = {"type": "function", "name": "look_up"}


@pytest.fixture
def conversation_id(everywhere: LocalProvider) -> str:
    made: str = everywhere.create_conversation(metadata={})["id"]
    return made


def call(call_id: str = "call_1") -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": "look_up", "arguments": "{}"}


def output(call_id: str = "call_1") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": "42"}


def test_a_turn_joins_its_conversation_when_it_ends(everywhere: LocalProvider, conversation_id: str) -> None:
    events = everywhere.stream_response({"conversation": conversation_id, "input": "Hello"})
    while next(events).type != "response.output_item.done":
        assert texts(everywhere, conversation_id) == []
    last = next(events)
    assert last.type == "response.completed"
    answer = last.json()["response"]
    assert texts(everywhere, conversation_id) == ["Hello", text_of(answer)]
    assert answer["conversation"] == {"id": conversation_id}
    assert everywhere.list_items(conversation_id)["data"][0] == answer["output"][0]
    assert next(events, None) is None


def test_the_next_turn_reads_what_was_said(everywhere: LocalProvider, conversation_id: str) -> None:
    first = everywhere.create_response({"conversation": conversation_id, "input": "The lamp is green."})
    second = everywhere.create_response({"conversation": {"id": conversation_id}, "input": "Which colour?"})
    assert "The lamp is green." in text_of(second)
    assert second["usage"]["input_tokens"] > first["usage"]["input_tokens"]
    assert len(texts(everywhere, conversation_id)) == 4


def test_a_stored_response_reads_as_it_was_given(everywhere: LocalProvider, conversation_id: str) -> None:
    response = everywhere.create_response({"conversation": conversation_id, "input": "Hello", "metadata": {"a": "b"}})
    assert re.fullmatch(r"resp_[0-9a-f]{50}", response["id"])
    assert everywhere.retrieve_response(response["id"]) == response
    everywhere.delete_response(response["id"])
    with pytest.raises(NotFoundError):
        everywhere.retrieve_response(response["id"])
    with refused(404, f"Response with id '{response['id']}' not found."):
        everywhere.service.delete_response(response["id"])
    assert len(texts(everywhere, conversation_id)) == 2


def test_a_response_under_way_can_be_looked_at(everywhere: LocalProvider, conversation_id: str) -> None:
    events = everywhere.stream_response({"conversation": conversation_id, "input": "Hello"})
    response_id = next(events).json()["response"]["id"]
    assert everywhere.retrieve_response(response_id)["status"] == "in_progress"
    list(events)
    assert everywhere.retrieve_response(response_id)["status"] == "completed"


def test_a_caller_who_hangs_up_loses_the_turn(everywhere: LocalProvider, conversation_id: str) -> None:
    events = everywhere.stream_response({"conversation": conversation_id, "input": "Hello"})
    response_id = next(events).json()["response"]["id"]
    next(events)
    assert isinstance(events, Iterator)
    events.close()
    assert texts(everywhere, conversation_id) == []
    assert everywhere.retrieve_response(response_id)["status"] == "cancelled"
    assert everywhere.create_response({"conversation": conversation_id, "input": "Again"})["status"] == "completed"


def test_a_response_that_is_not_stored_is_not_found(everywhere: LocalProvider, conversation_id: str) -> None:
    events = everywhere.stream_response({"conversation": conversation_id, "input": "Hello", "store": False})
    response_id = next(events).json()["response"]["id"]
    for _ in range(2):
        with pytest.raises(NotFoundError):
            everywhere.retrieve_response(response_id)
        list(events)
    assert len(texts(everywhere, conversation_id)) == 2


def test_a_response_goes_on_from_a_previous_one(everywhere: LocalProvider) -> None:
    first = everywhere.create_response({"input": "The lamp is green."})
    second = everywhere.create_response({"input": "Which colour?", "previous_response_id": first["id"]})
    third = everywhere.create_response({"input": "Are you sure?", "previous_response_id": second["id"]})
    assert second["previous_response_id"] == first["id"]
    assert "conversation" not in second
    assert "The lamp is green." in text_of(third)
    assert "Which colour?" in text_of(third)
    other = everywhere.create_response({"input": "Is it red?", "previous_response_id": first["id"]})
    assert "The lamp is green." in text_of(other)
    assert "Which colour?" not in text_of(other)


def test_a_response_of_a_conversation_is_gone_on_from_up_to_its_own_turn(
    everywhere: LocalProvider, conversation_id: str
) -> None:
    first = everywhere.create_response({"conversation": conversation_id, "input": "The lamp is green."})
    everywhere.create_response({"conversation": conversation_id, "input": "The chair is red."})
    beside = everywhere.create_response({"previous_response_id": first["id"], "input": "Which colour?"})
    assert "The lamp is green." in text_of(beside)
    assert "The chair is red." not in text_of(beside)
    assert len(texts(everywhere, conversation_id)) == 4


def test_an_unknown_previous_response_is_refused(everywhere: LocalProvider) -> None:
    message = "Previous response with id 'resp_x' not found."
    with refused(400, message, code="previous_response_not_found", param="previous_response_id"):
        everywhere.service.create_response({"previous_response_id": "resp_x", "input": "Hello"})


def test_a_conversation_and_a_previous_response_exclude_each_other(provider: LocalProvider) -> None:
    message = "Mutually exclusive parameters: ''. Ensure you are only providing one of: 'pre..._id' or 'conversation'."
    with refused(400, message, code="mutually_exclusive_parameters"):
        provider.service.create_response({"conversation": "conv_1", "previous_response_id": "resp_1", "input": "Hello"})


def test_there_must_be_something_to_answer(provider: LocalProvider) -> None:
    message = "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must be provided."
    with refused(400, message, code="missing_required_parameter"):
        provider.service.create_response({"model": "m"})


def test_a_conversation_alone_is_enough(everywhere: LocalProvider) -> None:
    conversation_id = everywhere.create_conversation(metadata={}, items=[user("The lamp is green.")])["id"]
    assert "The lamp is green." in text_of(everywhere.create_response({"conversation": conversation_id}))


# --- Tool calls --------------------------------------------------------------------------------------------


def test_a_call_without_its_output_stops_every_turn(everywhere: LocalProvider, conversation_id: str) -> None:
    asked = {"conversation": conversation_id, "input": "call look_up", "tools": [TOOL]}
    call_id = everywhere.create_response(asked)["output"][0]["call_id"]
    with refused(400, f"No tool output found for function call {call_id}.", param="input"):
        everywhere.service.create_response({"conversation": conversation_id, "input": "Hello"})
    with pytest.raises(ToolOutputMissingError):
        everywhere.create_response({"conversation": conversation_id, "input": "Hello"})
    assert len(everywhere.list_items(conversation_id)["data"]) == 2
    answered = everywhere.create_response({"conversation": conversation_id, "input": [output(call_id)]})
    assert '"42"' in text_of(answered)


def test_an_output_added_as_an_item_sets_the_conversation_free(everywhere: LocalProvider, conversation_id: str) -> None:
    everywhere.add_items(conversation_id, [call()])
    everywhere.add_items(conversation_id, [output()])
    assert everywhere.create_response({"conversation": conversation_id, "input": "Hello"})["status"] == "completed"


def test_an_output_needs_its_call(everywhere: LocalProvider, conversation_id: str) -> None:
    with refused(400, "No tool call found for function call output with call_id call_9."):
        everywhere.service.create_response({"conversation": conversation_id, "input": [output("call_9")]})


def test_an_item_is_posted_once(everywhere: LocalProvider, conversation_id: str) -> None:
    message = "Duplicate item found with id fc_1. Remove duplicate items from your input and try again."
    with refused(400, message, param="input"):
        everywhere.service.create_response({"input": [{**call(), "id": "fc_1"}] * 2})
    everywhere.add_items(conversation_id, [{**call(), "id": "fc_1"}])
    with refused(400, message, param="input"):
        everywhere.service.create_response(
            {"conversation": conversation_id, "input": [{**call(), "id": "fc_1"}, output()]}
        )


def test_reasoning_needs_what_it_led_to(provider: LocalProvider) -> None:
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": []}
    message = "Item 'rs_1' of type 'reasoning' was provided without its required following item."
    for following in ([], [user("Hello")]):
        with refused(400, message, param="input"):
            provider.service.create_response({"input": [reasoning, *following]})
    led_to = [{"role": "assistant", "content": "Green."}, user("Why?")]
    assert provider.create_response({"input": [reasoning, *led_to]})["status"] == "completed"


def test_a_foreign_item_id_in_the_input_reads_that_item(everywhere: LocalProvider, conversation_id: str) -> None:
    everywhere.add_items(conversation_id, [user("The lamp is green.")])
    item_id = everywhere.list_items(conversation_id)["first_id"]
    for posted in ({"type": "item_reference", "id": item_id}, {"id": item_id}, user("Harmless", id=item_id)):
        assert "The lamp is green." in text_of(everywhere.create_response({"input": [posted]}))


# --- What is echoed ----------------------------------------------------------------------------------------


def test_what_was_asked_is_echoed(provider: LocalProvider) -> None:
    asked = {
        "model": "some-model",
        "instructions": "Be brief.",
        "temperature": 0.2,
        "top_p": 0.5,
        "metadata": {"a": "b"},
        "reasoning": {"effort": "low"},
        "truncation": "auto",
        "user": "u",
        "max_output_tokens": 500,
        "parallel_tool_calls": False,
        "unheard_of": True,
    }
    response = provider.create_response({**asked, "input": "Hello"})
    asked |= {"reasoning": {"effort": "low", "summary": None}}
    del asked["unheard_of"]
    assert {name: response[name] for name in asked} == asked
    assert "unheard_of" not in response


def test_functions_are_strict_unless_they_say_otherwise(provider: LocalProvider) -> None:
    parameters = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "required": ["a"]}
    tool = {**TOOL, "parameters": parameters}
    strict, loose = provider.create_response({"input": "Hello", "tools": [tool, {**tool, "strict": False}]})["tools"]
    assert strict == {
        **tool,
        "description": None,
        "strict": True,
        "parameters": {**parameters, "required": ["a", "b"], "additionalProperties": False},
    }
    assert loose == {**tool, "description": None, "strict": False}


@pytest.mark.parametrize(
    "wrong",
    [
        {"tools": [{"name": "look_up"}]},
        {"tools": [{"type": "function"}]},
        {"tools": {}},
        {"tool_choice": "required"},
        {"tool_choice": {"type": "function", "name": "unknown"}, "tools": [TOOL]},
        {"tool_choice": "sometimes"},
        {"text": {"format": {"type": "poem"}}},
        {"text": {"format": {"type": "json_schema"}}},
        {"max_output_tokens": 0},
        {"temperature": "hot"},
        {"model": 5},
        {"input": 5},
        {"background": True},
        {"conversation": 5},
        {"previous_response_id": 5},
    ],
    ids=str,
)
def test_a_parameter_that_makes_no_sense_is_refused(provider: LocalProvider, wrong: dict[str, Any]) -> None:
    from gateway.providers.local import WireError

    with pytest.raises(WireError) as caught:
        provider.service.create_response({"input": "Hello", **wrong})
    assert caught.value.status == 400


def test_a_prompt_that_only_the_service_could_know_is_not_found(provider: LocalProvider) -> None:
    with refused(404, "Prompt with id 'pmpt_1' not found.", param="prompt"):
        provider.service.create_response({"prompt": {"id": "pmpt_1"}})
