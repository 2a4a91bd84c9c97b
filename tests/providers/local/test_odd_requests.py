"""Any JSON may be sent: it is answered, or refused in the service's own words, and the conversation goes on."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given

from gateway.errors import GatewayError, ProviderRejectedError
from gateway.providers.local import LocalProvider, WireError
from tests.harness.model_servers import ANSWERS, ModelServer
from tests.harness.spoiling import RUNS, spoilt
from tests.providers.local.conftest import Open, refused, texts, user

JSON = dict[str, Any]

SCHEMA: JSON = {
    "type": "object",
    "properties": {
        "text": {"type": "string", "minLength": 2, "maxLength": 5, "pattern": "a+", "format": "date"},
        "number": {"type": "number", "minimum": 1, "exclusiveMaximum": 5, "multipleOf": 0.5},
        "whole": {"type": ["null", "integer"], "exclusiveMinimum": 3, "maximum": 9},
        "list": {"type": "array", "items": {"$ref": "#/$defs/node"}, "minItems": 2},
        "one": {"anyOf": [{"type": "null"}, {"const": {"a": [1]}}, {"enum": ["a", 5, None]}]},
        "all": {"allOf": [{"$ref": "#/$defs/node"}, {"required": ["b"], "properties": {"b": True}}]},
    },
    "required": ["text", "number", "whole", "list", "one", "all"],
    "additionalProperties": False,
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"next": {"oneOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
            "required": ["next"],
        }
    },
}
FUNCTION: JSON = {"type": "function", "name": "f", "description": "F.", "parameters": SCHEMA, "strict": True}
ITEMS: list[JSON] = [
    {"type": "message", "role": "user", "content": "call f and call g", "id": "msg_1", "status": "completed"},
    {"role": "assistant", "content": [{"type": "output_text", "text": "a", "annotations": [{"type": "x"}]}]},
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "a"}], "content": []},
    {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "call_1", "output": [{"type": "input_text", "text": "a"}]},
    {"type": "custom_tool_call", "call_id": "call_2", "name": "g", "input": "a"},
    {"type": "custom_tool_call_output", "call_id": "call_2", "output": "a"},
    {"type": "web_search_call", "action": {"type": "search", "query": "a"}},
    {"role": "user", "content": [{"type": "input_text", "text": "call f"},
                                 {"type": "input_image", "image_url": "data:,", "detail": "low"},
                                 {"type": "input_file", "filename": "a", "file_data": "data:,"}]},
]  # fmt: skip
REQUEST: JSON = {
    "model": "demo",
    "input": ITEMS,
    "instructions": "Be kind.",
    "metadata": {"a": "b"},
    "include": ["reasoning.encrypted_content"],
    "temperature": 0.5,
    "top_p": 0.5,
    "max_output_tokens": 500,
    "parallel_tool_calls": True,
    "reasoning": {"effort": "low", "summary": "auto"},
    "text": {"format": {"type": "json_schema", "name": "form", "schema": SCHEMA, "strict": True}, "verbosity": "low"},
    "tools": [FUNCTION, {"type": "custom", "name": "g"}],
    "tool_choice": {"type": "function", "name": "f"},
    "truncation": "auto",
    "user": "u",
    "stream_options": {"include_obfuscation": False},
}


def answered(call: Callable[[], JSON]) -> JSON | None:
    """What is answered; None for a refusal. Anything else fails."""
    try:
        answer = call()
    except (GatewayError, WireError) as refusal:
        if refusal.status >= 500:
            raise
        return None
    orjson.dumps(answer)
    return answer


def outputs(response: JSON) -> list[JSON]:
    """What answers its calls."""
    calls = [item["call_id"] for item in response["output"] if item["type"] == "function_call"]
    return [{"type": "function_call_output", "call_id": call_id, "output": "a"} for call_id in calls]


def hold_against_oddness(provider: LocalProvider, sound: JSON) -> None:
    """Passes only if the sound request is answered, and whatever is odd about one, it is answered or refused and the
    next turn works.
    """

    @RUNS
    @given(spoilt(sound))
    def hold(body: JSON) -> None:
        answered(lambda: provider.create_response(body))
        conversation_id = provider.create_conversation(metadata={})["id"]
        answer = answered(lambda: provider.create_response({**body, "conversation": conversation_id}))
        following = [*(outputs(answer) if answer else []), user("And then?")]
        assert provider.create_response({"conversation": conversation_id, "input": following})["status"] == "completed"

    assert answered(lambda: provider.create_response(sound))
    hold()


@pytest.mark.parametrize("aside", [{}, {"tool_choice": "auto"}, {"tools": [], "tool_choice": "auto"}], ids=str)
def test_an_odd_request_is_answered_or_refused(provider: LocalProvider, aside: JSON) -> None:
    hold_against_oddness(provider, REQUEST | aside)


@pytest.mark.slow
def test_an_odd_request_with_a_model_server_is_answered_or_refused(model: ModelServer, ask: Open, api: str) -> None:
    model.answer = ANSWERS[api]
    hold_against_oddness(ask(api), REQUEST | {"tools": [FUNCTION]})


@pytest.mark.parametrize("odd", ["\ud800", 10**30, "nested"])
def test_what_no_json_can_say_is_refused_at_once(provider: LocalProvider, odd: Any) -> None:
    if odd == "nested":
        odd = []
        for _ in range(252):
            odd = [odd]
    message = "Invalid body: failed to parse JSON value."
    conversation_id = provider.create_conversation(metadata={})["id"]
    service, items = provider.service, [{"role": "user", "content": "Hello", "odd": odd}]
    for call in (
        lambda: service.create_response({"conversation": conversation_id, "input": "Hello", "instructions": odd}),
        lambda: service.create_response({"conversation": conversation_id, "input": items, "store": False}),
        lambda: service.create_conversation({"items": items}),
        lambda: service.add_items(conversation_id, {"items": items}),
        lambda: service.update_conversation(conversation_id, {"metadata": {"a": odd}}),
    ):
        with refused(400, message, code="invalid_json"):
            call()
    assert texts(provider, conversation_id) == []
    assert provider.create_response({"conversation": conversation_id, "input": "Hello"})["status"] == "completed"


def test_a_limit_is_a_number(provider: LocalProvider) -> None:
    for limit in ("50", "9" * 5000, 5.0, True):
        with pytest.raises(ProviderRejectedError) as caught:
            provider.create_response({"input": "Hello", "max_output_tokens": limit})
        assert caught.value.param == "max_output_tokens"
    conversation_id = provider.create_conversation(metadata={})["id"]
    assert provider.service.list_items(conversation_id, limit="5")["data"] == []
    for limit in ("9" * 5000, "٣", "-1", "5.0"):
        with pytest.raises(WireError):
            provider.service.list_items(conversation_id, limit=limit)


def test_only_a_function_can_be_chosen_as_one(provider: LocalProvider) -> None:
    tools = [FUNCTION, {"type": "custom", "name": "g"}, {"type": "web_search"}]
    for choice in ({"type": "function", "name": "g"}, {"type": "function"}):
        told = f"Tool choice '{choice.get('name')}' not found in 'tools' parameter."
        with refused(400, told, param="tool_choice"):
            provider.service.create_response({"input": "Hello", "tools": tools, "tool_choice": choice})


def test_odd_items_are_kept_or_refused(provider: LocalProvider) -> None:
    @RUNS
    @given(spoilt({"metadata": {"a": "b"}, "items": ITEMS}))
    def hold(body: JSON) -> None:
        made = provider.create_conversation(metadata={})["id"]
        answered(lambda: provider.service.create_conversation(body))
        answered(lambda: provider.service.add_items(made, body))
        answered(lambda: provider.service.update_conversation(made, body))
        assert answered(lambda: provider.list_items(made))

    hold()
