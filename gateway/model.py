"""The words of the house as frozen values: sessions, turns, replies. Checked when made, trusted afterwards."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

import orjson

from gateway.errors import InvalidSessionIdError, StoreUnavailableError

JSON = dict[str, Any]

SESSION_ID = r"^(?!conv_)(?!\.{1,2}$)[A-Za-z0-9._~:@+=,|-]{1,200}$(?!\n)"
"""A session id, as Python and JSON Schema both read it; to Python `$` is also before a last line feed."""

_SESSION_ID = re.compile(SESSION_ID)


class SessionKey(NamedTuple):
    """What names a session: the tenant of its principal (empty without auth), and the client's own word."""

    tenant: str
    session_id: str


def parse_session_id(value: object, *, param: str = "session_id") -> str:
    """`value` as a session id, or `InvalidSessionIdError`."""
    if not isinstance(value, str) or not _SESSION_ID.match(value):
        raise InvalidSessionIdError(
            "A session id has 1 to 200 characters out of letters, digits and . _ ~ : @ + = , | - "
            "and does not start with conv_.",
            param=param,
        )
    return value


def new_session_id() -> str:
    return f"sess_{uuid.uuid4().hex}"


def new_turn_id() -> str:
    return f"turn_{uuid.uuid4().hex}"


def encode_time(milliseconds: int | None) -> str | None:
    """Epoch milliseconds as `2025-10-26T10:00:00.000Z`."""
    if milliseconds is None:
        return None
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds % 1000:03d}Z"


def parse_time(value: str) -> int:
    """The epoch milliseconds of an ISO 8601 time; one without a zone is taken as UTC. `ValueError` otherwise."""
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    whole = int(moment.replace(microsecond=0).timestamp())
    return whole * 1000 + moment.microsecond // 1000


class Status(StrEnum):
    """What a session is. The first three are the client's to set; an erasing one is on its way out."""

    ACTIVE = "active"
    COMPLETED = "completed"
    ABANDONED = "abandoned"
    ERASING = "erasing"


@dataclass(frozen=True, slots=True)
class Session:
    """The record that binds a client's session to the provider's conversation. Times are epoch milliseconds."""

    tenant: str
    session_id: str
    conversation_id: str
    created_at: int
    last_used: int
    expires_at: int | None = None
    status: Status = Status.ACTIVE
    user_id: str | None = None
    data: JSON | None = field(default_factory=dict)
    """None when it cannot be read now."""
    metadata: JSON | None = field(default_factory=dict)
    generation: int = 1
    turns: int = 0
    revision: int = field(default=0, compare=False)
    """By which a store knows whether somebody edited it since it was read."""
    unreadable: str | None = field(default=None, compare=False)
    """Why `data` or `metadata` cannot be read."""

    @property
    def key(self) -> SessionKey:
        return SessionKey(self.tenant, self.session_id)

    def opened(self) -> tuple[JSON, JSON]:
        """`data` and `metadata`; `StoreUnavailableError` when they cannot be read."""
        if self.data is None or self.metadata is None:
            raise StoreUnavailableError(self.unreadable, retry_after=1)
        return self.data, self.metadata

    @property
    def version(self) -> str:
        """Changes with what a client may edit, and with nothing else: an editor is not disturbed by turns."""
        edited = orjson.dumps([self.data, self.metadata, self.status, self.user_id], option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(edited).hexdigest()[:32]

    def as_dict(self) -> JSON:
        fields: JSON = {
            "session_id": self.session_id,
            "conversation_id": self.conversation_id,
            "created_at": encode_time(self.created_at),
            "last_used": encode_time(self.last_used),
            "expires_at": encode_time(self.expires_at),
            "status": self.status.value,
            "user_id": self.user_id,
            "data": self.data,
            "metadata": self.metadata,
            "generation": self.generation,
            "turns": self.turns,
        }
        if self.unreadable is not None:
            fields["unreadable"] = True
        return fields


class Role(StrEnum):
    """What a principal may do beside using sessions of its own: an admin sees how the gateway fares."""

    USER = "user"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key that opens the gateway, as the store keeps it: whose it is, and its secret's hash."""

    name: str
    digest: str
    """SHA-256 of the secret, in hex."""
    tenant: str
    role: Role
    user_id: str | None
    created_at: int


class TurnState(StrEnum):
    """Waiting: not begun. Running: the provider may have been asked. The others are ends."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    REQUIRES_ACTION = "requires_action"
    FAILED = "failed"
    LOST = "lost"


ANSWERED = frozenset({TurnState.COMPLETED, TurnState.INCOMPLETE, TurnState.REQUIRES_ACTION})
"""The ends that left a reply."""


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """One turn as the store keeps it: ids, times and counts, never its texts. Also a turn's ticket while it is open."""

    turn_id: str
    tenant: str
    session_id: str
    state: TurnState = TurnState.WAITING
    live: bool = False
    """Waiting or running, and its process is there: false for one that a crash cut off."""
    workflow: str = ""
    idempotency_key: str | None = None
    fingerprint: str | None = None
    conversation_id: str | None = None
    generation: int | None = None
    created: bool = False
    recovered: bool = False
    response_id: str | None = None
    started_at: int | None = None
    finished_at: int | None = None
    usage: JSON | None = None
    error_code: str | None = None
    undelivered: bool = False
    """Its client left before the reply was delivered, and nobody has come for it since."""

    @property
    def key(self) -> SessionKey:
        return SessionKey(self.tenant, self.session_id)

    @property
    def in_doubt(self) -> bool:
        """A crash cut it off after the provider may have been asked."""
        return self.state is TurnState.RUNNING and not self.live

    def as_dict(self) -> JSON:
        return {
            "turn_id": self.turn_id,
            "response_id": self.response_id,
            "state": self.state.value,
            "started_at": encode_time(self.started_at),
            "finished_at": encode_time(self.finished_at),
            "usage": self.usage,
        }


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """What a client asks for: one turn of one session."""

    input: str | list[JSON]
    session_id: str
    """The client's own, or one that was made for it."""
    workflow: str = ""
    wait: bool = True
    """Whether it waits while another turn of the session runs."""
    restart: bool = False
    """Whether a conversation that the provider lost is replaced by a new one."""
    user_id: str | None = None
    metadata: JSON | None = None
    data: JSON | None = None
    stream: bool = False
    """Whether somebody reads along: then the provider is asked to stream too."""
    idempotency_key: str | None = None
    blind_retry: bool = False
    """Whether the client's library sends it again, without a key, because no answer came."""
    body: Mapping[str, Any] = field(default_factory=dict)
    """The body as it came: what an idempotency key or a blind retry is compared by."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the client gets of a turn."""

    session_id: str
    conversation_id: str
    response_id: str | None
    turn_id: str
    output_text: str
    status: str
    created: bool
    recovered: bool
    replayed: bool
    generation: int
    model: str | None
    usage: JSON | None
    pending_calls: list[JSON] = field(default_factory=list)
    incomplete_reason: str | None = None

    def as_dict(self) -> JSON:
        fields: JSON = {name: getattr(self, name) for name in self.__slots__}
        if self.incomplete_reason is None:
            del fields["incomplete_reason"]
        return fields


def fingerprint(turn_id: str, body: Mapping[str, Any]) -> str:
    """A mark that tells whether two bodies are equal. Salted with the turn, so that no text can be looked up by it."""
    canonical = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(turn_id.encode() + b"\0" + canonical).hexdigest()
