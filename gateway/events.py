"""The events of a turn, in their order: one Held, any number of Delta or StreamEvent, one Done. Errors are raised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.errors import UnreadableAnswerError
from gateway.model import JSON, Reply


@dataclass(frozen=True, slots=True)
class Held:
    """The turn is held and the mapping saved."""

    session_id: str
    conversation_id: str
    turn_id: str
    created: bool


@dataclass(frozen=True, slots=True)
class Delta:
    """Words of the reply, as they arrive."""

    text: str


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One server-sent event of a response: its type, and its JSON as it came."""

    type: str
    data: bytes

    def json(self) -> JSON:
        """What it says; `UnreadableAnswerError` when that is no JSON object."""
        try:
            decoded = orjson.loads(self.data)
        except orjson.JSONDecodeError as exc:
            raise UnreadableAnswerError() from exc
        if not isinstance(decoded, dict):
            raise UnreadableAnswerError()
        return decoded


@dataclass(frozen=True, slots=True)
class Done:
    """The turn is over and recorded. `response` is the provider's last, whole."""

    reply: Reply
    response: Mapping[str, Any]


TurnEvent = Held | Delta | StreamEvent | Done
