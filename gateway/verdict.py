"""What became of a turn that was cut off: looked up at the provider, never guessed.

A turn counts as answered only if its output is in the conversation, and as not run only if it surely is not and can
no longer get there. A response can be completed while its conversation stayed empty, so both are looked at.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from gateway.errors import ConversationGoneError, NotFoundError
from gateway.model import JSON, TurnRecord
from gateway.providers.base import Provider, all_items

APPEND_SECONDS = 3.0
"""How long the items of a completed response may take to appear in its conversation."""


class Outcome(Enum):
    ANSWERED = "answered"
    NOT_RUN = "not_run"
    PENDING = "pending"
    UNKNOWN = "unknown"


class Verdict(NamedTuple):
    outcome: Outcome
    response: JSON | None = None


def examine(
    provider: Provider, record: TurnRecord, previous_response_ids: Iterator[str], *, silent_seconds: float, now: int
) -> Verdict:
    """What became of `record`. `previous_response_ids` are those of the turns before it in its conversation, newest
    first; `silent_seconds` after its start the provider surely no longer works on it."""
    if record.conversation_id is None:
        return Verdict(Outcome.NOT_RUN)
    try:
        if record.response_id is not None:
            return _by_response(provider, record.conversation_id, record.response_id)
        over = now - (record.started_at or 0) > silent_seconds * 1000
        known = _known_items(provider, previous_response_ids, first=record.created or record.recovered)
        return _by_tail(provider, record.conversation_id, known, over)
    except ConversationGoneError:
        # With the conversation the turn is gone too, whether or not it was in it.
        return Verdict(Outcome.UNKNOWN)


def _by_response(provider: Provider, conversation_id: str, response_id: str) -> Verdict:
    try:
        response = provider.retrieve_response(response_id)
    except NotFoundError:
        return Verdict(Outcome.UNKNOWN)
    status = response.get("status")
    if status in ("queued", "in_progress"):
        return Verdict(Outcome.PENDING)
    if status not in ("completed", "incomplete"):
        return Verdict(Outcome.NOT_RUN)
    output = response.get("output") or []
    if not output:
        return Verdict(Outcome.UNKNOWN)
    deadline = time.monotonic() + APPEND_SECONDS
    while not _has_item(provider, conversation_id, output[-1]["id"]):
        if time.monotonic() > deadline:
            return Verdict(Outcome.NOT_RUN)
        time.sleep(0.25)
    return Verdict(Outcome.ANSWERED, response)


def _by_tail(provider: Provider, conversation_id: str, known: set[str] | None, over: bool) -> Verdict:
    """Without a response's id: turns of a session run one at a time, so whatever came after the previous turn's
    output is this turn's."""
    if known is None:
        return Verdict(Outcome.UNKNOWN)
    added = []
    for item in all_items(provider, conversation_id, order="desc"):
        if item["id"] in known:
            break
        added.append(item)
    else:
        if known:
            # The previous output was removed by hand: there is nothing to compare with.
            return Verdict(Outcome.UNKNOWN)
    output = [item for item in reversed(added) if item.get("role") not in ("user", "system", "developer")]
    if not output:
        return Verdict(Outcome.NOT_RUN if over and not added else Outcome.UNKNOWN)
    return Verdict(Outcome.ANSWERED, {"id": None, "status": "completed", "output": output})


def _known_items(provider: Provider, previous_response_ids: Iterator[str], *, first: bool) -> set[str] | None:
    """The output items of the turn before; empty for the first turn of a conversation, None when that can't be told."""
    if first:
        return set()
    response_id = next(previous_response_ids, None)
    if response_id is None:
        return None
    try:
        return {item["id"] for item in provider.retrieve_response(response_id).get("output") or ()} or None
    except NotFoundError:
        return None


def _has_item(provider: Provider, conversation_id: str, item_id: str) -> bool:
    try:
        provider.retrieve_item(conversation_id, item_id)
    except ConversationGoneError:
        raise
    except NotFoundError:
        return False
    return True
