"""The built-in workflow."""

from collections.abc import Callable, Iterator

import pytest

from gateway.errors import ProviderError, TurnLostError
from gateway.providers.local.models import CallDelta, CallStarted, Finished, TextDelta
from gateway.workflows.base import Workflow, WorkflowTurn
from gateway.workflows.builtin import RespondWorkflow
from tests.workflows.conftest import Bench

MakeBench = Callable[..., Bench]


def test_the_second_turn_knows_the_first(make_bench: MakeBench) -> None:
    bench = make_bench(RespondWorkflow())
    bench.say("My cat is called Minka.")
    assert "My cat is called Minka." in bench.say("What is my cat called?").output_text


def test_the_settings_are_what_the_provider_is_asked_with(make_bench: MakeBench) -> None:
    bench = make_bench(RespondWorkflow(), model="house-model", instructions="Speak like a butler.")
    model = bench.script([TextDelta("Very well.")])
    bench.say("Tea?")
    (asked,) = model.asked
    assert asked.model == "house-model"
    assert asked.body["instructions"] == "Speak like a butler."
    assert asked.body["truncation"] == "auto"


def test_streamed_and_plain_say_the_same(make_bench: MakeBench) -> None:
    bench = make_bench(RespondWorkflow())
    words, streamed = bench.hear("Hello", session_id="one")
    plain = bench.say("Hello", session_id="two")
    assert "".join(words) == streamed.output_text == plain.output_text
    assert len(words) > 1


def test_a_call_that_nobody_here_answers_is_the_clients(make_bench: MakeBench) -> None:
    bench = make_bench(RespondWorkflow())
    bench.script([CallStarted("weather", "call_1"), CallDelta('{"city": "Rome"}')], [TextDelta("Sunny.")])
    reply = bench.say("How is Rome?")
    assert reply.status == "requires_action"
    assert reply.pending_calls == [{"call_id": "call_1", "name": "weather", "arguments": '{"city": "Rome"}'}]
    answer = bench.say([{"type": "function_call_output", "call_id": "call_1", "output": "sun"}])
    assert (answer.status, answer.output_text) == ("completed", "Sunny.")


def test_an_answer_cut_short_says_why(make_bench: MakeBench) -> None:
    bench = make_bench(RespondWorkflow())
    bench.script([TextDelta("So much "), Finished(3, 2, incomplete_reason="max_output_tokens")])
    reply = bench.say("Tell me all.")
    assert (reply.status, reply.incomplete_reason, reply.output_text) == (
        "incomplete",
        "max_output_tokens",
        "So much ",
    )


class _HalfWay(Workflow):
    """Fails after its first response."""

    def run(self, turn: WorkflowTurn) -> Iterator[str]:
        yield from turn.respond()
        raise ProviderError()


def test_a_key_whose_turn_failed_half_way_is_not_run_again(make_bench: MakeBench) -> None:
    """Its first response is in the conversation: another run would put the message there twice."""
    bench = make_bench(_HalfWay())
    with pytest.raises(ProviderError):
        bench.say("hello", idempotency_key="k")
    with pytest.raises(TurnLostError):
        bench.say("hello", idempotency_key="k")
    assert bench.kinds() == ["user", "assistant"]
