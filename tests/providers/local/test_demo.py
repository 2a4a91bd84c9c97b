"""The demo model: a newcomer sees it remember, and a client's tools and forms can be tried on it."""

import json
from typing import Any

import pytest

from gateway.providers.local import LocalProvider
from gateway.providers.local.minimal import minimal_instance
from tests.providers.local.conftest import text_of, user

OBJECT = {"type": "object", "properties": {"word": {"type": "string"}, "count": {"type": "integer", "minimum": 2}}}
TOOLS: list[dict[str, Any]] = [
    {"type": "function", "name": "look_up", "parameters": {**OBJECT, "required": ["word", "count"]}},
    {"type": "function", "name": "ring-bell"},
]


def calls(response: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(item["name"], json.loads(item["arguments"])) for item in response["output"]]


@pytest.mark.parametrize(("first", "second"), [("My cat is Tom.", "Who?"), ("Ünïcode 👋", "x" * 100), ("a", "b")])
def test_any_two_messages_show_that_it_remembers(provider: LocalProvider, first: str, second: str) -> None:
    conversation_id = provider.create_conversation(metadata={})["id"]
    answer = text_of(provider.create_response({"conversation": conversation_id, "input": first}))
    assert f'"{first}"' in answer
    again = text_of(provider.create_response({"conversation": conversation_id, "input": second}))
    assert f'"{first}"' in again
    assert f'"{second}"' in again
    assert "2 messages" in again


def test_the_first_and_the_latest_messages_stay_quoted(provider: LocalProvider) -> None:
    said = [user(f"Message number {number}.") for number in range(30)]
    answer = text_of(provider.create_response({"input": said}))
    assert all(f"number {number}." in answer for number in (0, 27, 28, 29))
    assert "30 messages" in answer


def test_the_same_conversation_gets_the_same_words(provider: LocalProvider) -> None:
    asked = {"input": [user("One"), user("Two")]}
    one, other = provider.create_response(asked), provider.create_response(asked)
    assert text_of(one) == text_of(other)
    assert one["usage"] == other["usage"]


def test_what_is_not_text_is_named(provider: LocalProvider) -> None:
    parts = [
        {"type": "input_text", "text": "See:"},
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
        {"type": "input_file", "filename": "list.pdf", "file_data": "data:application/pdf;base64,AAAA"},
    ]
    answer = text_of(provider.create_response({"input": [{"role": "user", "content": parts}]}))
    assert '"See: [a picture] [the file list.pdf]"' in answer


def test_words_are_streamed_one_by_one(provider: LocalProvider) -> None:
    events = [event.json() for event in provider.stream_response({"input": "Hello  there\nfriend"})]
    deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert len(deltas) > 10
    assert all(len(delta.split()) <= 1 for delta in deltas)
    assert "".join(deltas) == text_of(events[-1]["response"])


# --- Tools -------------------------------------------------------------------------------------------------


def test_a_tool_is_called_by_its_name(provider: LocalProvider) -> None:
    asked = "Please call look_up and then call ring-bell, but do not call me."
    response = provider.create_response({"input": asked, "tools": TOOLS})
    assert calls(response) == [("look_up", {"word": asked, "count": 2}), ("ring-bell", {})]


def test_a_tool_is_called_with_the_given_arguments(provider: LocalProvider) -> None:
    asked = 'call look_up {"word": "{lamp}", "more": [1]} now'
    assert calls(provider.create_response({"input": asked, "tools": TOOLS})) == [
        ("look_up", {"word": "{lamp}", "more": [1]})
    ]


def test_arguments_are_streamed(provider: LocalProvider) -> None:
    events = [event.json() for event in provider.stream_response({"input": "call look_up", "tools": TOOLS})]
    deltas = [event["delta"] for event in events if event["type"] == "response.function_call_arguments.delta"]
    (item,) = events[-1]["response"]["output"]
    assert len(deltas) > 1
    assert "".join(deltas) == item["arguments"]
    types = [event["type"] for event in events]
    assert types[2] == "response.output_item.added"
    assert types[-3:] == ["response.function_call_arguments.done", "response.output_item.done", "response.completed"]


def test_the_outputs_are_quoted(provider: LocalProvider) -> None:
    response = provider.create_response({"input": "call look_up", "tools": TOOLS})
    output = {"type": "function_call_output", "call_id": response["output"][0]["call_id"], "output": "A kind of lamp."}
    answer = provider.create_response({"input": [output], "previous_response_id": response["id"], "tools": TOOLS})
    assert 'look_up answered "A kind of lamp."' in text_of(answer)


def test_without_its_tools_it_only_talks(provider: LocalProvider) -> None:
    assert text_of(provider.create_response({"input": "call look_up"}))
    assert text_of(provider.create_response({"input": "call look_up", "tools": TOOLS, "tool_choice": "none"}))
    assert text_of(provider.create_response({"input": "call something_else", "tools": TOOLS}))


def test_the_choice_of_a_tool_is_honoured(provider: LocalProvider) -> None:
    chosen = {"type": "function", "name": "ring-bell"}
    assert calls(provider.create_response({"input": "Hi", "tools": TOOLS, "tool_choice": chosen})) == [
        ("ring-bell", {})
    ]
    assert calls(provider.create_response({"input": "Hi", "tools": TOOLS, "tool_choice": "required"})) == [
        ("look_up", {"word": "Hi", "count": 2})
    ]


def test_one_call_at_a_time_when_asked(provider: LocalProvider) -> None:
    asked = {"input": "call look_up call ring-bell", "tools": TOOLS, "parallel_tool_calls": False}
    assert [name for name, _ in calls(provider.create_response(asked))] == ["look_up"]


# --- Forms and limits --------------------------------------------------------------------------------------


def test_json_when_asked_for_json(provider: LocalProvider) -> None:
    response = provider.create_response({"input": "Hi", "text": {"format": {"type": "json_object"}}})
    assert json.loads(text_of(response))["you_said"] == "Hi"


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({**OBJECT, "required": ["word"]}, {"word": "Hi"}),
        ({"enum": ["b", "a"]}, "b"),
        ({"const": 5}, 5),
        ({"type": ["null", "boolean"]}, False),
        ({"anyOf": [{"type": "null"}, {"type": "number", "exclusiveMinimum": 1}]}, 2),
        ({"type": "integer", "maximum": -3}, -3),
        ({"type": "integer", "exclusiveMaximum": -3}, -4),
        ({"type": "number", "minimum": 0.2, "maximum": 0.4}, 0.30000000000000004),
        ({"type": "integer", "minimum": 3, "multipleOf": 5}, 5),
        ({"type": "array", "items": {"type": "string"}, "minItems": 2}, ["Hi", "Hi"]),
        ({"type": "array", "items": {"type": "string"}}, []),
        ({"type": "string", "minLength": 4}, "Hi.."),
        ({"type": "string", "maxLength": 1}, "H"),
        ({"type": "string", "format": "date"}, "2000-01-01"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "boolean"}}}, False),
        (
            {"allOf": [{"properties": {"a": {"type": "null"}}, "required": ["a"]}, {"type": "object"}]},
            {"a": None},
        ),
    ],
    ids=str,
)
def test_the_smallest_value_of_a_schema(schema: dict[str, Any], value: Any) -> None:
    assert minimal_instance(schema, "Hi") == value


def test_a_schema_that_refers_to_itself_comes_to_an_end() -> None:
    node = {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
        "required": ["next"],
    }
    value = minimal_instance({"$ref": "#/$defs/node", "$defs": {"node": node}}, "Hi")
    while value is not None:
        value = value["next"]


def test_an_answer_stops_at_its_limit(provider: LocalProvider) -> None:
    conversation_id = provider.create_conversation(metadata={})["id"]
    response = provider.create_response({"conversation": conversation_id, "input": "Hello", "max_output_tokens": 5})
    assert response["status"] == response["output"][0]["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["usage"]["output_tokens"] == 5
    assert len(text_of(response)) <= 20
    assert len(provider.list_items(conversation_id)["data"]) == 2
