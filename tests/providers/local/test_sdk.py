"""The openai SDK, unchanged, finds what it expects: over real HTTP, sync and streamed."""

import json
from collections.abc import Iterator
from pathlib import Path

import openai
import pydantic
import pytest

from tests.harness.upstream import UpstreamProcess


@pytest.fixture(scope="module")
def keyed() -> Iterator[UpstreamProcess]:
    with UpstreamProcess(key="sk-right") as process:
        yield process


@pytest.fixture
def client(keyed: UpstreamProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="sk-right", base_url=keyed.url, max_retries=0) as client:
        yield client


def test_conversations_and_their_items(client: openai.OpenAI) -> None:
    made = client.conversations.create(
        metadata={"a": "b"}, items=[{"type": "message", "role": "user", "content": "Zero"}]
    )
    assert client.conversations.retrieve(made.id) == made
    assert client.conversations.update(made.id, metadata={"c": "d"}).metadata == {"c": "d"}
    for number in range(30):
        client.conversations.items.create(
            made.id, items=[{"type": "message", "role": "user", "content": f"Message {number}"}]
        )
    listed = list(client.conversations.items.list(made.id, order="asc", limit=7))  # walks all the pages
    assert len(listed) == 31
    assert [item.type for item in listed] == ["message"] * 31
    assert client.conversations.items.retrieve(listed[3].id or "", conversation_id=made.id) == listed[3]
    assert client.conversations.items.delete(listed[3].id or "", conversation_id=made.id).id == made.id
    assert client.conversations.delete(made.id).deleted is True
    with pytest.raises(openai.NotFoundError, match="not found"):
        client.conversations.retrieve(made.id)


def test_responses(client: openai.OpenAI) -> None:
    conversation = client.conversations.create()
    client.responses.create(model="m", input="The lamp is green.", conversation=conversation.id)
    answer = client.responses.create(model="m", input="Which colour?", conversation={"id": conversation.id})
    assert "The lamp is green." in answer.output_text
    assert answer.conversation is not None
    assert answer.conversation.id == conversation.id
    assert client.responses.retrieve(answer.id).output_text == answer.output_text
    client.responses.delete(answer.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(answer.id)
    assert [model.id for model in client.models.list()] == ["demo"]


def test_streams(client: openai.OpenAI) -> None:
    conversation = client.conversations.create()
    events = list(client.responses.create(model="m", input="Hello", conversation=conversation.id, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.completed"
    with client.responses.stream(model="m", input="Again", conversation=conversation.id) as stream:
        words = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        assert stream.get_final_response().output_text == words


def test_forms(client: openai.OpenAI) -> None:
    class Address(pydantic.BaseModel):
        street: str
        number: int

    class Person(pydantic.BaseModel):
        name: str
        addresses: list[Address]
        home: Address | None

    parsed = client.responses.parse(model="m", input="Hello", text_format=Person).output_parsed
    assert parsed is not None
    assert parsed.name == "Hello"


def test_a_loop_of_tools(client: openai.OpenAI) -> None:
    conversation = client.conversations.create()
    tools = [{"type": "function", "name": "add", "parameters": {"type": "object"}, "strict": False}]
    answer = client.responses.create(
        model="m",
        input='call add {"a": 2, "b": 3}',
        conversation=conversation.id,
        tools=tools,
    )
    (call,) = answer.output
    assert call.type == "function_call"
    output = str(sum(json.loads(call.arguments).values()))
    with pytest.raises(openai.BadRequestError, match=f"No tool output found for function call {call.call_id}"):
        client.responses.create(model="m", input="Hello", conversation=conversation.id)
    done = client.responses.create(
        model="m",
        conversation=conversation.id,
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": output}],
    )
    assert '"5"' in done.output_text


def test_a_wrong_key_is_refused(keyed: UpstreamProcess) -> None:
    with (
        openai.OpenAI(api_key="sk-wrong", base_url=keyed.url) as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.conversations.create()
    assert caught.value.code == "invalid_api_key"
    assert (caught.value.request_id or "").startswith("req_")


def test_an_unknown_address_is_an_error_in_the_same_shape(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="Invalid URL"):
        client.get("/unheard_of", cast_to=object)


def test_two_processes_make_the_tables_at_the_same_time(tmp_path: Path) -> None:
    database = tmp_path / "shared.db"
    with (
        UpstreamProcess(database=database) as one,
        UpstreamProcess(database=database) as other,
        openai.OpenAI(api_key="k", base_url=one.url) as here,
        openai.OpenAI(api_key="k", base_url=other.url) as there,
    ):
        assert there.conversations.retrieve(here.conversations.create().id)
