"""What goes in and out of a session store besides turn records."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.model import Session, SessionKey, Status, TurnRecord

DAY_MS = 24 * 3600 * 1000

CLAIM_MS = 60_000
"""How long whoever begins or takes an erasure has it to themselves."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long what is past is remembered. One rule for every store: whole until then, and then gone."""

    record_ms: int = 30 * DAY_MS
    """A turn's record, from when it entered the queue: an erasure deletes the stored responses by it."""
    key_ms: int = DAY_MS
    """An idempotency key, from when its turn entered the queue; whatever becomes of the session."""
    given_ms: int = 30 * DAY_MS
    """Whose an id of the provider's is: as long as the provider surely keeps a response."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a store is told when it is opened."""

    lease_seconds: float = 30.0
    erase_expired: bool = False
    """Whether the conversation of a session that expires is handed to the erasures."""
    retention: Retention = Retention()
    clock: Callable[[], float] | None = None
    """Stands in (epoch seconds) for the store's own clock in what concerns a session's lifetime."""

    def now(self, own: Callable[[], int]) -> int:
        """Epoch milliseconds by that clock, or else by the store's own."""
        return own() if self.clock is None else round(self.clock() * 1000)


class Binding(NamedTuple):
    """Which conversation a session is bound to, and for the how-manieth time."""

    conversation_id: str
    generation: int


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session as a store keeps it: what may be sealed is a text. Times are epoch milliseconds."""

    tenant: str
    session_id: str
    conversation_id: str
    created_at: int
    last_used: int
    expires_at: int | None
    status: Status
    user_id: str | None
    data: str
    metadata: str
    generation: int
    turns: int
    revision: int = field(default=0, compare=False)
    """Another one after each edit of data, metadata, status or user_id: an editor compares one number."""

    @property
    def key(self) -> SessionKey:
        return SessionKey(self.tenant, self.session_id)

    def is_over(self, now: int) -> bool:
        """Whether it has expired."""
        return self.expires_at is not None and self.expires_at <= now

    @property
    def binding(self) -> Binding:
        return Binding(self.conversation_id, self.generation)


class StoredPage(NamedTuple):
    """Sessions, newest use first, and the cursor of the next page (None: this was the last)."""

    sessions: list[StoredSession]
    next: str | None


class Page(NamedTuple):
    """The same, to be read."""

    sessions: list[Session]
    next: str | None


class Use(NamedTuple):
    """What a turn makes of its session when it ends."""

    key: SessionKey
    conversation_id: str
    last_used: int
    expires_at: int | None
    turns: int


class Standing(NamedTuple):
    """Where a ticket stands: how many live tickets are before it (none: it holds the session), and its fence.

    A back end may bring along what it read of the session as it granted it (`is_read`), and so save a round trip.
    """

    before: int
    fence: int
    is_read: bool = False
    session: StoredSession | None = None


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


@dataclass(frozen=True, slots=True)
class Filter:
    """Which sessions a listing shows. `tenant=None` means every tenant's."""

    tenant: str | None = None
    user_id: str | None = None
    status: Status | None = None
    prefix: str = ""
    used_before: int | None = None

    def passes(self, session: StoredSession) -> bool:
        return (
            self.tenant in (None, session.tenant)
            and self.user_id in (None, session.user_id)
            and self.status in (None, session.status)
            and session.session_id.startswith(self.prefix)
            and (self.used_before is None or session.last_used < self.used_before)
        )


@dataclass(frozen=True, slots=True)
class Erasure:
    """A conversation that is to be erased at the provider. `whole`: its session goes with it."""

    tenant: str
    session_id: str
    conversation_id: str
    requested_at: int
    whole: bool
    attempts: int = 0
    """How often it failed in a row."""
    not_before: int = 0
    """When it may be tried (again); until then somebody is at it, or it failed a moment ago."""

    @property
    def key(self) -> SessionKey:
        return SessionKey(self.tenant, self.session_id)


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
