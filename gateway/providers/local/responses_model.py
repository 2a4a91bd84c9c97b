"""A model behind `/v1/responses`, asked statelessly: the whole conversation as input, nothing stored there."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing

from gateway.providers.local.items import text_of
from gateway.providers.local.model_server import ServedModel, model_error
from gateway.providers.local.models import (
    Annotation,
    CallDelta,
    CallStarted,
    Finished,
    ModelRequest,
    Pieces,
    RefusalDelta,
    TextDelta,
    WholeItem,
)
from gateway.providers.local.wire import JSON, new_id

# What is ours alone: where the turn goes, and what is kept of it.
_OURS = {"conversation", "previous_response_id", "input", "store", "stream", "stream_options", "background", "metadata"}
_STREAMED = ("message", "function_call")


class ResponsesModel(ServedModel):
    """The client's own parameters are passed on as they are."""

    def start(self, request: ModelRequest) -> Pieces:
        body = {name: value for name, value in request.body.items() if name not in _OURS and value is not None}
        body.update(model=request.model, input=list(_input(request.items)), store=False, stream=True)
        return _pieces(self._server.stream("/responses", body))


def _input(items: Sequence[JSON]) -> Iterator[JSON]:
    """The items without what only our log knows: a server that stores nothing cannot know our ids."""
    for item in items:
        if item["type"] == "reasoning":
            # Empty reasoning says nothing to a server that does not have it stored.
            if item.get("encrypted_content") or item.get("content") or item["summary"]:
                yield item
        elif (item["type"], item.get("role")) == ("message", "assistant"):
            yield {"role": "assistant", "content": text_of(item)}
        else:
            yield {name: value for name, value in item.items() if name not in ("id", "status")}


def _pieces(events: Generator[JSON, None, None]) -> Pieces:
    with closing(events):
        for event in events:
            match event.get("type"):
                case "response.output_text.delta":
                    yield TextDelta(event["delta"])
                case "response.refusal.delta":
                    yield RefusalDelta(event["delta"])
                case "response.output_text.annotation.added":
                    yield Annotation(event["annotation"])
                case "response.output_item.added" if event["item"]["type"] == "function_call":
                    yield CallStarted(event["item"]["name"], event["item"].get("call_id") or new_id("call"))
                case "response.function_call_arguments.delta":
                    yield CallDelta(event["delta"])
                case "response.output_item.done" if event["item"]["type"] not in _STREAMED:
                    yield WholeItem({name: value for name, value in event["item"].items() if name != "id"})
                case "response.completed" | "response.incomplete":
                    yield _finished(event["response"])
                    return
                case "response.failed":
                    raise model_error(event["response"].get("error"))
                case "error":
                    raise model_error(event.get("error") or event)


def _finished(response: JSON) -> Finished:
    usage = response.get("usage") or {}
    return Finished(
        input_tokens=usage.get("input_tokens") or 0,
        output_tokens=usage.get("output_tokens") or 0,
        cached_tokens=(usage.get("input_tokens_details") or {}).get("cached_tokens") or 0,
        reasoning_tokens=(usage.get("output_tokens_details") or {}).get("reasoning_tokens") or 0,
        incomplete_reason=(response.get("incomplete_details") or {}).get("reason"),
        model=response.get("model"),
    )
