"""A model behind `/v1/chat/completions`: items become messages, and streamed deltas become pieces."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from typing import Any

from gateway.providers.local.chat_messages import chat_body
from gateway.providers.local.model_server import ServedModel, model_error
from gateway.providers.local.models import (
    CallDelta,
    CallStarted,
    Finished,
    ModelRequest,
    Piece,
    Pieces,
    RefusalDelta,
    TextDelta,
    WholeItem,
)
from gateway.providers.local.wire import JSON, new_id, server_error

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


class ChatModel(ServedModel):
    """Function tools only; a tool that the chat API does not have is refused."""

    def start(self, request: ModelRequest) -> Pieces:
        return _pieces(self._server.stream("/chat/completions", chat_body(request)))


class _Choice:
    """The one answer as its deltas come in."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self._reasoning: list[str] = []
        self._call: int | None = None

    def feed(self, choice: Mapping[str, Any]) -> Iterator[Piece]:
        delta = choice.get("delta") or {}
        if thought := delta.get("reasoning_content") or delta.get("reasoning"):
            self._reasoning.append(thought)
        calls = delta.get("tool_calls") or ()
        if delta.get("content") or delta.get("refusal") or calls:
            yield from self.reasoning()
        if delta.get("content"):
            yield TextDelta(delta["content"])
        if delta.get("refusal"):
            yield RefusalDelta(delta["refusal"])
        for call in calls:
            yield from self._feed_call(call)
        self.finish_reason = choice.get("finish_reason") or self.finish_reason

    def reasoning(self) -> Iterator[Piece]:
        """What was thought so far, in one piece, before what it led to."""
        if self._reasoning:
            thoughts = "".join(self._reasoning)
            self._reasoning.clear()
            content = [{"type": "reasoning_text", "text": thoughts}]
            yield WholeItem({"type": "reasoning", "summary": [], "content": content})

    def _feed_call(self, call: Mapping[str, Any]) -> Iterator[Piece]:
        function = call.get("function") or {}
        index = call.get("index") or 0
        if self._call is None or index > self._call:
            self._call = index
            yield CallStarted(function.get("name") or "", call.get("id") or new_id("call"))
        elif index < self._call:
            raise server_error("The model server mixed up its tool calls.")
        if function.get("arguments"):
            yield CallDelta(function["arguments"])


def _pieces(events: Generator[JSON, None, None]) -> Pieces:
    choice = _Choice()
    usage: Mapping[str, Any] = {}
    model: str | None = None
    with closing(events):
        for event in events:
            if event.get("error"):
                raise model_error(event["error"])
            model = event.get("model") or model
            usage = event.get("usage") or usage
            for one in event.get("choices") or ():
                yield from choice.feed(one)
    yield from choice.reasoning()
    if choice.finish_reason is None:
        raise server_error("The model server broke off its answer.")
    yield Finished(
        input_tokens=usage.get("prompt_tokens") or 0,
        output_tokens=usage.get("completion_tokens") or 0,
        cached_tokens=(usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0,
        reasoning_tokens=(usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0,
        incomplete_reason=_INCOMPLETE.get(choice.finish_reason),
        model=model,
    )
