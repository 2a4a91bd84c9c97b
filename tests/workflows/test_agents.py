"""An agent of the OpenAI Agents SDK as a workflow."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from agents import (
    Agent,
    GuardrailFunctionOutput,
    ModelRetrySettings,
    ModelSettings,
    RunContextWrapper,
    StopAtTools,
    function_tool,
    handoff,
    input_guardrail,
    retry_policies,
)
from pydantic import BaseModel

from gateway.errors import (
    ConversationGoneError,
    IdempotencyUnsupportedError,
    InvalidRequestError,
    ProviderError,
    ProviderRejectedError,
)
from gateway.events import Delta, Held
from gateway.model import TurnState
from gateway.providers.local.models import CallDelta, CallStarted, Finished, Piece, RefusalDelta, TextDelta
from gateway.providers.openai import OpenAIProvider
from gateway.workflows.agents import AgentWorkflow
from gateway.workflows.base import WorkflowTurn
from tests.harness.upstream import UpstreamProcess
from tests.workflows.conftest import Bench, Hold

MakeBench = Callable[..., Bench]


@function_tool
def weather(city: str) -> str:
    """Tells the weather."""
    return f"sun in {city}"


@function_tool
def remember(context: RunContextWrapper[WorkflowTurn], word: str) -> str:
    """Keeps a word in the session."""
    context.context.data["word"] = word
    return f"kept for {context.context.session_id}"


@function_tool(failure_error_function=None)
def broken() -> str:
    """Fails."""
    raise OSError("secret address 10.0.0.7")


def call(name: str, arguments: str = "{}", call_id: str = "call_1") -> list[Piece]:
    return [CallStarted(name, call_id), CallDelta(arguments)]


def test_a_plain_agent_speaks_in_the_sessions_conversation(make_bench: MakeBench) -> None:
    bench = make_bench(AgentWorkflow(Agent(name="A", instructions="Be kind.")))
    bench.say("My cat is called Minka.")
    reply = bench.say("What is my cat called?")
    assert "Minka" in reply.output_text
    assert reply.status == "completed"
    assert bench.kinds() == ["user", "assistant"] * 2


def test_a_function_tool_runs_here(make_bench: MakeBench) -> None:
    bench = make_bench(AgentWorkflow(Agent(name="A", tools=[weather])))
    words, reply = bench.hear('please call weather {"city": "Rome"}')
    assert '"sun in Rome"' in reply.output_text
    assert "".join(words) == reply.output_text
    assert (reply.status, reply.pending_calls) == ("completed", [])
    assert bench.kinds() == ["user", "function_call", "function_call_output", "assistant"]


def test_several_tools_at_once_and_one_after_another(make_bench: MakeBench) -> None:
    bench = make_bench(AgentWorkflow(Agent(name="A", tools=[weather])))
    bench.script(
        [*call("weather", '{"city": "Rome"}', "call_1"), *call("weather", '{"city": "Oslo"}', "call_2")],
        call("weather", '{"city": "Bonn"}', "call_3"),
        [TextDelta("Sun everywhere.")],
    )
    reply = bench.say("How is it?")
    assert reply.output_text == "Sun everywhere."
    outputs = [item["output"] for item in bench.items() if item["type"] == "function_call_output"]
    assert outputs == ["sun in Rome", "sun in Oslo", "sun in Bonn"]
    assert reply.usage == {"input_tokens": 30, "output_tokens": 15, "total_tokens": 45}


def test_a_tool_finds_the_turn_in_its_context(make_bench: MakeBench) -> None:
    bench = make_bench(AgentWorkflow(Agent(name="A", tools=[remember])))
    assert '"kept for alice"' in bench.say('call remember {"word": "tulip"}').output_text
    assert bench.data() == {"word": "tulip"}


def test_a_handoff_answers_as_the_other_agent(make_bench: MakeBench) -> None:
    spanish = Agent(name="Spanish", instructions="Habla español.", model="other-model")
    bench = make_bench(AgentWorkflow(Agent(name="Front", model="front-model", handoffs=[spanish])))
    model = bench.script(call("transfer_to_spanish"), [TextDelta("¡Hola!")])
    reply = bench.say("Hola")
    assert (reply.output_text, reply.model) == ("¡Hola!", "other-model")
    assert [asked.model for asked in model.asked] == ["front-model", "other-model"]
    assert model.asked[1].body["instructions"] == "Habla español."
    assert bench.kinds() == ["user", "function_call", "function_call_output", "assistant"]


def test_words_arrive_before_the_end_also_when_a_tool_might_follow(make_bench: MakeBench) -> None:
    bench = make_bench(AgentWorkflow(Agent(name="A", tools=[weather])))
    hold = Hold()
    bench.script([TextDelta("first "), hold, TextDelta("second")])
    events = bench.stream("Go")
    assert isinstance(next(events), Held)
    assert next(events) == Delta("first ")
    hold.release()
    assert [event.text for event in events if isinstance(event, Delta)] == ["second"]


def test_the_agents_own_model_rules_and_else_that_of_the_settings(make_bench: MakeBench) -> None:
    bench = make_bench(
        {"own": AgentWorkflow(Agent(name="A", model="own-model")), "": AgentWorkflow(Agent(name="B"))},
        model="house-model",
        instructions="of the built-in workflow only",
    )
    model = bench.script([TextDelta("1")], [TextDelta("2")])
    bench.say("Hi", workflow="own")
    bench.say("Hi")
    assert [asked.model for asked in model.asked] == ["own-model", "house-model"]
    assert not any(asked.body.get("instructions") for asked in model.asked)
    # The SDK's default model has settings that another model may not know.
    assert not any(asked.body.get("reasoning") for asked in model.asked)


def test_the_agents_model_settings_reach_the_provider(make_bench: MakeBench) -> None:
    bench = make_bench(AgentWorkflow(Agent(name="A", model_settings=ModelSettings(temperature=0.25, max_tokens=77))))
    model = bench.script([TextDelta("1")])
    bench.say("Hi")
    assert (model.asked[0].body["temperature"], model.asked[0].body["max_output_tokens"]) == (0.25, 77)


def test_a_structured_answer_is_its_json(make_bench: MakeBench) -> None:
    class Person(BaseModel):
        name: str
        age: int

    bench = make_bench(AgentWorkflow(Agent(name="A", output_type=Person)))
    words, reply = bench.hear("Who?")
    Person.model_validate_json(reply.output_text)
    assert "".join(words) == reply.output_text


def test_a_structured_answer_that_does_not_fit_is_a_clean_error(make_bench: MakeBench) -> None:
    class Person(BaseModel):
        name: str

    bench = make_bench(AgentWorkflow(Agent(name="A", output_type=Person)))
    bench.script([TextDelta("no JSON")], [TextDelta('{"name": "Bo"}')])
    with pytest.raises(ProviderError, match="in a way that the agent cannot use"):
        bench.say("Who?")
    assert bench.say("Who?").output_text == '{"name": "Bo"}'


def test_a_refusal_is_an_answer(make_bench: MakeBench) -> None:
    class Person(BaseModel):
        name: str

    bench = make_bench(AgentWorkflow(Agent(name="A", output_type=Person)))
    bench.script([RefusalDelta("I will not.")])
    words, reply = bench.hear("Who?")
    assert ("".join(words), reply.status) == ("I will not.", "completed")


def test_an_answer_cut_short_is_incomplete_as_elsewhere(make_bench: MakeBench) -> None:
    bench = make_bench(AgentWorkflow(Agent(name="A")))
    bench.script([TextDelta("So much "), Finished(3, 2, incomplete_reason="max_output_tokens")], [TextDelta("Yes.")])
    reply = bench.say("Tell me all.")
    assert (reply.status, reply.output_text) == ("incomplete", "So much ")
    assert reply.incomplete_reason == "max_output_tokens"
    assert bench.say("Go on").output_text == "Yes."


# --- Replay ----------------------------------------------------------------------------------------------------


def test_a_replay_equals_the_first_reply(make_bench: MakeBench) -> None:
    ran: list[str] = []

    @function_tool
    def count() -> str:
        """Counts its calls."""
        ran.append("once")
        return str(len(ran))

    bench = make_bench(AgentWorkflow(Agent(name="A", tools=[count])))
    first = bench.say("call count {}", idempotency_key="k1")
    words, second = bench.hear("call count {}", idempotency_key="k1")
    assert second.replayed
    assert "".join(words) == second.output_text == first.output_text
    assert (second.response_id, second.turn_id, second.usage) == (first.response_id, first.turn_id, first.usage)
    assert ran == ["once"]


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_said_beside_a_call_is_heard_but_the_reply_is_the_last_word(
    make_bench: MakeBench, stream: bool
) -> None:
    bench = make_bench(AgentWorkflow(Agent(name="A", tools=[weather])))
    bench.script(
        [TextDelta("Let me look."), *call("weather", '{"city": "Rome"}')], [TextDelta("Sunny"), TextDelta("!")]
    )
    if stream:
        words, first = bench.hear("Rome?", idempotency_key="k1")
        assert words == ["Let me look.", "\n\nSunny", "!"]
    else:
        first = bench.say("Rome?", idempotency_key="k1")
    replayed = bench.say("Rome?", idempotency_key="k1")
    assert replayed.output_text == first.output_text == "Sunny!"


def test_where_a_tool_has_the_last_word_no_replay_is_promised(make_bench: MakeBench) -> None:
    agent = Agent(name="A", tools=[weather], tool_use_behavior="stop_on_first_tool")
    bench = make_bench(AgentWorkflow(agent))
    with pytest.raises(IdempotencyUnsupportedError):
        bench.say("Rome?", idempotency_key="k1")
    reply = bench.say('call weather {"city": "Rome"}')
    assert (reply.output_text, reply.status, reply.pending_calls) == ("sun in Rome", "completed", [])
    assert bench.kinds() == ["user", "function_call", "function_call_output"]
    assert bench.say("Thanks").status == "completed"


def test_replay_looks_at_every_agent_that_may_answer() -> None:
    stopper = Agent(name="S", tools=[weather], tool_use_behavior=StopAtTools(stop_at_tool_names=["weather"]))
    assert AgentWorkflow(Agent(name="A", handoffs=[Agent(name="B")])).replayable
    assert not AgentWorkflow(Agent(name="A", handoffs=[stopper])).replayable
    assert not AgentWorkflow(Agent(name="A", handoffs=[handoff(stopper)])).replayable
    circle = Agent(name="A", handoffs=[Agent(name="B")])
    circle.handoffs[0].handoffs.append(circle)
    assert AgentWorkflow(circle).replayable


# --- Failures, after which the conversation goes on -------------------------------------------------------------


def test_a_tool_that_fails_is_told_to_the_model(make_bench: MakeBench) -> None:
    @function_tool
    def shaky() -> str:
        """Fails."""
        raise ValueError("no luck")

    bench = make_bench(AgentWorkflow(Agent(name="A", tools=[shaky])))
    assert bench.say("call shaky {}").status == "completed"
    assert bench.kinds() == ["user", "function_call", "function_call_output", "assistant"]
    assert "error occurred" in bench.items()[2]["output"]


def test_a_tool_that_fails_the_run_leaves_the_conversation_usable(make_bench: MakeBench) -> None:
    bench = make_bench(AgentWorkflow(Agent(name="A", tools=[broken, weather])))
    bench.script([*call("broken"), *call("weather", '{"city": "Rome"}', "call_2")], [TextDelta("Never mind.")])
    with pytest.raises(ProviderError) as failed:
        bench.say("Go")
    assert "10.0.0.7" not in failed.value.message
    assert bench.last_turn().state is TurnState.FAILED
    assert bench.kinds() == ["user", *["function_call"] * 2, *["function_call_output"] * 2]
    assert {item["output"] for item in bench.items()[3:]} == {"The call was cancelled."}
    assert bench.say("Then?").output_text == "Never mind."


def test_an_agent_that_comes_to_no_end(make_bench: MakeBench) -> None:
    bench = make_bench(AgentWorkflow(Agent(name="A", tools=[weather])))
    rounds = [call("weather", '{"city": "Rome"}', f"call_{number}") for number in range(10)]
    bench.script(*rounds, [TextDelta("At last.")])
    with pytest.raises(ProviderError, match="as many steps"):
        bench.say("Go")
    assert bench.say("And?").output_text == "At last."


def test_a_tool_that_is_not_there(make_bench: MakeBench) -> None:
    bench = make_bench(AgentWorkflow(Agent(name="A", tools=[weather])))
    bench.script(call("nonsense"), [TextDelta("Sorry.")])
    with pytest.raises(ProviderError, match="in a way that the agent cannot use"):
        bench.say("Go")
    assert bench.say("And?").output_text == "Sorry."


def test_a_guardrail_that_runs_first_keeps_the_input_out(make_bench: MakeBench) -> None:
    @input_guardrail(run_in_parallel=False)
    def no_cats(context: Any, agent: Any, words: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(output_info=None, tripwire_triggered="cat" in str(words))

    bench = make_bench(AgentWorkflow(Agent(name="A", input_guardrails=[no_cats])))
    with pytest.raises(InvalidRequestError) as refused:
        bench.say("My cat")
    assert (refused.value.status, refused.value.code, refused.value.param) == (400, "invalid_request", "input")
    assert bench.items() == []
    assert bench.say("My dog").status == "completed"


def test_a_guardrail_beside_the_model_does_not_hang_up_on_it(make_bench: MakeBench) -> None:
    """Half a response at the provider would cost the conversation its next turn."""
    hold, tripped = Hold(), threading.Event()

    @input_guardrail
    async def slow(context: Any, agent: Any, words: Any) -> GuardrailFunctionOutput:
        loop = asyncio.get_running_loop()
        # When the verdict is there the model still speaks; it goes on only after the run was stopped.
        loop.call_later(0, lambda: loop.call_soon(hold.release))
        tripped.set()
        return GuardrailFunctionOutput(output_info=None, tripwire_triggered=True)

    agent = Agent(name="A", tools=[weather], input_guardrails=[slow])
    bench = make_bench(AgentWorkflow(agent))
    bench.script([TextDelta("Let me"), hold, *call("weather", '{"city": "Rome"}')], [TextDelta("Fine.")])
    with pytest.raises(InvalidRequestError):
        bench.say("Go")
    assert tripped.is_set()
    assert bench.kinds() == ["user", "assistant", "function_call", "function_call_output"]
    agent.input_guardrails.clear()
    assert bench.say("And?").output_text == "Fine."


def test_a_call_that_waits_for_approval_is_the_clients(make_bench: MakeBench) -> None:
    @function_tool(needs_approval=True)
    def wire_money(amount: int) -> str:
        """Sends money."""
        raise AssertionError("nobody approved")

    bench = make_bench(AgentWorkflow(Agent(name="A", tools=[wire_money, weather])))
    bench.script(
        [*call("wire_money", '{"amount": 5}'), *call("weather", '{"city": "Rome"}', "call_2")],
        [TextDelta("As you wish.")],
    )
    reply = bench.say("Pay")
    assert reply.status == "requires_action"
    assert [waiting["call_id"] for waiting in reply.pending_calls] == ["call_1"]
    answer = bench.say([{"type": "function_call_output", "call_id": "call_1", "output": "declined by the user"}])
    assert answer.output_text == "As you wish."
    assert bench.kinds() == ["user", *["function_call"] * 2, *["function_call_output"] * 2, "assistant"]


def test_an_agent_as_a_tool_stands_beside_the_conversation(make_bench: MakeBench) -> None:
    poet = Agent(name="Poet", instructions="Rhyme.")
    tool = poet.as_tool(tool_name="poet", tool_description="Writes poems.")
    bench = make_bench(AgentWorkflow(Agent(name="A", tools=[tool])))
    model = bench.script(call("poet", '{"input": "a rose"}'), [TextDelta("Rose, prose.")], [TextDelta("Here it is.")])
    reply = bench.say("A poem")
    assert reply.output_text == "Here it is."
    assert bench.items()[2]["output"] == "Rose, prose."
    assert len(bench.items()) == 4
    assert reply.usage == {"input_tokens": 30, "output_tokens": 15, "total_tokens": 45}
    assert model.asked[1].body.get("conversation") is None
    assert bench.last_turn().response_id == reply.response_id


# --- The provider's errors, and the hosted provider ----------------------------------------------------------------


def test_a_refusal_of_the_provider_comes_out_as_it_is(make_bench: MakeBench) -> None:
    agent = Agent(name="A", model_settings=ModelSettings(max_tokens=-1))
    bench = make_bench(AgentWorkflow(agent))
    with pytest.raises(ProviderRejectedError, match="max_output_tokens"):
        bench.say("Hi", idempotency_key="k1")
    agent.model_settings = ModelSettings()
    assert not bench.say("Hi", idempotency_key="k1").replayed  # it surely did not take place


def test_a_conversation_that_is_gone_is_restarted_when_asked(make_bench: MakeBench) -> None:
    bench = make_bench(AgentWorkflow(Agent(name="A")))
    gone = bench.say("Hi").conversation_id
    bench.provider.delete_conversation(gone)
    with pytest.raises(ConversationGoneError):
        bench.say("Hi again")
    reply = bench.say("Hi again", restart=True)
    assert (reply.recovered, reply.generation) == (True, 2)


@pytest.fixture
def upstream() -> Iterator[UpstreamProcess]:
    server = UpstreamProcess()
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture
def hosted(upstream: UpstreamProcess, make_bench: MakeBench) -> Callable[[Agent], Bench]:
    def make(agent: Agent) -> Bench:
        return make_bench(AgentWorkflow(agent), provider=OpenAIProvider(api_key="sk-test", base_url=upstream.url))

    return make


def test_the_hosted_provider_serves_agents_too(upstream: UpstreamProcess, hosted: Callable[[Agent], Bench]) -> None:
    bench = hosted(Agent(name="A", tools=[weather]))
    upstream.faults({"match": "POST /v1/responses", "times": 1, "fault": "locked"})
    words, reply = bench.hear('call weather {"city": "Rome"}')
    assert '"sun in Rome"' in "".join(words) == reply.output_text
    assert bench.kinds() == ["user", "function_call", "function_call_output", "assistant"]
    asked = [seen for seen in upstream.seen()["requests"] if seen["path"] == "/v1/responses"]
    assert [seen["status"] for seen in asked] == [400, 200, 200]  # the lock was waited out


def test_what_may_have_been_accepted_is_not_asked_for_again(
    upstream: UpstreamProcess, hosted: Callable[[Agent], Bench]
) -> None:
    eager = ModelSettings(retry=ModelRetrySettings(max_retries=3, policy=retry_policies.network_error()))
    bench = hosted(Agent(name="A", model_settings=eager))
    upstream.faults({"match": "POST /v1/responses", "times": 1, "fault": "hangup", "after": True})
    with pytest.raises(ProviderError) as failed:
        bench.say("Hi")
    assert failed.value.in_doubt
    asked = [seen for seen in upstream.seen()["requests"] if seen["path"] == "/v1/responses"]
    assert len(asked) == 1


def test_a_failure_between_two_responses_leaves_the_conversation_usable(
    upstream: UpstreamProcess, hosted: Callable[[Agent], Bench]
) -> None:
    @function_tool
    def trouble() -> str:
        """Makes the next response fail."""
        upstream.faults(
            {"match": "POST /v1/responses", "times": 1, "fault": "failed", "error": {"code": "server_error"}}
        )
        return "done"

    bench = hosted(Agent(name="A", tools=[trouble]))
    with pytest.raises(ProviderError):
        bench.say("call trouble {}")
    assert bench.kinds() == ["user", "function_call", "function_call_output"]
    assert bench.say("Hello?").status == "completed"


# --- Threads -------------------------------------------------------------------------------------------------------


def test_a_turn_that_nobody_reads_on_leaves_no_thread(make_bench: MakeBench) -> None:
    bench = make_bench(AgentWorkflow(Agent(name="A")))
    bench.say("Warm up", session_id="other")
    before = set(threading.enumerate())
    events = bench.stream("Hi")
    assert isinstance(next(events), Held)
    assert isinstance(next(events), Delta)
    events.close()
    assert set(threading.enumerate()) <= before


def test_turns_of_many_sessions_run_side_by_side(make_bench: MakeBench, tmp_path: Path) -> None:
    bench = make_bench(AgentWorkflow(Agent(name="A", tools=[weather])))
    replies: dict[str, str] = {}

    def one(name: str) -> None:
        replies[name] = bench.say(f'call weather {{"city": "{name}"}}', session_id=name).output_text

    threads = [threading.Thread(target=one, args=(f"city{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(f'"sun in {name}"' in text for name, text in replies.items())
    assert len(replies) == 8
