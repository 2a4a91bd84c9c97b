"""From the provider's last response to the reply that the client gets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.events import Done, TurnEvent
from gateway.model import Reply, TurnRecord, TurnState
from gateway.workflows.responses import pending_calls, trim_usage


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
