"""What was done and what was seen in a storm, as plain data: all that the checker looks at.

Times are of the machine's monotonic clock, which the processes of one host share.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

JSON = dict[str, Any]


class Outcome(Enum):
    """What a client knows after one request."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    """An error that says that the turn surely did not start."""
    UNKNOWN = "unknown"
    """Any other error, or none at all: the connection broke."""
    LEFT = "left"
    """It hung up of its own will."""


@dataclass
class Attempt:
    """One request of a client."""

    gateway: str
    begun: float
    ended: float
    outcome: Outcome
    status: int | None = None
    code: str | None = None
    reply: JSON | None = None


@dataclass
class Message:
    """Something that a client said once, in one attempt or several. Its token is found in no other message."""

    token: str
    client: str
    session_id: str
    key: str | None = None
    stream: bool = False
    turn_id: str | None = None
    """As the first event of a stream named it."""
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def text(self) -> str:
        return f"note {self.token}"

    @property
    def acknowledged(self) -> Attempt | None:
        return next((attempt for attempt in self.attempts if attempt.outcome is Outcome.ACKNOWLEDGED), None)

    @property
    def surely_refused(self) -> bool:
        return bool(self.attempts) and all(attempt.outcome is Outcome.REFUSED for attempt in self.attempts)


@dataclass(frozen=True)
class Asked:
    """One response that a gateway asked of the provider, as the provider saw it."""

    gateway: str
    conversation_id: str
    begun: float
    ended: float
    hung_up: bool = False
    """Whether gateway or provider dropped the connection before its end."""


@dataclass(frozen=True)
class Made:
    """One conversation, as the provider made it."""

    gateway: str
    conversation_id: str
    session_id: str
    generation: int
    at: float
    answered: bool = True
    """Whether the provider's answer went out, and was no fault."""


@dataclass(frozen=True)
class Disturbance:
    """What the nemesis did to a gateway (None: to all, or to the store)."""

    kind: str
    gateway: str | None
    begun: float
    ended: float


@dataclass(frozen=True)
class Item:
    """One item of a conversation, as the provider keeps it; `place` is its order in it."""

    place: int
    item_id: str
    role: str
    text: str


@dataclass(frozen=True)
class Record:
    """A turn as the gateway tells of it afterwards."""

    turn_id: str
    session_id: str
    state: str
    response_id: str | None


@dataclass
class History:
    """Everything about one storm."""

    messages: list[Message] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)
    disturbances: list[Disturbance] = field(default_factory=list)
    faults: int = 0
    """How many faults of the provider were ordered."""
    conversations: dict[str, list[Item]] = field(default_factory=dict)
    """What the provider has at the end, by conversation."""
    deleted: set[str] = field(default_factory=set)
    """The conversations that were there and are no longer."""
    sessions: dict[str, JSON] = field(default_factory=dict)
    """The directory at the end."""
    records: dict[str, Record] = field(default_factory=dict)
    logs: dict[str, list[str]] = field(default_factory=dict)
    """The lines of each gateway's log."""

    @cached_property
    def said(self) -> dict[str, list[tuple[str, Item]]]:
        """Where each text of a user stands in the provider's conversations."""
        places: dict[str, list[tuple[str, Item]]] = defaultdict(list)
        for conversation_id, items in self.conversations.items():
            for item in items:
                if item.role == "user":
                    places[item.text].append((conversation_id, item))
        return places
