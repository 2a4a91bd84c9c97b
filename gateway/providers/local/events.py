"""From the pieces of an answer to the events of its stream, and to the response that they add up to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from gateway.providers.base import StreamEvent
from gateway.providers.local.items import output_text, parse_output_item
from gateway.providers.local.models import (
    Annotation,
    CallDelta,
    CallStarted,
    Finished,
    Piece,
    RefusalDelta,
    TextDelta,
    WholeItem,
)
from gateway.providers.local.wire import JSON, WireError, new_id, server_error

# More cannot be added up, nor read by everybody who is told of it.
_MOST_TOKENS = 2**53


class EventWriter:
    """Writes one response: each method gives the next events, in the documented order, and keeps `response` current."""

    def __init__(self, response: JSON) -> None:
        self.response = response
        self._sequence = 0
        self._finished: Finished | None = None
        # The item that is open, its open part, and the words that it has so far.
        self._item: JSON | None = None
        self._part: JSON | None = None
        self._words: list[str] = []

    def opening(self) -> Iterator[StreamEvent]:
        yield self._event("response.created", response=self.response)
        yield self._event("response.in_progress", response=self.response)

    def feed(self, piece: Piece) -> Iterator[StreamEvent]:
        """Refuses a piece that is not what its type says, or that does not belong here."""
        match piece:
            case TextDelta(str(text)):
                yield from self._open_part("output_text")
                self._words.append(text)
                yield self._event("response.output_text.delta", **self._place(), delta=text, logprobs=[])
            case RefusalDelta(str(text)):
                yield from self._open_part("refusal")
                self._words.append(text)
                yield self._event("response.refusal.delta", **self._place(), delta=text)
            case Annotation(dict(annotation)):
                yield from self._open_part("output_text")
                yield from self._annotate(annotation)
            case CallStarted(str(name), str(call_id)) if name and call_id:
                yield from self._open_item(
                    {
                        "id": new_id("fc"),
                        "type": "function_call",
                        "status": "in_progress",
                        "arguments": "",
                        "call_id": call_id,
                        "name": name,
                    }
                )
            case CallDelta(str(arguments)) if self._item is not None and self._item["type"] == "function_call":
                self._words.append(arguments)
                yield self._event("response.function_call_arguments.delta", **self._item_place(), delta=arguments)
            case WholeItem(item):
                yield from self._open_item(parse_output_item(item))
                yield from self._close_item()
            case Finished() if _is_sound(piece):
                self._finished = piece
                yield from self._close_item()
            case _:
                raise server_error("The model's answer makes no sense.")

    def complete(self) -> StreamEvent:
        """The response is what the pieces made it; its last event."""
        finished = self._finished
        if finished is None:
            raise server_error("The model's answer broke off.")
        reason = finished.incomplete_reason
        self.response.update(
            status="incomplete" if reason else "completed",
            incomplete_details={"reason": reason} if reason else None,
            model=finished.model or self.response["model"],
            service_tier="default",
            usage={
                "input_tokens": finished.input_tokens,
                "input_tokens_details": {"cached_tokens": finished.cached_tokens},
                "output_tokens": finished.output_tokens,
                "output_tokens_details": {"reasoning_tokens": finished.reasoning_tokens},
                "total_tokens": finished.input_tokens + finished.output_tokens,
            },
        )
        return self._ending()

    def fail(self, error: WireError) -> StreamEvent:
        """The response failed, and has no output; its last event."""
        code = error.error["code"] or "server_error"
        self.response.update(
            status="failed", output=[], usage=None, error={"code": code, "message": error.error["message"]}
        )
        return self._ending()

    def cancel(self) -> None:
        """The caller hung up: the turn is lost."""
        self.response.update(status="cancelled", output=[], usage=None)

    def _ending(self) -> StreamEvent:
        # Another may take its place, and its number.
        return self._written(f"response.{self.response['status']}", response=self.response)

    # --- Items and parts -----------------------------------------------------------------------------------

    def _open_item(self, item: JSON) -> Iterator[StreamEvent]:
        yield from self._close_item()
        self._item = item
        yield self._event("response.output_item.added", output_index=self._index(), item=item)

    def _close_item(self) -> Iterator[StreamEvent]:
        item = self._item
        if item is None:
            return
        yield from self._close_part()
        if item["type"] == "function_call":
            item["arguments"] = "".join(self._words)
            yield self._event(
                "response.function_call_arguments.done", **self._item_place(), arguments=item["arguments"]
            )
        if item.get("status") == "in_progress":
            # Only the last item of an answer can have been cut off.
            cut_off = self._finished is not None and self._finished.incomplete_reason is not None
            item["status"] = "incomplete" if cut_off else "completed"
        yield self._event("response.output_item.done", output_index=self._index(), item=item)
        self.response["output"].append(item)
        self._item, self._words = None, []

    def _open_part(self, kind: str) -> Iterator[StreamEvent]:
        if self._item is None or self._item["type"] != "message":
            yield from self._open_item(
                {"id": new_id("msg"), "type": "message", "status": "in_progress", "content": [], "role": "assistant"}
            )
        if self._part is not None and self._part["type"] == kind:
            return
        yield from self._close_part()
        self._part = output_text("") if kind == "output_text" else {"type": kind, "refusal": ""}
        yield self._event("response.content_part.added", **self._place(), part=self._part)

    def _close_part(self) -> Iterator[StreamEvent]:
        part = self._part
        if part is None or self._item is None:
            return
        words = "".join(self._words)
        if part["type"] == "output_text":
            part["text"] = words
            yield self._event("response.output_text.done", **self._place(), text=words, logprobs=[])
        else:
            part["refusal"] = words
            yield self._event("response.refusal.done", **self._place(), refusal=words)
        yield self._event("response.content_part.done", **self._place(), part=part)
        self._item["content"].append(part)
        self._part, self._words = None, []

    def _annotate(self, annotation: JSON) -> Iterator[StreamEvent]:
        assert self._part is not None
        known = self._part["annotations"]
        known.append(annotation)
        yield self._event(
            "response.output_text.annotation.added",
            **self._place(),
            annotation_index=len(known) - 1,
            annotation=annotation,
        )

    # --- Events --------------------------------------------------------------------------------------------

    def _index(self) -> int:
        return len(self.response["output"])

    def _item_place(self) -> JSON:
        assert self._item is not None
        return {"item_id": self._item["id"], "output_index": self._index()}

    def _place(self) -> JSON:
        assert self._item is not None
        return {**self._item_place(), "content_index": len(self._item["content"])}

    def _event(self, event_type: str, **fields: Any) -> StreamEvent:
        event = self._written(event_type, **fields)
        self._sequence += 1
        return event

    def _written(self, event_type: str, **fields: Any) -> StreamEvent:
        return StreamEvent(event_type, orjson.dumps({"type": event_type, "sequence_number": self._sequence, **fields}))


def _is_sound(end: Finished) -> bool:
    counts = (end.input_tokens, end.output_tokens, end.cached_tokens, end.reasoning_tokens)
    names = (end.incomplete_reason, end.model)
    return all(isinstance(count, int) and 0 <= count <= _MOST_TOKENS for count in counts) and all(
        name is None or isinstance(name, str) for name in names
    )
