"""The client's own word for its conversation, wherever the provider's would stand.

An answer is looked into only where it can name a conversation, and changed only where the name stands as one: what the
model or the user wrote is theirs, also if it is an id.
"""

from __future__ import annotations

import re
from typing import Any, cast

import orjson
from flask import g

from gateway.errors import GatewayError
from gateway.events import StreamEvent
from gateway.model import JSON

_MEMBERS = ("conversation", "conversation_id")
_RAW = re.compile(r"conv_[0-9A-Za-z]{16,}")


class Names:
    """One session's name for all the conversations that it has had."""

    def __init__(self, session_id: str | None, conversation_id: str | None = None) -> None:
        self.session_id = session_id
        self._conversation_ids: set[str] = set()
        if conversation_id is not None:
            self.learn(conversation_id)

    def learn(self, conversation_id: str) -> None:
        self._conversation_ids.add(conversation_id)

    def event(self, event: StreamEvent) -> bytes:
        """The event's data with the client's name in it: the very bytes where there is nothing to be named."""
        if self.session_id is None or not (b'"conversation"' in event.data or self._is_named(event.data)):
            return event.data
        told = event.json()
        named = self._renamed(told)
        if isinstance(response := named.get("response"), dict):
            named["response"] = self.response(response)
        if named.get("type") == "error" and isinstance(named.get("message"), str):
            named["message"] = self.text(named["message"])
        return event.data if named == told else orjson.dumps(named)

    def response(self, response: JSON) -> JSON:
        """The response object as the client knows its conversation."""
        if self.session_id is None:
            return response
        conversation = response.get("conversation")
        raw = conversation.get("id") if isinstance(conversation, dict) else conversation
        if isinstance(raw, str):
            self.learn(raw)
        if self._is_named(orjson.dumps({**response, "conversation": None})):
            response = self._renamed(response)
        if isinstance(error := response.get("error"), dict) and isinstance(error.get("message"), str):
            response = {**response, "error": {**error, "message": self.text(error["message"])}}
        return {**response, "conversation": {"id": self.session_id}}

    def text(self, text: str) -> str:
        """A message of the provider's."""
        for conversation_id in self._conversation_ids:
            text = text.replace(conversation_id, self.session_id or "")
        return text

    def _is_named(self, data: bytes) -> bool:
        return any(conversation_id.encode() in data for conversation_id in self._conversation_ids)

    def _renamed(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._renamed(part) for part in value]
        if not isinstance(value, dict):
            return value
        changed = {}
        for name, part in value.items():
            if name not in _MEMBERS:
                changed[name] = self._renamed(part)
            elif isinstance(part, dict):
                changed[name] = {**part, "id": self._word_for(part.get("id"))} if "id" in part else part
            else:
                changed[name] = self._word_for(part)
        return changed

    def _word_for(self, value: Any) -> Any:
        return self.session_id if isinstance(value, str) and value in self._conversation_ids else value


def speak_of(session_id: str | None, conversation_id: str | None = None) -> Names:
    """The names of this request: whatever error it ends with uses them too."""
    g.names = Names(session_id, conversation_id)
    return cast(Names, g.names)


def named_error(error: GatewayError) -> GatewayError:
    """The error without any id of the provider's conversations in its message."""
    if "names" in g:
        error.message = g.names.text(error.message)
    error.message = _RAW.sub("conv_…", error.message)
    return error
