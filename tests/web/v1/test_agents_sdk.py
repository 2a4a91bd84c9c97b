"""The OpenAI Agents SDK against /v1: its own session class, and runs that name a conversation."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from agents import Agent, OpenAIConversationsSession, RunConfig, Runner, function_tool, handoff
from agents.models.openai_responses import OpenAIResponsesModel

from tests.harness.gateways import GatewayProcess

QUIET = RunConfig(tracing_disabled=True)

Talk = Callable[[openai.AsyncOpenAI, OpenAIResponsesModel], Awaitable[None]]


@pytest.fixture
def run(gateway: GatewayProcess) -> Callable[[Talk], None]:
    """Runs what talks to the gateway, with a client and a model that do."""

    async def talk(what: Talk) -> None:
        async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none") as client:
            await what(client, OpenAIResponsesModel(model="demo", openai_client=client))

    return lambda what: asyncio.run(talk(what))


def test_its_session_keeps_its_history_here(run: Callable[[Talk], None], session_id: str) -> None:
    async def talk(client: openai.AsyncOpenAI, model: OpenAIResponsesModel) -> None:
        session = OpenAIConversationsSession(conversation_id=session_id, openai_client=client)
        assert await session.get_items() == []
        await session.add_items([{"role": "user", "content": f"say {number}"} for number in range(25)])
        said: Any = await session.get_items()
        assert [item["content"][0]["text"] for item in said] == [f"say {number}" for number in range(25)]
        assert await session.get_items(limit=3) == said[-3:]
        assert await session.pop_item() == said[-1]
        assert await session.get_items() == said[:-1]
        # Another instance, as another process would have it.
        again = OpenAIConversationsSession(conversation_id=session_id, openai_client=client)
        agent = Agent(name="agent", model=model)
        reply = await Runner.run(agent, "What did I say?", session=again, run_config=QUIET)
        assert "say 0" in reply.final_output
        assert len(await again.get_items()) == 26
        await session.clear_session()
        assert await OpenAIConversationsSession(conversation_id=session_id, openai_client=client).get_items() == []

    run(talk)


def test_a_session_without_a_name_gets_one(run: Callable[[Talk], None]) -> None:
    async def talk(client: openai.AsyncOpenAI, model: OpenAIResponsesModel) -> None:
        session = OpenAIConversationsSession(openai_client=client)
        agent = Agent(name="agent", model=model)
        await Runner.run(agent, "I like tea", session=session, run_config=QUIET)
        assert session.session_id.startswith("sess_")
        reply = await Runner.run(agent, "What do I like?", session=session, run_config=QUIET)
        assert "I like tea" in reply.final_output

    run(talk)


_ADD = """
import asyncio, sys, openai
from agents import OpenAIConversationsSession

async def main():
    async with openai.AsyncOpenAI(base_url=sys.argv[1], api_key="none") as client:
        session = OpenAIConversationsSession(conversation_id=sys.argv[2], openai_client=client)
        print("ready", flush=True)
        sys.stdin.readline()
        await session.add_items([{"role": "user", "content": f"{sys.argv[3]} {number}"} for number in range(5)])

asyncio.run(main())
"""


def test_two_processes_that_come_first_share_one_history(
    gateway: GatewayProcess, run: Callable[[Talk], None], session_id: str
) -> None:
    command = [sys.executable, "-c", _ADD, f"{gateway.url}/v1", session_id]
    folder = Path(__file__).parents[3]
    both = [
        subprocess.Popen([*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder)
        for name in ("ann", "bob")
    ]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in both:
        process.communicate(timeout=60)
        assert process.returncode == 0

    async def look(client: openai.AsyncOpenAI, model: OpenAIResponsesModel) -> None:
        session = OpenAIConversationsSession(conversation_id=session_id, openai_client=client)
        texts = [item["content"][0]["text"] for item in await session.get_items()]
        for name in ("ann", "bob"):
            assert [text for text in texts if text.startswith(name)] == [f"{name} {number}" for number in range(5)]
        assert len(texts) == 10

    run(look)


@function_tool
def weather(city: str) -> str:
    """Tells the weather."""
    return f"It is sunny in {city}"


async def _outcome(agent: Agent[Any], words: str, session_id: str, *, streamed: bool) -> Any:
    if not streamed:
        return await Runner.run(agent, words, conversation_id=session_id, run_config=QUIET)
    result = Runner.run_streamed(agent, words, conversation_id=session_id, run_config=QUIET)
    async for _ in result.stream_events():
        pass
    return result


@pytest.mark.parametrize("streamed", [False, True])
def test_runs_go_on_in_the_conversation_that_they_name(
    run: Callable[[Talk], None], session_id: str, streamed: bool
) -> None:
    async def talk(client: openai.AsyncOpenAI, model: OpenAIResponsesModel) -> None:
        agent = Agent(name="agent", model=model, tools=[weather])
        await _outcome(agent, "I like tea", session_id, streamed=streamed)
        told = await _outcome(agent, 'call weather {"city": "Bonn"}', session_id, streamed=streamed)
        assert "It is sunny in Bonn" in told.final_output
        reply = await _outcome(agent, "What do I like?", session_id, streamed=streamed)
        assert "I like tea" in reply.final_output
        items: Any = [item async for item in client.conversations.items.list(session_id, order="asc")]
        kinds = [item.type for item in items]
        call = ["message", "function_call", "function_call_output", "message"]
        assert kinds == ["message", "message", *call, "message", "message"]

    run(talk)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_handoff_stays_in_the_conversation(run: Callable[[Talk], None], session_id: str, streamed: bool) -> None:
    async def talk(client: openai.AsyncOpenAI, model: OpenAIResponsesModel) -> None:
        cook = Agent(name="Cook", model=model)
        waiter = Agent(name="Waiter", model=model, handoffs=[handoff(cook)])
        result = await _outcome(waiter, "Please call transfer_to_cook", session_id, streamed=streamed)
        assert result.last_agent is cook
        assert result.final_output
        items = [item async for item in client.conversations.items.list(session_id)]
        assert len(items) == 4

    run(talk)
