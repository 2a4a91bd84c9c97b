"""What the gateway does not understand goes through it as it is: parameters, items, members of answers, events."""

from typing import Any

import openai
import orjson
import pytest
import requests

from tests.harness.gateways import GatewayProcess
from tests.harness.upstream import UpstreamProcess

JSON = dict[str, Any]


def asked(upstream: UpstreamProcess) -> JSON:
    """The body of the last response that the provider was asked for."""
    bodies = [entry["body"] for entry in upstream.seen()["requests"] if entry["path"] == "/v1/responses"]
    body: JSON = bodies[-1]
    return body


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("in_session", [False, True])
def test_every_parameter_reaches_the_provider(
    to_hosted: openai.OpenAI, upstream: UpstreamProcess, session_id: str, streamed: bool, in_session: bool
) -> None:
    picture: Any = {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"}
    sent: Any = {
        "model": "gpt-next",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "Hello"}, picture]}],
        "include": ["reasoning.encrypted_content"],
        "instructions": "Be brief.",
        "max_output_tokens": 900,
        "metadata": {"topic": "tea"},
        "parallel_tool_calls": False,
        "prompt_cache_key": "p",
        "reasoning": {"effort": "low", "summary": "auto"},
        "safety_identifier": "s",
        "store": False,
        "temperature": 0.5,
        "text": {
            "format": {"type": "json_schema", "name": "n", "schema": {"type": "object", "properties": {}}},
            "verbosity": "low",
        },
        "tool_choice": "none",
        "tools": [
            {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": True},
            {"type": "web_search"},
            {"type": "file_search", "vector_store_ids": ["vs_1"]},
            {"type": "code_interpreter", "container": {"type": "auto"}},
            {"type": "mcp", "server_label": "m", "server_url": "https://mcp.example"},
            {"type": "custom", "name": "c"},
        ],
        "top_p": 0.25,
        "truncation": "auto",
    }
    unknown = {"future": {"deep": [1, 2.5, None, "ü"]}, "another": True}
    where: Any = {"conversation": session_id} if in_session else {}
    answer: Any = to_hosted.responses.create(**sent, **where, stream=streamed, extra_body=unknown)
    if streamed:
        answer = next(event.response for event in list(answer) if event.type == "response.completed")
    got = asked(upstream)
    if in_session:
        assert got.pop("conversation").startswith("conv_")
        assert answer.conversation.id == session_id
    # Also for a plain reply: of a stream it can be told whether somebody still works on it.
    assert got.pop("stream") is True
    assert got == {**sent, **unknown}
    assert (answer.metadata, answer.truncation, answer.temperature) == ({"topic": "tea"}, "auto", 0.5)


def test_a_prompt_is_the_providers_to_judge(to_hosted: openai.OpenAI, upstream: UpstreamProcess) -> None:
    with pytest.raises(openai.NotFoundError, match="Prompt with id 'pmpt_1' not found"):
        to_hosted.responses.create(prompt={"id": "pmpt_1", "version": "2"}, conversation="prompter")
    assert asked(upstream)["prompt"] == {"id": "pmpt_1", "version": "2"}


def frames(answer: requests.Response) -> list[tuple[str, bytes]]:
    found = []
    for block in answer.content.split(b"\n\n"):
        lines = [line for line in block.split(b"\n") if line and not line.startswith(b":")]
        if lines:
            data = b"\n".join(line.removeprefix(b"data: ") for line in lines[1:])
            found.append((lines[0].removeprefix(b"event: ").decode(), data))
    return found


def post(gateway: GatewayProcess, body: JSON) -> requests.Response:
    return requests.post(f"{gateway.url}/v1/responses", json={"model": "demo", "input": "Hello", **body}, timeout=30)


NEWER = [
    [
        "response.future.delta",
        '{"type": "response.future.delta",  "sequence_number": 2, "x": [1.0, 1e2], "y": "\\u00fc"}',
    ],
    ["keepalive", '{"type": "keepalive"}'],
    ["response.two.lines", '{"type": "response.two.lines",\n "z": null}'],
]


@pytest.mark.parametrize("in_session", [False, True])
def test_unknown_events_pass_byte_for_byte(
    before_hosted: GatewayProcess, upstream: UpstreamProcess, session_id: str, in_session: bool
) -> None:
    unknown = {"from_the_future": {"a": [1]}, "output": [{"id": "new_1", "type": "new_kind", "deep": {"b": 2}}]}
    where = {"conversation": session_id} if in_session else {}
    upstream.faults({"match": "POST /v1/responses", "fault": "newer", "frames": NEWER[:2], "members": unknown})
    told = frames(post(before_hosted, {**where, "stream": True}))
    assert told[2:4] == [(name, data.encode()) for name, data in NEWER[:2]]
    final = orjson.loads(told[-1][1])["response"]
    assert {name: final[name] for name in unknown} == unknown
    upstream.faults({"match": "POST /v1/responses", "fault": "newer", "members": unknown})
    plain = post(before_hosted, where).json()
    assert {name: plain[name] for name in unknown} == unknown
    assert plain.get("conversation") == ({"id": session_id} if in_session else None)


@pytest.mark.parametrize("in_session", [False, True])
@pytest.mark.parametrize("kind", ["failed", "flat_error"])
def test_a_failure_in_the_stream_is_told_in_the_providers_words(
    before_hosted: GatewayProcess, upstream: UpstreamProcess, session_id: str, kind: str, in_session: bool
) -> None:
    where = {"conversation": session_id} if in_session else {}
    error = {"code": "server_error", "message": "It broke."}
    upstream.faults({"match": "POST /v1/responses", "fault": kind, "events": 3, "error": error})
    answer = post(before_hosted, {**where, "stream": True})
    assert answer.status_code == 200
    name, data = frames(answer)[-1]
    told = orjson.loads(data)
    assert (name, told["sequence_number"]) == ("error" if kind == "flat_error" else "response.failed", 3)
    assert (told if kind == "flat_error" else told["response"]["error"])["message"] == "It broke."
    if in_session and kind == "failed":
        assert told["response"]["conversation"] == {"id": session_id}
    # The session goes on.
    assert post(before_hosted, where).status_code == 200


@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "failing"}])
def test_a_response_that_failed_is_an_error_to_who_does_not_stream(
    to_hosted: openai.OpenAI, upstream: UpstreamProcess, session_id: str, key: dict[str, str]
) -> None:
    upstream.faults({"match": "POST /v1/responses", "fault": "failed"})
    with pytest.raises(openai.InternalServerError) as failed:
        to_hosted.responses.create(model="demo", input="Hello", conversation=session_id, extra_headers=key)
    assert failed.value.status_code == 502
    assert failed.value.response.headers["x-should-retry"] == "false"


def test_a_stream_that_breaks_off_ends_with_an_error_event(
    before_hosted: GatewayProcess, upstream: UpstreamProcess, session_id: str
) -> None:
    for where in ({}, {"conversation": session_id}):
        upstream.faults({"match": "POST /v1/responses", "fault": "truncate", "events": 3})
        name, data = frames(post(before_hosted, {**where, "stream": True}))[-1]
        told = orjson.loads(data)
        assert (name, told["type"], told["sequence_number"]) == ("error", "error", 3)
        assert told["message"]


def test_a_stream_that_breaks_off_after_its_end_is_ended_all_the_same(
    before_hosted: GatewayProcess, upstream: UpstreamProcess, session_id: str
) -> None:
    upstream.faults({"match": "POST /v1/responses", "fault": "truncate", "events": 3, "after": True})
    told = frames(post(before_hosted, {"conversation": session_id, "stream": True}))
    assert told[-1][0] == "response.completed"
    final = orjson.loads(told[-1][1])
    assert (final["sequence_number"], final["response"]["conversation"]) == (3, {"id": session_id})
    assert final["response"]["output"]


@pytest.mark.parametrize("streamed", [False, True])
def test_what_is_refused_before_the_first_event_is_a_plain_error(
    before_hosted: GatewayProcess, upstream: UpstreamProcess, session_id: str, streamed: bool
) -> None:
    for where in ({}, {"conversation": session_id}):
        upstream.faults({"match": "POST /v1/responses", "fault": "status", "status": 400, "error": {"message": "No."}})
        answer = post(before_hosted, {**where, "stream": streamed})
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["error"]["message"] == "No."


def test_events_come_one_by_one(before_hosted: GatewayProcess, upstream: UpstreamProcess, session_id: str) -> None:
    upstream.faults({"match": "POST /v1/responses", "fault": "pause", "events": 3})
    body = {"model": "demo", "input": "Hello", "conversation": session_id, "stream": True}
    with requests.post(f"{before_hosted.url}/v1/responses", json=body, stream=True, timeout=30) as answer:
        lines = answer.iter_lines(chunk_size=1)
        # The provider is in the middle of it.
        seen = [line for line, _ in zip(lines, range(8), strict=False) if line.startswith(b"event: ")]
        assert seen == [
            b"event: response.created",
            b"event: response.in_progress",
            b"event: response.output_item.added",
        ]
        upstream.release()
        assert [line for line in lines if line.startswith(b"event: ")][-1] == b"event: response.completed"
