"""openai-python against /v1: nothing of it knows that these conversations are sessions."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.harness.gateways import GatewayProcess


def user(text: str) -> Any:
    return {"type": "message", "role": "user", "content": text}


def ask(client: openai.OpenAI, session_id: str, text: str, **parameters: Any) -> Any:
    return client.responses.create(model="demo", input=text, conversation=session_id, **parameters)


def test_a_conversation_is_known_by_the_clients_own_word(client: openai.OpenAI, session_id: str) -> None:
    first = ask(client, session_id, "I like tea")
    assert first.conversation.id == session_id
    second = client.responses.create(model="demo", input="What do I like?", conversation={"id": session_id})
    assert second.conversation is not None
    assert second.conversation.id == session_id
    assert "I like tea" in second.output_text
    # Who pays is told of what is stored only.
    assert client.responses.retrieve(first.id).model_copy(update={"billing": None}) == first.model_copy(
        update={"billing": None}
    )
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)


def test_a_stream_names_it_in_every_event(client: openai.OpenAI, session_id: str) -> None:
    ask(client, session_id, "I like tea")
    events = list(ask(client, session_id, "What do I like?", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    named = [event.response.conversation.id for event in events if hasattr(event, "response")]
    assert named == [session_id] * 3
    assert [event.type for event in events][-1] == "response.completed"
    words = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert words == events[-1].response.output_text
    assert "I like tea" in words
    assert client.responses.retrieve(events[-1].response.id) == events[-1].response.model_copy(
        update={"billing": {"payer": "developer"}}
    )


def test_the_streaming_helper_folds_the_same_response(client: openai.OpenAI, session_id: str) -> None:
    with client.responses.stream(model="demo", input="Hello", conversation=session_id) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert final.output_text == text
    assert final.conversation is not None
    assert final.conversation.id == session_id


def test_the_raw_response_has_the_gateways_headers(client: openai.OpenAI, session_id: str) -> None:
    raw = client.responses.with_raw_response.create(model="demo", input="Hello", conversation=session_id)
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.headers["cache-control"] == "no-store"
    assert raw.parse().status == "completed"
    assert "conv_" not in raw.text


class Meal(BaseModel):
    name: str
    courses: int


def test_parsed_outputs_are_the_sdks_own(client: openai.OpenAI, session_id: str) -> None:
    parsed = client.responses.parse(model="demo", input="A meal", conversation=session_id, text_format=Meal)
    assert isinstance(parsed.output_parsed, Meal)


def test_tools_are_called_and_answered_in_the_conversation(client: openai.OpenAI, session_id: str) -> None:
    tool: Any = {
        "type": "function",
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    }
    asked = ask(client, session_id, 'call weather {"city": "Bonn"}', tools=[tool])
    (call,) = asked.output
    assert (call.type, call.name) == ("function_call", "weather")
    with pytest.raises(openai.ConflictError) as refused:
        client.with_options(max_retries=0).responses.create(model="demo", input="And?", conversation=session_id)
    assert refused.value.code == "tool_output_missing"
    output: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}]
    answered = client.responses.create(model="demo", input=output, conversation=session_id, tools=[tool])
    assert "sunny" in answered.output_text


def test_without_a_conversation_a_response_stands_alone(client: openai.OpenAI) -> None:
    first = client.responses.create(model="demo", input="I like tea")
    assert first.conversation is None
    events = list(client.responses.create(model="demo", input="And I?", previous_response_id=first.id, stream=True))
    last = events[-1]
    assert last.type == "response.completed"
    assert "I like tea" in last.response.output_text
    assert client.responses.retrieve(last.response.id).output_text == last.response.output_text
    history: Any = [user("I like tea"), *first.output, user("What do I like?")]
    by_hand = client.responses.create(model="demo", input=history, store=False)
    assert "I like tea" in by_hand.output_text
    client.responses.delete(first.id)
    for missing in (first.id, "resp_" + 50 * "0"):
        with pytest.raises(openai.NotFoundError):
            client.responses.create(model="demo", input="And now?", previous_response_id=missing)


def test_conversations_are_made_listed_edited_and_deleted(client: openai.OpenAI, session_id: str) -> None:
    made = client.conversations.create(metadata={"session_id": session_id, "topic": "tea"}, items=[user("I like tea")])
    assert made.id == session_id
    assert client.conversations.retrieve(session_id) == made
    assert client.conversations.create(metadata={"session_id": session_id}) == made
    anonymous = client.conversations.create()
    assert anonymous.id.startswith("sess_")
    assert "I like tea" in ask(client, session_id, "What do I like?").output_text
    assert client.conversations.update(session_id, metadata={"topic": "coffee"}).metadata == {"topic": "coffee"}
    page: Any = client.get("/conversations?limit=2", cast_to=object)
    assert [each["id"] for each in page["data"]] == [anonymous.id, session_id]
    assert (page["first_id"], page["last_id"], page["object"]) == (anonymous.id, session_id, "list")
    for id_ in (session_id, anonymous.id):
        deleted = client.conversations.delete(id_)
        assert (deleted.id, deleted.deleted, deleted.object) == (id_, True, "conversation.deleted")
        with pytest.raises(openai.NotFoundError):
            client.conversations.retrieve(id_)
    assert "I like tea" not in ask(client, session_id, "What do I like?").output_text
    with pytest.raises(openai.APIStatusError) as gone:
        ask(client, anonymous.id, "Are you there?")
    assert (gone.value.status_code, gone.value.code) == (410, "conversation_gone")


def test_items_are_paged_by_the_sdks_helpers(client: openai.OpenAI, session_id: str) -> None:
    assert list(client.conversations.items.list(session_id)) == []
    for start in (0, 20):
        added = client.conversations.items.create(session_id, items=[user(f"say {start + n}") for n in range(20)])
        assert len(added.data) == 20
    newest_first: Any = list(client.conversations.items.list(session_id, limit=7))
    assert [item.content[0].text for item in newest_first] == [f"say {n}" for n in reversed(range(40))]
    oldest_first = list(client.conversations.items.list(session_id, limit=40, order="asc"))
    assert oldest_first == newest_first[::-1]
    one = newest_first[3]
    assert client.conversations.items.retrieve(one.id, conversation_id=session_id) == one
    assert client.conversations.items.delete(one.id, conversation_id=session_id).id == session_id
    with pytest.raises(openai.NotFoundError):
        client.conversations.items.retrieve(one.id, conversation_id=session_id)
    with pytest.raises(openai.BadRequestError):
        client.conversations.items.create(session_id, items=[user("too many")] * 21)


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert "demo" in [model.id for model in client.models.list()]


def test_concurrent_first_messages_share_one_conversation(client: openai.OpenAI, session_id: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        replies = list(pool.map(lambda n: ask(client, session_id, f"message {n}"), range(6)))
    assert {reply.conversation.id for reply in replies} == {session_id}
    items: Any = list(client.conversations.items.list(session_id, order="asc"))
    assert [item.role for item in items] == ["user", "assistant"] * 6


def test_the_async_client_does_the_same(gateway: GatewayProcess, session_id: str) -> None:
    async def talk() -> None:
        async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none") as client:
            first = await client.responses.create(model="demo", input="I like tea", conversation=session_id)
            assert first.conversation is not None
            assert first.conversation.id == session_id
            stream = await client.responses.create(
                model="demo", input="What do I like?", conversation=session_id, stream=True
            )
            events = [event async for event in stream]
            assert events[-1].type == "response.completed"
            assert "I like tea" in events[-1].response.output_text
            roles = [item.role async for item in client.conversations.items.list(session_id, limit=1, order="asc")]
            assert roles == ["user", "assistant", "user", "assistant"]

    asyncio.run(talk())


def test_errors_are_the_sdks_own(client: openai.OpenAI, session_id: str) -> None:
    with pytest.raises(openai.BadRequestError) as raw_id:
        ask(client, "conv_" + 48 * "a", "Hello")
    assert (raw_id.value.code, raw_id.value.param) == ("invalid_session_id", "conversation")
    with pytest.raises(openai.BadRequestError) as background:
        ask(client, session_id, "Hello", background=True)
    assert background.value.param == "background"
    with pytest.raises(openai.BadRequestError):
        ask(client, session_id, "Hello", previous_response_id="resp_1")
    with pytest.raises(openai.BadRequestError) as unstored:
        ask(client, session_id, "Hello", store=False, extra_headers={"Idempotency-Key": "k"})
    assert unstored.value.code == "idempotency_unsupported"
    with pytest.raises(openai.NotFoundError) as missing:
        client.conversations.retrieve(session_id)
    assert missing.value.code == "session_not_found"
    with pytest.raises(openai.NotFoundError):
        client.conversations.retrieve("never_seen")
