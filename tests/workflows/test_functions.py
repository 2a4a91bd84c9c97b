"""A callable of the user's own as a workflow."""

import asyncio
import datetime as dt
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from gateway.errors import IdempotencyUnsupportedError, ProviderError, ProviderRejectedError, ToolOutputMissingError
from gateway.events import Delta, Held
from gateway.model import SessionKey, TurnState
from gateway.providers.local.models import CallDelta, CallStarted, TextDelta
from gateway.workflows.base import WorkflowTurn
from gateway.workflows.function import FunctionWorkflow
from tests.workflows.conftest import Bench, Hold

MakeBench = Callable[..., Bench]
TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}, "strict": False}
CALL = [CallStarted("weather", "call_1"), CallDelta("{}")]


def plain(turn: WorkflowTurn) -> Any:
    return f"Hello {turn.input}"


def answer(turn: WorkflowTurn) -> Any:
    return turn.respond()


def generator(turn: WorkflowTurn) -> Any:
    yield "Hello "
    yield from turn.respond()


def generator_of_answers(turn: WorkflowTurn) -> Any:
    yield turn.respond()


async def coroutine(turn: WorkflowTurn) -> Any:
    await asyncio.sleep(0)
    return f"Hello {turn.input}"


async def coroutine_of_an_answer(turn: WorkflowTurn) -> Any:
    await asyncio.sleep(0)
    return turn.respond()


async def coroutine_of_an_async_generator(turn: WorkflowTurn) -> Any:
    return async_generator(turn)


async def async_generator(turn: WorkflowTurn) -> Any:
    yield "Hello "
    for words in turn.respond():
        yield words


class AsyncIterableOnly:
    """Has no `__anext__` of its own, as the streams of many libraries."""

    def __init__(self, turn: WorkflowTurn) -> None:
        self._turn = turn

    async def __aiter__(self) -> AsyncIterator[str]:
        yield "Hello "
        yield str(self._turn.input)


DEMO = 'You said: "Bob".'


@pytest.mark.parametrize(
    ("function", "begins"),
    [
        (plain, "Hello Bob"),
        (answer, DEMO),
        (generator, f"Hello {DEMO}"),
        (generator_of_answers, DEMO),
        (coroutine, "Hello Bob"),
        (coroutine_of_an_answer, DEMO),
        (coroutine_of_an_async_generator, f"Hello {DEMO}"),
        (async_generator, f"Hello {DEMO}"),
        (AsyncIterableOnly, "Hello Bob"),
        (lambda turn: turn.respond().output_text, DEMO),
        (lambda turn: None, ""),
    ],
)
def test_every_shape_of_callable_answers(make_bench: MakeBench, function: Any, begins: str) -> None:
    bench = make_bench(FunctionWorkflow(function))
    words, streamed = bench.hear("Bob", session_id="streamed")
    assert "".join(words) == streamed.output_text
    assert streamed.output_text.startswith(begins)
    assert bench.say("Bob").output_text == streamed.output_text


@pytest.mark.parametrize("function", [answer, generator_of_answers, async_generator, coroutine_of_an_answer])
def test_words_arrive_before_the_end(make_bench: MakeBench, function: Any) -> None:
    bench = make_bench(FunctionWorkflow(function))
    hold = Hold()
    bench.script([TextDelta("first "), hold, TextDelta("second")])
    events = bench.stream("Go")
    assert isinstance(next(events), Held)
    early = [next(events)]
    while early[-1] != Delta("first "):
        early.append(next(events))
    hold.release()
    assert Delta("second") in list(events)


def test_changes_of_data_are_saved_with_the_turn(make_bench: MakeBench) -> None:
    def count(turn: WorkflowTurn) -> str:
        turn.data["seen"] = turn.data.get("seen", 0) + 1
        turn.data.pop("drop", None)
        return f"{turn.user_id} came {turn.data['seen']} times"

    bench = make_bench(FunctionWorkflow(count))
    bench.say("Hi", user_id="alice", data={"drop": 1, "keep": [1]})
    assert bench.say("Hi").output_text == "alice came 2 times"
    assert bench.data() == {"seen": 2, "keep": [1]}


def test_a_turn_that_fails_saves_no_data(make_bench: MakeBench) -> None:
    def fail(turn: WorkflowTurn) -> str:
        turn.data["half"] = True
        raise ValueError("no")

    bench = make_bench(FunctionWorkflow(fail))
    with pytest.raises(ProviderError):
        bench.say("Hi")
    assert bench.data() == {}


@pytest.mark.parametrize("data", [{"when": dt.timedelta(1)}, {1: "one"}, ["a", "list"]])
def test_data_that_is_no_json_fails_the_turn(make_bench: MakeBench, data: Any) -> None:
    def spoil(turn: WorkflowTurn) -> str:
        turn.data = data
        return "fine"

    bench = make_bench(FunctionWorkflow(spoil))
    with pytest.raises(ProviderError, match="The workflow failed"):
        bench.say("Hi")
    assert bench.last_turn().state is TurnState.FAILED
    assert bench.data() == {}


def test_several_responses_of_a_turn_are_one_conversation_and_one_sum(make_bench: MakeBench) -> None:
    def twice(turn: WorkflowTurn) -> Any:
        draft = turn.respond(input="Draft it", instructions="Be brief.", model="small")
        return turn.respond(input=f"Improve: {draft.output_text}", model="large")

    bench = make_bench(FunctionWorkflow(twice))
    model = bench.script([TextDelta("A draft.")], [TextDelta("A poem.")])
    reply = bench.say("A poem")
    assert reply.output_text == "A poem."
    assert [(asked.model, asked.body.get("instructions")) for asked in model.asked] == [
        ("small", "Be brief."),
        ("large", None),
    ]
    assert reply.usage == {"input_tokens": 20, "output_tokens": 10, "total_tokens": 30}
    assert bench.kinds() == ["user", "assistant"] * 2


def test_an_answer_is_read_to_its_end_before_the_next_is_asked_for(make_bench: MakeBench) -> None:
    """The provider answers one request of a conversation at a time, and an answer must not be hung up on."""

    def interleaved(turn: WorkflowTurn) -> Iterator[str]:
        first, second = turn.respond(input="one"), turn.respond(input="two")
        for left, right in zip(first, second, strict=True):
            yield left + right
        assert first.response["id"] != second.response["id"]
        assert (first.output_text, second.output_text) == ("ab", "cd")

    bench = make_bench(FunctionWorkflow(interleaved))
    bench.script([TextDelta("a"), TextDelta("b")], [TextDelta("c"), TextDelta("d")])
    words, _ = bench.hear("Go")
    assert words == ["ac", "bd"]


def test_an_answer_that_the_workflow_leaves_half_heard_is_not_hung_up_on(make_bench: MakeBench) -> None:
    bench = make_bench(FunctionWorkflow(lambda turn: next(iter(turn.respond()))))
    bench.script([TextDelta("Yes"), TextDelta(", and much more.")], [TextDelta("Again")])
    _, reply = bench.hear("Well?")
    assert reply.output_text == "Yes"
    assert bench.items()[-1]["content"][0]["text"] == "Yes, and much more."
    assert bench.say("And now?").output_text == "Again"


def test_a_structured_answer(make_bench: MakeBench) -> None:
    schema = {
        "type": "object",
        "properties": {"age": {"type": "integer"}},
        "required": ["age"],
        "additionalProperties": False,
    }
    form = {"format": {"type": "json_schema", "name": "person", "schema": schema, "strict": True}}
    bench = make_bench(FunctionWorkflow(lambda turn: turn.respond(text=form)))
    assert "age" in bench.say("How old?").output_text


def test_a_tool_loop_of_its_own(make_bench: MakeBench) -> None:
    def loop(turn: WorkflowTurn) -> Any:
        first = turn.respond(tools=[TOOL])
        outputs = [
            {"type": "function_call_output", "call_id": item["call_id"], "output": "21 degrees"}
            for item in first.response["output"]
            if item["type"] == "function_call"
        ]
        return turn.respond(input=outputs, tools=[TOOL])

    bench = make_bench(FunctionWorkflow(loop))
    reply = bench.say("please call weather {}")
    assert (reply.status, reply.pending_calls) == ("completed", [])
    assert '"21 degrees"' in reply.output_text
    assert bench.kinds() == ["user", "function_call", "function_call_output", "assistant"]


def test_a_failing_tool_loop_leaves_the_conversation_usable(make_bench: MakeBench) -> None:
    def loop(turn: WorkflowTurn) -> Any:
        answer = turn.respond()
        if any(item["type"] == "function_call" for item in answer.response["output"]):
            raise OSError("the weather service is down at 10.0.0.7")
        return answer

    bench = make_bench(FunctionWorkflow(loop))
    bench.script(CALL, [TextDelta("Never mind.")])
    with pytest.raises(ProviderError) as failed:
        bench.say("How is Rome?")
    assert failed.value.message == "The workflow failed."
    assert bench.last_turn().state is TurnState.FAILED
    assert bench.kinds() == ["user", "function_call", "function_call_output"]
    assert bench.say("Then tell me a joke").output_text == "Never mind."


def test_a_call_that_a_workflow_hands_out_is_the_clients(make_bench: MakeBench) -> None:
    bench = make_bench(FunctionWorkflow(answer))
    bench.script(CALL)
    assert bench.say("How is Rome?").status == "requires_action"
    with pytest.raises(ToolOutputMissingError) as refused:
        bench.say("Well?")
    assert [call["call_id"] for call in refused.value.details["pending_calls"]] == ["call_1"]


def test_a_refusal_of_the_provider_comes_out_as_it_is_and_may_be_caught(make_bench: MakeBench) -> None:
    def careful(turn: WorkflowTurn) -> Any:
        answer = turn.respond(max_output_tokens=-1)
        if turn.input != "catch":
            return answer
        with pytest.raises(ProviderRejectedError):
            _ = answer.output_text
        with pytest.raises(ProviderRejectedError):  # it does not turn into an empty answer
            _ = answer.response
        return "caught"

    bench = make_bench(FunctionWorkflow(careful))
    with pytest.raises(ProviderRejectedError, match="max_output_tokens"):
        bench.say("Go")
    assert bench.say("catch").output_text == "caught"


@pytest.mark.parametrize("wrong", [5, b"bytes", {"text": "hello"}, [1], ["fine", None]])
def test_what_is_no_text_fails_the_turn(make_bench: MakeBench, wrong: Any) -> None:
    bench = make_bench(FunctionWorkflow(lambda turn: wrong))
    with pytest.raises(ProviderError, match="The workflow failed"):
        bench.say("Go")
    assert bench.last_turn().state is TurnState.FAILED


def test_an_async_generator_is_drawn_by_one_task_and_left_tidy(make_bench: MakeBench) -> None:
    seen: list[Any] = []

    async def workflow(turn: WorkflowTurn) -> AsyncIterator[str]:
        helper = asyncio.create_task(asyncio.Event().wait())
        async with asyncio.timeout(30):
            for word in ("a", "b"):
                seen.append(asyncio.current_task())
                yield word
        seen.append(helper)

    before = threading.active_count()
    words, _ = make_bench(FunctionWorkflow(workflow)).hear("Go")
    assert words == ["a", "b"]
    first, second, helper = seen
    assert first is second
    assert helper.cancelled()
    assert threading.active_count() <= before + 1  # the store's keeper may have begun


def test_a_workflow_that_cancels_itself_is_a_failed_turn(make_bench: MakeBench) -> None:
    async def workflow(turn: WorkflowTurn) -> str:
        raise asyncio.CancelledError

    bench = make_bench(FunctionWorkflow(workflow))
    with pytest.raises(ProviderError, match="The workflow failed"):
        bench.say("Go")
    assert bench.last_turn().state is TurnState.FAILED


def test_a_turn_that_nobody_reads_on_ends_its_workflow(make_bench: MakeBench) -> None:
    ended = threading.Event()

    async def workflow(turn: WorkflowTurn) -> AsyncIterator[str]:
        try:
            yield "one"
            yield "two"
        finally:
            ended.set()

    events = make_bench(FunctionWorkflow(workflow)).stream("Go")
    assert [next(events), next(events)][1] == Delta("one")
    events.close()
    assert ended.is_set()


def test_a_key_is_refused_before_anything_is_asked(make_bench: MakeBench) -> None:
    bench = make_bench(FunctionWorkflow(answer))
    with pytest.raises(IdempotencyUnsupportedError):
        bench.say("Hi", idempotency_key="k1")
    assert bench.gateway.sessions.get(SessionKey("", "alice")) is None
