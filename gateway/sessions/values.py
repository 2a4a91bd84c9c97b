"""What goes in and out of a session store besides sessions and turn records."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from gateway.model import Session, Status, TurnRecord

KEY_LIFETIME_MS = 24 * 3600 * 1000
"""How long an idempotency key is remembered."""


class Standing(NamedTuple):
    """Where a ticket stands: how many live tickets are before it (none: it holds the session), and its fence.

    `found` is what the backend read of the session as it granted it, for its own `_found`; None: nothing yet.
    """

    before: int
    fence: int
    found: Any = None


GIVEN_LIFETIME_MS = 30 * 24 * 3600 * 1000
"""How long it is remembered whose a response is: as long as the provider surely keeps it."""


class ResponseOwner(NamedTuple):
    """Where a response came from: a session, its conversation then, and the workflow that asked for it; None of these
    outside of every session."""

    session_id: str | None
    conversation_id: str | None
    workflow: str | None


class KeyTakenError(Exception):
    """The idempotency key of an entering ticket belongs to another turn."""

    def __init__(self, record: TurnRecord) -> None:
        super().__init__(record)
        self.record = record


class Page(NamedTuple):
    """Sessions, newest use first, and the cursor of the next page (None: this was the last)."""

    sessions: list[Session]
    next: str | None


def edited(session: Session) -> tuple[object, ...]:
    """What a client may edit, for an edit to be compared by."""
    return session.data, session.metadata, session.status, session.user_id


@dataclass(frozen=True, slots=True)
class Filter:
    """Which sessions a listing shows. `tenant=None` means every tenant's."""

    tenant: str | None = None
    user_id: str | None = None
    status: Status | None = None
    prefix: str = ""
    used_before: int | None = None


@dataclass(frozen=True, slots=True)
class Erasure:
    """A conversation that is to be erased at the provider. `whole`: its session goes with it."""

    tenant: str
    session_id: str
    conversation_id: str
    requested_at: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a session lives: `idle_seconds` after its last turn (None: the store's own default, infinity: for
    ever), and at most `age_seconds` in all."""

    idle_seconds: float | None = None
    age_seconds: float | None = None

    def expires_at(self, created_at: int, last_used: int) -> int | None:
        ends = []
        if self.idle_seconds is not None and not math.isinf(self.idle_seconds):
            ends.append(last_used + round(self.idle_seconds * 1000))
        if self.age_seconds is not None and not math.isinf(self.age_seconds):
            ends.append(created_at + round(self.age_seconds * 1000))
        return min(ends, default=None)
