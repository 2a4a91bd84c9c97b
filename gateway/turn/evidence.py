"""What became of a turn that was cut off: looked up at the provider, never guessed.

A turn counts as answered only if its output is in the conversation, and as not run only if it surely is not and can
no longer get there. A response can be completed while its conversation stayed empty, so both are looked at.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum
from itertools import takewhile
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
    is_final: bool = True
    """Whether looking again later could tell nothing else."""


_NOT_YET = Verdict(Outcome.UNKNOWN, is_final=False)


def examine(
    provider: Provider,
    record: TurnRecord,
    response_id_before: Callable[[], str | None],
    *,
    over: bool,
    append_seconds: float = APPEND_SECONDS,
) -> Verdict:
    """What became of `record`. `response_id_before` tells the last response that the turns before it may have left in
    its conversation, None where that cannot be told; `over` says that the provider surely no longer works on it."""
    if record.conversation_id is None:
        return Verdict(Outcome.NOT_RUN)
    try:
        if record.response_id is not None:
            return _by_response(provider, record.conversation_id, record.response_id, over, append_seconds)
        known = set() if record.created or record.recovered else _items_of(provider, response_id_before())
        return _by_tail(provider, record.conversation_id, known, over)
    except ConversationGoneError:
        # With the conversation the turn is gone too, whether or not it was in it.
        return Verdict(Outcome.UNKNOWN)


def _by_response(
    provider: Provider, conversation_id: str, response_id: str, over: bool, append_seconds: float
) -> Verdict:
    try:
        response = provider.retrieve_response(response_id)
    except NotFoundError:
        return Verdict(Outcome.UNKNOWN) if over else _NOT_YET
    status = response.get("status")
    if status in ("queued", "in_progress"):
        return Verdict(Outcome.PENDING, is_final=False)
    if status not in ("completed", "incomplete"):
        return Verdict(Outcome.NOT_RUN)
    output = response.get("output") or []
    last_id = output[-1].get("id") if output else None
    if last_id is None:
        return Verdict(Outcome.UNKNOWN)
    deadline = time.monotonic() + append_seconds
    while not _has_item(provider, conversation_id, last_id):
        if time.monotonic() > deadline:
            return Verdict(Outcome.NOT_RUN) if append_seconds or over else _NOT_YET
        time.sleep(0.25)
    return Verdict(Outcome.ANSWERED, response)


def _by_tail(provider: Provider, conversation_id: str, known: set[str] | None, over: bool) -> Verdict:
    """Without a response's id: turns of a session run one at a time, so whatever came after the previous turn's
    output is this turn's, if it looks like one turn: what was said, then what was answered."""
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
    added.reverse()
    said = list(takewhile(_is_input, added))
    output = added[len(said) :]
    if not output and not over:
        return _NOT_YET
    if not output:
        return Verdict(Outcome.UNKNOWN if added else Outcome.NOT_RUN)
    if not said or any(map(_is_said, output)):
        # Somebody else's words are among them.
        return Verdict(Outcome.UNKNOWN)
    return Verdict(Outcome.ANSWERED, {"id": None, "status": "completed", "output": output})


def _is_said(item: JSON) -> bool:
    return item.get("role") in ("user", "system", "developer")


def _is_input(item: JSON) -> bool:
    return _is_said(item) or str(item.get("type")).endswith("_call_output")


def _items_of(provider: Provider, response_id: str | None) -> set[str] | None:
    """The output items of this response; None when they cannot be told."""
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
