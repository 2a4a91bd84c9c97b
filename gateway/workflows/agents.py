"""An agent of the OpenAI Agents SDK as a workflow: it runs in this turn's conversation, its tools in this process.

The SDK speaks to an HTTP client whose requests never leave the process: a transport of ours answers them out of
`turn.conversation`. So the agent is served by whichever provider the gateway has, with the turn's patience, and
every error of the provider is ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

import httpx2
import orjson
from openai import AsyncOpenAI

from gateway.errors import ConfigurationError, GatewayError, InvalidRequestError, ProviderError
from gateway.workflows.agents_transport import ConversationTransport
from gateway.workflows.base import Workflow, WorkflowTurn
from gateway.workflows.function import iterate

try:
    from agents import (
        Agent,
        Handoff,
        InputGuardrailTripwireTriggered,
        MaxTurnsExceeded,
        ModelBehaviorError,
        ModelProvider,
        ModelRefusalError,
        ModelRetryAdvice,
        ModelSettings,
        OpenAIResponsesModel,
        RunConfig,
        Runner,
        RunResultStreaming,
        ToolInputGuardrailTripwireTriggered,
        ToolOutputGuardrailTripwireTriggered,
    )
    from agents.models import get_default_model_settings
except ModuleNotFoundError as exc:
    raise ConfigurationError("An agent needs the OpenAI Agents SDK: install conversation-gateway[agents].") from exc


class AgentWorkflow(Workflow):
    """Runs the agent, and whomever it hands off to, until its answer; a tool finds the turn in its context.

    The words of every response are yielded as they come, an empty line between two that speak; the reply is what the
    last one says. Where the last word is a tool's (`tool_use_behavior`) no response yields it: no replay is promised.
    """

    def __init__(self, agent: Agent[Any]) -> None:
        team, known = _team(agent)
        for member in team:
            if member.output_guardrails:
                raise ConfigurationError(
                    f"agent {member.name!r} has output guardrails, and what they refuse "
                    "could not be taken out of a hosted conversation again"
                )
            if member.model is not None and not isinstance(member.model, str):
                raise ConfigurationError(
                    f"the model of agent {member.name!r} has to be a name: the gateway's provider answers"
                )
        self._agent = agent
        self.replayable = known and all(member.tool_use_behavior == "run_llm_again" for member in team)

    def run(self, turn: WorkflowTurn) -> Iterator[str]:
        run = _Run(self._agent, turn)
        try:
            yield from iterate(run.words())
            yield from run.conclude()
            turn.seal()
        except Exception as exc:
            failure = _translated(exc)
            turn.conversation.leave_usable(failure)
            if failure is exc:
                raise
            raise failure from exc
        finally:
            turn.conversation.forget_asides()


def _team(agent: Agent[Any]) -> tuple[list[Agent[Any]], bool]:
    """The agent and all whom it can reach by handoffs; whether these are all of them."""
    team, known = [agent], True
    for member in team:
        for handoff in member.handoffs:
            # An agent that is handed to by `handoff(agent)` is known to the handoff; one found at run time is not.
            reference = getattr(handoff, "_agent_ref", None) if isinstance(handoff, Handoff) else None
            other = reference() if reference is not None else handoff
            if not isinstance(other, Agent):
                known = False
            elif other not in team:
                team.append(other)
    return team, known


class _Run:
    """One run of an agent in one turn."""

    def __init__(self, agent: Agent[Any], turn: WorkflowTurn) -> None:
        self._agent = agent
        self._turn = turn
        self._conversation = turn.conversation
        self._result: RunResultStreaming | None = None

    async def words(self) -> AsyncGenerator[str, None]:
        transport = ConversationTransport(self._conversation)
        client = AsyncOpenAI(
            api_key="none",
            base_url="http://gateway.internal/v1",
            max_retries=0,
            http_client=httpx2.AsyncClient(transport=transport, trust_env=False),
        )
        turn = self._turn
        try:
            self._result = Runner.run_streamed(
                self._agent,
                turn.input,  # type: ignore[arg-type]
                context=turn,
                conversation_id=turn.conversation_id,
                run_config=RunConfig(model_provider=_Models(client, turn.model), tracing_disabled=True),
            )
            spoken = interrupted = False
            async for event in self._result.stream_events():
                if event.type != "raw_response_event":
                    continue
                if event.data.type == "response.created":
                    interrupted = spoken
                elif event.data.type in ("response.output_text.delta", "response.refusal.delta"):
                    yield f"\n\n{event.data.delta}" if interrupted else event.data.delta
                    spoken, interrupted = True, False
        except (asyncio.CancelledError, GeneratorExit):
            # Nobody will take the answer: this is the one case in which the provider is hung up on.
            transport.hang_up()
            raise
        except ModelRefusalError:
            # A refusal is an answer as well, and was streamed as one.
            await transport.settled()
        except ModelBehaviorError:
            await transport.settled()
            # So is one that was cut short; the SDK knows it only as a failure.
            if (self._conversation.response or {}).get("status") != "incomplete":
                raise
        except Exception:
            await transport.settled()
            raise
        else:
            await transport.settled()

    def conclude(self) -> Iterator[str]:
        """Gives the conversation what the run kept to itself: outputs that no response was asked about any more."""
        conversation, result = self._conversation, self._result
        if not conversation.open_calls or result is None:
            return
        open_ids = {call["call_id"] for call in conversation.open_calls}
        outputs = [item.to_input_item() for item in result.new_items if item.type == "tool_call_output_item"]
        conversation.answer_calls([dict(output) for output in outputs if output.get("call_id") in open_ids])
        if result.interruptions:
            # Calls that wait for an approval are the client's to answer.
            return
        conversation.cancel_calls()
        if isinstance(result.final_output, str):
            yield result.final_output
        elif result.final_output is not None:
            yield orjson.dumps(result.final_output, default=_plain).decode()


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else str(value)


def _translated(exc: Exception) -> Exception:
    """What became of the run in words of ours. None of them quotes the SDK, which may quote the conversation."""
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, GatewayError):
            return cause
        cause = cause.__cause__
    if isinstance(exc, InputGuardrailTripwireTriggered):
        return InvalidRequestError("A guardrail of this workflow refused the input.", param="input")
    if isinstance(exc, ToolInputGuardrailTripwireTriggered | ToolOutputGuardrailTripwireTriggered):
        return ProviderError("A guardrail of this workflow stopped a tool.")
    if isinstance(exc, MaxTurnsExceeded):
        return ProviderError("The agent did not come to an answer in as many steps as it may take.")
    if isinstance(exc, ModelBehaviorError):
        return ProviderError("The model answered in a way that the agent cannot use.")
    return exc


# --- The SDK's side: models by name, over a client that goes nowhere ---------------------------------------


class _Models(ModelProvider):
    """The gateway's provider under every model's name; an agent that names none has the settings' model."""

    def __init__(self, client: AsyncOpenAI, default: str) -> None:
        self._client = client
        self._default = default

    def get_model(self, model_name: str | None) -> OpenAIResponsesModel:
        if model_name is None:
            return _DefaultModel(self._default, self._client, model_is_explicit=False)
        return _Model(model_name, self._client)


class _Model(OpenAIResponsesModel):
    def get_retry_advice(self, request: Any) -> ModelRetryAdvice:
        """What may be tried again the conversation has tried: its patience knows what surely did not happen."""
        return ModelRetryAdvice(suggested=False, replay_safety="unsafe")


class _DefaultModel(_Model):
    """The SDK gives an agent without a model the settings of its own default model; they may not fit ours."""

    def stream_response(
        self,
        system_instructions: str | None,
        input: Any,
        model_settings: ModelSettings,
        *args: Any,
        **kwargs: Any,
    ) -> AsyncIterator[Any]:
        return super().stream_response(system_instructions, input, self._fitting(model_settings), *args, **kwargs)

    async def get_response(
        self,
        system_instructions: str | None,
        input: Any,
        model_settings: ModelSettings,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        return await super().get_response(system_instructions, input, self._fitting(model_settings), *args, **kwargs)

    def _fitting(self, given: ModelSettings) -> ModelSettings:
        return get_default_model_settings(str(self.model)) if given == get_default_model_settings() else given
