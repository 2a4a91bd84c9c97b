"""What a response says, and what it leaves open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.events import Done, TurnEvent
from gateway.model import JSON, Reply, TurnRecord, TurnState

_OUTPUT_OF = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}
"""The calls that are answered by the caller, and what answers them."""


def output_text(response: Mapping[str, Any]) -> str:
    """The words of a response: of its messages' texts and refusals, in order."""
    return "".join(
        str(part.get("text") or part.get("refusal") or "")
        for item in response.get("output") or ()
        if item.get("type") == "message"
        for part in item.get("content") or ()
    )


def pending_calls(items: list[JSON]) -> list[JSON]:
    """The function calls among these items that miss their output."""
    # What has no call_id nobody could answer.
    answered = {None, *(item.get("call_id") for item in items if str(item.get("type", "")).endswith("_call_output"))}
    return [
        {"call_id": item["call_id"], "name": item.get("name"), "arguments": item.get("arguments", item.get("input"))}
        for item in items
        if item.get("type") in _OUTPUT_OF and item.get("call_id") not in answered
    ]


def trim_usage(usage: object) -> JSON | None:
    """The three sums of a response's usage; None where it tells none."""
    if not isinstance(usage, dict) or not usage:
        return None
    sums = {name: usage.get(name) for name in ("input_tokens", "output_tokens", "total_tokens")}
    return {name: number if isinstance(number, int) else 0 for name, number in sums.items()}


def cancelled_outputs(items: list[JSON]) -> list[JSON]:
    """What answers the pending calls among these items when nobody else will: each kind of call has its own output."""
    kinds = {item.get("call_id"): item.get("type") for item in items if item.get("type") in _OUTPUT_OF}
    return [
        {
            "type": _OUTPUT_OF[str(kinds[call["call_id"]])],
            "call_id": call["call_id"],
            "output": "The call was cancelled.",
        }
        for call in pending_calls(items)
    ]


def reply_of(events: Iterable[TurnEvent]) -> Reply:
    """What a turn's events come to, for one who does not read along."""
    for event in events:
        if isinstance(event, Done):
            return event.reply
    raise RuntimeError("a turn ended without an end")


def end_of(response: Mapping[str, Any]) -> TurnState:
    """How a turn ended whose last response is this."""
    if response.get("status") == "incomplete":
        return TurnState.INCOMPLETE
    return TurnState.REQUIRES_ACTION if pending_calls(response.get("output") or []) else TurnState.COMPLETED


def encode_reply(record: TurnRecord, response: Mapping[str, Any], *, text: str, replayed: bool = False) -> Reply:
    return Reply(
        session_id=record.session_id,
        conversation_id=record.conversation_id or "",
        response_id=record.response_id,
        turn_id=record.turn_id,
        output_text=text,
        status=record.state.value,
        created=record.created,
        recovered=record.recovered,
        replayed=replayed,
        generation=record.generation or 1,
        model=response.get("model"),
        usage=trim_usage(record.usage or response.get("usage")),
        pending_calls=pending_calls(response.get("output") or []),
        incomplete_reason=(response.get("incomplete_details") or {}).get("reason"),
    )
