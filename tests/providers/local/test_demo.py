"""The demo model: a newcomer sees it remember, and a client's tools and forms can be tried on it."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.local import LocalProvider, WireError
from gateway.providers.local.minimal import SchemaError, minimal_instance
from tests.harness.spoiling import RUNS, odd_values
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


# --- Schemas that nobody should send -----------------------------------------------------------------------


def form(schema: Any) -> dict[str, Any]:
    return {"input": "Hi", "text": {"format": {"type": "json_schema", "name": "form", "schema": schema}}}


def refusal(provider: LocalProvider, asked: dict[str, Any]) -> tuple[int, Any, Any]:
    with pytest.raises(WireError) as caught:
        provider.service.create_response(asked)
    return caught.value.status, caught.value.error["code"], caught.value.error["param"]


def lists(of: Any, *lengths: int) -> dict[str, Any]:
    return {"type": "array", "minItems": lengths[0], "items": lists(of, *lengths[1:]) if lengths[1:] else of}


MANY = [f"name {number}" for number in range(20_000)]
TOO_MUCH: dict[str, dict[str, Any]] = {
    "a long text": {"type": "string", "minLength": 100_000_000},
    "a long list": {"type": "array", "minItems": 10**10},
    "lists of lists": lists({"type": "null"}, 300, 300, 300, 300),
    "many names": {"type": "object", "required": MANY},
    "a long constant": {"const": "x" * 500_000},
    "a constant again and again": lists({"const": "x" * 1000}, 300),
    "itself twice": {"properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}, "required": ["a", "b"]},
    "lists of itself": lists({"$ref": "#"}, 300),
    "a large part in each of many": lists(
        {"allOf": [{"$ref": "#/$defs/large"}]}, 300, 300
    ) | {"$defs": {"large": {"properties": dict.fromkeys(MANY, True)}}},
    "a large number": {"type": "integer", "minimum": 1e300},
    "a fine step": {"type": "number", "minimum": 1, "multipleOf": 1e-300},
}  # fmt: skip
WRONG: list[Any] = [
    {"$ref": "#"},
    {"$ref": 5},
    {"$ref": "#/$defs/missing"},
    {"$ref": "#/$defs/5/type/0", "$defs": [1]},
    {"$ref": "elsewhere.json#/$defs/a", "$defs": {"a": {"type": "null"}}},
    {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
    {"type": "array", "minItems": "x"},
    {"type": "array", "minItems": -1},
    {"type": "array", "minItems": 1, "items": 5},
    {"type": "array", "minItems": 1, "items": False},
    {"type": ["x"]},
    {"type": 5},
    {"type": [[]]},
    {"enum": {}},
    {"enum": 5},
    {"properties": []},
    {"properties": {"a": 5}, "required": ["a"]},
    {"type": "object", "required": 5},
    {"type": "object", "required": [[]]},
    {"type": "object", "required": {"a": 1}},
    {"type": "string", "minLength": None},
    {"type": "string", "maxLength": -1},
    {"type": "string", "format": {}},
    {"type": "number", "minimum": "1"},
    {"type": "number", "minimum": True},
    {"type": "number", "minimum": 1, "multipleOf": 0},
    {"anyOf": {}},
    {"anyOf": [5]},
    {"allOf": [5]},
    {"allOf": "x"},
]


@pytest.mark.parametrize("schema", [*TOO_MUCH.values(), *WRONG], ids=[*TOO_MUCH, *map(str, WRONG)])
def test_a_schema_that_is_none_or_asks_for_too_much_is_refused(provider: LocalProvider, schema: dict[str, Any]) -> None:
    assert refusal(provider, form(schema)) == (400, "invalid_json_schema", "text.format.schema")
    function = {"type": "function", "name": "f", "parameters": schema}
    for choice in ("required", {"type": "function", "name": "f"}, "auto"):
        asked = {"input": "call f", "tools": [function], "tool_choice": choice}
        assert refusal(provider, asked) == (400, "invalid_function_parameters", "tools")


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string", "pattern": "("}, "Hi"),
        ({"anyOf": []}, "Hi"),
        ({"enum": []}, "Hi"),
        ({"anyOf": [True, 5]}, "Hi"),
        ({"const": {"a": [None, 1.5]}}, {"a": [None, 1.5]}),
        ({"type": "array", "items": {"minItems": "x"}}, []),
        ({"type": "object", "properties": {"a": True}, "required": ["a", "b"]}, {"a": "Hi", "b": "Hi"}),
        ({"$ref": "#/anyOf/1", "anyOf": [1, {"type": "null"}]}, None),
    ],
    ids=str,
)
def test_what_is_odd_but_says_enough_is_answered(schema: dict[str, Any], value: Any) -> None:
    assert minimal_instance(schema, "Hi") == value


def test_long_words_make_no_schema_too_large(provider: LocalProvider) -> None:
    words = {"type": "object", "required": [f"name {number}" for number in range(200)]}
    answer = json.loads(text_of(provider.create_response(form(words) | {"input": "x" * 100_000})))
    assert len(answer) == 200
    assert all("x" * 200 in value and len(value) < 500 for value in answer.values())


KEYWORDS = ["$ref", "$defs", "type", "properties", "required", "items", "minItems", "enum", "const", "anyOf", "oneOf"]
KEYWORDS += ["allOf", "minLength", "maxLength", "pattern", "format", "minimum", "exclusiveMaximum", "multipleOf"]
WORDS = ["#", "#/$defs/a", "#/properties/a", "object", "array", "string", "number", "integer", "null", "date", "a", "("]
ANY_SCHEMA = st.recursive(
    odd_values | st.sampled_from(WORDS),
    lambda part: (
        st.lists(part, max_size=3)
        | st.dictionaries(st.sampled_from(KEYWORDS), part, max_size=5)
        | st.dictionaries(st.sampled_from(["a", "b"]), part, max_size=2)
    ),
    max_leaves=20,
)


@RUNS
@given(ANY_SCHEMA)
def test_any_json_is_a_schema_or_refused(schema: Any) -> None:
    try:
        value = minimal_instance(schema, "Hi" * 1000)
    except SchemaError:
        return
    assert len(orjson.dumps(value)) < 200_000


# --- Messages that nobody should send ----------------------------------------------------------------------


def test_a_message_makes_it_call_a_few_times_only(provider: LocalProvider) -> None:
    tool = {"type": "function", "name": "f", "parameters": {"type": "object", "required": ["a"]}}
    made = calls(provider.create_response({"input": "call f " * 50_000, "tools": [tool]}))
    assert 1 < len(made) < 50
    assert len(made[0][1]["a"]) < 500


@pytest.mark.parametrize(
    "given", ['{"a":' * 100_000, '{"a":' * 300 + "1" + "}" * 300, '{"a": 1%s}' % ("0" * 30), '{"a": "\\ud800"}']
)
def test_arguments_that_nobody_can_read_are_left_out(provider: LocalProvider, given: str) -> None:
    tool = {"type": "function", "name": "f"}
    assert calls(provider.create_response({"input": f"call f {given}", "tools": [tool]})) == [("f", {})]
