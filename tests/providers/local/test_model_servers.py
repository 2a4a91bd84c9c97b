"""Any OpenAI-compatible server can be the model: asked statelessly, its errors told in the service's words."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import (
    ConfigurationError,
    ContextLengthExceededError,
    GatewayError,
    InsufficientQuotaError,
    ProviderError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from gateway.providers.local import LocalProvider
from tests.harness.model_servers import ANSWERS, CALLS, RESPONSES, ModelServer, chunk
from tests.harness.shapes import SEEN, differences, run_together
from tests.providers.local.conftest import Open, text_of, texts, user

JSON = dict[str, Any]
TOOL = {"type": "function", "name": "look_up", "description": "Looks up.", "parameters": {"type": "object"}}


HISTORY = [
    {"role": "developer", "content": "Be kind."},
    {"role": "user", "content": [
        {"type": "input_text", "text": "See"},
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
    ]},
    {"type": "function_call", "call_id": "call_1", "name": "look_up", "arguments": "{}"},
    {"type": "function_call", "call_id": "call_2", "name": "look_up", "arguments": "[]"},
    {"type": "function_call_output", "call_id": "call_1", "output": "one"},
    {"type": "function_call_output", "call_id": "call_2", "output": [{"type": "input_text", "text": "two"}]},
    {"role": "assistant", "content": "Seen."},
]  # fmt: skip


def test_the_whole_conversation_is_sent_and_the_answer_kept(model: ModelServer, ask: Open, api: str) -> None:
    provider = ask(api)
    model.answer = ANSWERS[api]
    conversation_id = provider.create_conversation(metadata={})["id"]
    first = provider.create_response({"model": "tiny", "conversation": conversation_id, "input": "Hello"})
    second = provider.create_response({"model": "tiny", "conversation": conversation_id, "input": "Again"})
    assert text_of(first) == "Good day"
    assert second["model"] == "tiny-1"
    assert second["usage"] == {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 2},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 10,
    }
    said = model.asked[1]["messages" if api == "chat" else "input"]
    assert [(one["role"], one["content"]) for one in said if "role" in one] == [
        ("user", "Hello" if api == "chat" else [{"type": "input_text", "text": "Hello"}]),
        ("assistant", "Good day"),
        ("user", "Again" if api == "chat" else [{"type": "input_text", "text": "Again"}]),
    ]
    assert texts(provider, conversation_id) == ["Hello", "Good day", "Again", "Good day"]
    assert model.asked[1]["model"] == "tiny"


def test_items_become_chat_messages(model: ModelServer, ask: Open) -> None:
    model.answer = ANSWERS["chat"]
    ask("chat").create_response(
        {
            "model": "tiny",
            "instructions": "Be brief.",
            "input": HISTORY,
            "tools": [TOOL],
            "tool_choice": {"type": "function", "name": "look_up"},
            "parallel_tool_calls": False,
            "temperature": 0.5,
            "max_output_tokens": 50,
            "reasoning": {"effort": "low"},
            "text": {"format": {"type": "json_schema", "name": "form", "schema": {"type": "object"}, "strict": True}},
        }
    )
    function = {"type": "function", "function": {name: TOOL[name] for name in ("name", "description", "parameters")}}
    called = [
        {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}},
        {"id": "call_2", "type": "function", "function": {"name": "look_up", "arguments": "[]"}},
    ]
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "auto"}}
    assert model.asked == [
        {
            "path": "chat/completions",
            "model": "tiny",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": [{"type": "text", "text": "See"}, image]},
                {"role": "assistant", "content": None, "tool_calls": called},
                {"role": "tool", "tool_call_id": "call_1", "content": "one"},
                {"role": "tool", "tool_call_id": "call_2", "content": "two"},
                {"role": "assistant", "content": "Seen."},
            ],
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": 0.5,
            "max_tokens": 50,
            "reasoning_effort": "low",
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "form", "schema": {"type": "object"}, "strict": True},
            },
            "tools": [function],
            "parallel_tool_calls": False,
            "tool_choice": {"type": "function", "function": {"name": "look_up"}},
        }
    ]


def test_items_are_sent_to_a_responses_server_without_our_ids(model: ModelServer, ask: Open) -> None:
    model.answer = RESPONSES
    provider = ask("responses")
    first = provider.create_response({"input": HISTORY, "metadata": {"a": "b"}, "tools": [TOOL], "unheard_of": 1})
    provider.create_response({"input": "Again", "previous_response_id": first["id"]})
    asked, again = model.asked
    assert (asked["store"], asked["stream"], asked["tools"], asked["unheard_of"]) == (False, True, [TOOL], 1)
    assert not {"metadata", "conversation", "previous_response_id"} & (asked.keys() | again.keys())
    assert not any("id" in item for item in again["input"] if item.get("type") != "reasoning")
    assert [item["encrypted_content"] for item in again["input"] if item.get("type") == "reasoning"] == ["xyz"]


def test_a_call_with_a_role_is_still_a_call(model: ModelServer, ask: Open) -> None:
    model.answer = RESPONSES
    call = {"type": "function_call", "call_id": "call_1", "name": "look_up", "arguments": "{}", "role": "assistant"}
    output = {"type": "function_call_output", "call_id": "call_1", "output": "one"}
    ask("responses").create_response({"input": [call, output]})
    assert [item["type"] for item in model.asked[0]["input"]] == ["function_call", "function_call_output"]


def test_reasoning_comes_first_as_recorded(model: ModelServer, ask: Open, api: str) -> None:
    model.answer = (
        [chunk(reasoning_content="Hm"), chunk(reasoning_content="m."), *ANSWERS["chat"]] if api == "chat" else RESPONSES
    )
    events = [event.json() for event in ask(api).stream_response({"input": "Hello", "max_output_tokens": 50})]
    types = [event["type"] for event in events if "annotation" not in event]
    assert run_together(types) == SEEN["orders"]["reasoning"]
    reasoning, message = events[-1]["response"]["output"]
    assert reasoning["id"].startswith("rs_")
    assert reasoning["id"] != "rs_theirs"
    if api == "chat":
        assert reasoning["content"] == [{"type": "reasoning_text", "text": "Hmm."}]
    assert message["content"][0]["text"] == "Good day"


def test_annotations_stay_with_their_text(model: ModelServer, ask: Open) -> None:
    model.answer = RESPONSES
    response = ask("responses").create_response({"input": "Hello"})
    assert response["output"][1]["content"][0]["annotations"] == [{"type": "url_citation", "url": "https://x.test"}]


def test_calls_are_streamed_one_after_the_other(model: ModelServer, ask: Open, api: str) -> None:
    model.answer = CALLS[api]
    events = [event.json() for event in ask(api).stream_response({"input": "Hello"})]
    made = [(item["call_id"], item["name"], item["arguments"]) for item in events[-1]["response"]["output"]]
    assert made == [("call_a", "look_up", '{"a":1}'), ("call_b", "ring", "{}")]
    call = [
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
    ]
    assert run_together([event["type"] for event in events])[2:-1] == [*call, *call]
    for event in events:
        if event["type"] in ("response.output_item.added", "response.output_item.done"):
            item_shape = SEEN["objects"]["response"][0]["object"]["output"][0]["array"]
            assert differences(event["item"], item_shape) == []


def test_a_refusal_is_streamed_as_one(model: ModelServer, ask: Open, api: str) -> None:
    model.answer = (
        [chunk(refusal="I will"), chunk(refusal=" not."), chunk("stop"), b"[DONE]"]
        if api == "chat"
        else [
            {"type": "response.refusal.delta", "delta": "I will"},
            {"type": "response.refusal.delta", "delta": " not."},
            {"type": "response.completed", "response": {}},
        ]
    )
    events = [event.json() for event in ask(api).stream_response({"input": "Hello"})]
    assert run_together([event["type"] for event in events])[3:-2] == [
        "response.content_part.added",
        "response.refusal.delta",
        "response.refusal.done",
        "response.content_part.done",
    ]
    (message,) = events[-1]["response"]["output"]
    assert message["content"] == [{"type": "refusal", "refusal": "I will not."}]


@pytest.mark.parametrize(
    ("given", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter"), ("stop", None)]
)
def test_why_a_chat_ended(model: ModelServer, ask: Open, given: str, reason: str | None) -> None:
    model.answer = [chunk(content="Good"), chunk(given), b"[DONE]"]
    response = ask("chat").create_response({"input": "Hello"})
    assert response["status"] == ("incomplete" if reason else "completed")
    assert response["incomplete_details"] == ({"reason": reason} if reason else None)


# --- Errors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (429, {"error": {"message": "Slow down.", "code": "rate_limit_exceeded"}}, ProviderRateLimitedError),
        (429, {"error": {"message": "Pay.", "code": "insufficient_quota"}}, InsufficientQuotaError),
        (400, {"error": {"message": "Too long.", "code": "context_length_exceeded"}}, ContextLengthExceededError),
        (400, {"object": "error", "message": "maximum context length is 9", "code": 400}, ContextLengthExceededError),
        (400, {"error": {"message": "No such voice.", "param": "voice"}}, ProviderRejectedError),
        (404, {"error": {"message": "No such model.", "code": "model_not_found"}}, ProviderRejectedError),
        (404, {"detail": "Not Found"}, ProviderError),
        (401, {"error": {"message": "Wrong key."}}, ProviderError),
        (500, {"error": "out of memory"}, ProviderError),
        (503, {}, ProviderUnavailableError),
    ],
    ids=str,
)
def test_a_refusal_of_the_server_is_one_of_the_provider(
    model: ModelServer,
    ask: Open,
    api: str,
    status: int,
    error: Any,
    expected: type[GatewayError],
) -> None:
    provider = ask(api)
    model.status, model.answer, model.headers = status, error, {"retry-after": "7"}
    conversation_id = provider.create_conversation(metadata={})["id"]
    events = provider.stream_response({"conversation": conversation_id, "input": "Hello"})
    with pytest.raises(expected) as caught:
        next(events)
    if status == 429 and expected is ProviderRateLimitedError:
        assert caught.value.retry_after == 7
    model.status, model.answer = 200, ANSWERS[api]
    assert provider.create_response({"conversation": conversation_id, "input": "Again"})["status"] == "completed"
    assert texts(provider, conversation_id) == ["Again", "Good day"]


def broken(api: str) -> dict[str, list[Any]]:
    start = ANSWERS[api][:3]
    failure = {"code": "server_error", "message": "Out of memory."}
    return {
        "an error": [*start, {"error": failure} if api == "chat" else {"type": "error", **failure}],
        "a failure": [*start, {"error": failure} if api == "chat" else
                      {"type": "response.failed", "response": {"error": failure}}],
        "an early end": start,
        "nonsense": [*start, b"{"],
    }  # fmt: skip


@pytest.mark.parametrize("how", ["an error", "a failure", "an early end", "nonsense", "a cut line"])
def test_an_answer_that_breaks_off_fails_the_response(model: ModelServer, ask: Open, api: str, how: str) -> None:
    provider = ask(api)
    model.breaks_off = how == "a cut line"
    model.answer = broken(api).get(how, ANSWERS[api][:3])
    conversation_id = provider.create_conversation(metadata={})["id"]
    events = [event.json() for event in provider.stream_response({"conversation": conversation_id, "input": "Hello"})]
    response = events[-1]["response"]
    assert events[-1]["type"] == "response.failed"
    assert response["error"]["code"] == "server_error"
    assert provider.retrieve_response(response["id"])["status"] == "failed"
    assert texts(provider, conversation_id) == []
    with pytest.raises(ProviderError):
        provider.create_response({"conversation": conversation_id, "input": "Hello"})


# --- Silence -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_server_that_goes_on_speaking_is_not_cut_off(model: ModelServer, ask: Open, api: str) -> None:
    """The time-out is about silence, also for a caller who wants no stream."""
    word = chunk(content="!") if api == "chat" else {"type": "response.output_text.delta", "delta": "!"}
    *start, end = ANSWERS[api]
    model.answer = [*start, *[word, b"\n\n: at work"] * 4, end]
    model.pause = lambda: threading.Event().wait(0.15)
    provider = ask(api, timeout_seconds=0.6)
    began = time.monotonic()
    answer = provider.create_response({"input": "Hello"})
    assert time.monotonic() - began > 2 * 0.6
    assert (answer["status"], text_of(answer)) == ("completed", "Good day!!!!")
    assert model.asked[0]["stream"] is True


@pytest.mark.slow
@pytest.mark.parametrize("after", [0, 3])
def test_silence_ends_a_turn(model: ModelServer, ask: Open, api: str, after: int) -> None:
    """Also before its first word the server may be at work: it is not asked again by itself."""
    heard, woken = iter(range(after)), threading.Event()
    model.answer = ANSWERS[api]
    model.pause = lambda: next(heard, None) is None and woken.wait(10)
    provider = ask(api, timeout_seconds=0.3)
    asked = {"conversation": provider.create_conversation(metadata={})["id"], "input": "Hello"}
    try:
        with pytest.raises(ProviderError) as caught:
            provider.create_response(asked)
    finally:
        woken.set()
    assert caught.value.in_doubt
    assert provider.create_response(asked)["status"] == "completed"
    assert len(model.asked) == 2


# --- The server itself -------------------------------------------------------------------------------------


def test_a_server_that_is_not_there(tmp_path: Path, make_provider: Open, api: str) -> None:
    provider = make_provider(tmp_path / "local.db", model_url="http://127.0.0.1:9/v1", model_api=api)
    with pytest.raises(ProviderUnavailableError):
        provider.create_response({"input": "Hello"})
    with pytest.raises(ProviderUnavailableError):
        provider.check()


def test_a_server_that_is_there(model: ModelServer, ask: Open, api: str) -> None:
    ask(api).check()
    assert ask(api).list_models() == {"object": "list", "data": [{"id": "tiny", "object": "model"}]}


def test_a_key_before_the_host_is_the_servers_key(
    model: ModelServer, tmp_path: Path, make_provider: Open, api: str
) -> None:
    model.answer = ANSWERS[api]
    url = model.url.replace("http://", "http://sk-theirs@")
    make_provider(tmp_path / "local.db", model_url=url, model_api=api).create_response({"input": "Hello"})
    assert model.keys == ["Bearer sk-theirs"]


def test_that_key_is_told_to_nobody(model: ModelServer, tmp_path: Path, make_provider: Open, api: str) -> None:
    url = model.url.replace("http://", "http://sk-theirs@")
    provider = make_provider(tmp_path / "local.db", model_url=url, model_api=api)
    model.status, model.answer = 400, {"error": {"message": "The key sk-theirs may not ask for this."}}
    with pytest.raises(ProviderRejectedError, match=r"The key \(hidden\) may not"):
        provider.create_response({"input": "Hello"})
    model.status = 200
    model.answer = [{"type": "error", "error": model.answer["error"]} if api == "responses" else model.answer]
    *_, last = provider.stream_response({"input": "Hello"})
    assert "may not ask" in str(last.json())
    assert "sk-theirs" not in str(last.json())


def test_a_hosted_tool_is_not_for_a_chat_server(model: ModelServer, ask: Open) -> None:
    with pytest.raises(ProviderRejectedError, match=r"tools|function"):
        ask("chat").create_response({"input": [user("Hello")], "tools": [{"type": "web_search"}]})


@pytest.mark.parametrize("options", [{"model_url": "localhost:11434"}, {"model_url": "http://x", "model_api": "soap"}])
def test_a_wrong_setting_stops_the_start(tmp_path: Path, options: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        LocalProvider(str(tmp_path / "local.db"), **options)
