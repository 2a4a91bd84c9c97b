"""How sessions, turns and erasures are written in Redis. What cannot be read is an error, never an absence.

For the versions to come: a new field is one that may be missing, and a step writes the fields that it knows and leaves
the others alone; so the old and the new may work on one store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from gateway.errors import StoreUnavailableError
from gateway.model import SessionKey, Status, TurnRecord, TurnState
from gateway.sessions.values import Erasure, StoredSession

Flat = list[str | int]
"""Fields and values in turn; an empty value says that there is no such field."""

_ENTERED = ("state", "workflow", "idempotency_key", "fingerprint", "started_at")
_BEGUN = ("state", "conversation_id", "generation", "created", "recovered", "response_id", "started_at")
_SETTLED = ("state", "idempotency_key", "response_id", "finished_at", "usage", "error_code")
_ENDED = (*_SETTLED, "undelivered")
_TURN_FIELDS = tuple({*_ENTERED, *_BEGUN, *_ENDED})
_NUMBERS = frozenset({"generation", "started_at", "finished_at"})
_FLAGS = frozenset({"created", "recovered", "undelivered"})


def encode_session(session: StoredSession) -> Flat:
    return ["tenant", session.tenant, "session_id", session.session_id, *_said(session)]


def encode_found(session: StoredSession | None) -> Flat:
    """All that was read of a session, for a step to compare it with what is there."""
    return [] if session is None else [*_said(session), "revision", session.revision or ""]


def _said(session: StoredSession) -> Flat:
    fields: dict[str, str | int | None] = {
        "conversation_id": session.conversation_id,
        "created_at": session.created_at,
        "last_used": session.last_used,
        "expires_at": session.expires_at,
        "status": session.status.value,
        "user_id": session.user_id,
        "data": session.data,
        "metadata": session.metadata,
        "generation": session.generation,
        "turns": session.turns,
    }
    return [part for name, value in fields.items() for part in (name, "" if value is None else value)]


def decode_session(key: SessionKey, fields: Mapping[str, str]) -> StoredSession | None:
    """None when there are none."""
    if not fields:
        return None
    try:
        expires_at = fields.get("expires_at")
        return StoredSession(
            tenant=key.tenant,
            session_id=key.session_id,
            conversation_id=fields["conversation_id"],
            created_at=int(fields["created_at"]),
            last_used=int(fields["last_used"]),
            expires_at=None if expires_at is None else int(expires_at),
            status=Status(fields["status"]),
            user_id=fields.get("user_id"),
            data=fields["data"],
            metadata=fields["metadata"],
            generation=int(fields["generation"]),
            turns=int(fields["turns"]),
            revision=int(fields.get("revision", 0)),
        )
    except (ValueError, KeyError) as exc:
        raise StoreUnavailableError(f"The record of session {key.session_id!r} in Redis is corrupt.") from exc


def encode_entered(record: TurnRecord) -> Flat:
    """What is known of a turn when it enters its queue: nothing is there yet, and what is empty need not be named."""
    flat = _encode_turn(record, _ENTERED)
    return [part for name, value in zip(flat[::2], flat[1::2], strict=True) if value != "" for part in (name, value)]


def encode_begun(record: TurnRecord) -> Flat:
    """What an open turn writes of its record."""
    return _encode_turn(record, _BEGUN)


def encode_ended(record: TurnRecord) -> Flat:
    """What a turn's end writes."""
    return _encode_turn(record, _ENDED)


def encode_settled(record: TurnRecord) -> Flat:
    """What is learnt of a turn that a crash cut off."""
    return _encode_turn(record, _SETTLED)


def _encode_turn(record: TurnRecord, names: Sequence[str]) -> Flat:
    flat: Flat = []
    for name in names:
        value: Any = getattr(record, name)
        if name == "usage" and value is not None:
            value = orjson.dumps(value)
        flat += (name, "" if value is None or value is False else 1 if value is True else value)
    return flat


def decode_turn(tenant: str, turn_id: str, recorded: Sequence[Any]) -> TurnRecord:
    """A turn as the scripts tell of it: its fields, its session's name, and whether it lives."""
    flat, session_id, live = recorded
    fields = read_flat(flat)
    try:
        values: dict[str, Any] = {name: fields[name] for name in _TURN_FIELDS if name in fields}
        values |= {name: int(values[name]) for name in _NUMBERS & values.keys()}
        values |= dict.fromkeys(_FLAGS & values.keys(), True)
        values["state"] = TurnState(fields["state"])
        if "usage" in values:
            values["usage"] = orjson.loads(values["usage"])
    except (ValueError, KeyError) as exc:
        raise StoreUnavailableError(f"The record of turn {turn_id!r} in Redis is corrupt.") from exc
    return TurnRecord(turn_id=turn_id, tenant=tenant, session_id=session_id or "", live=bool(live), **values)


def decode_claim(tenant: str, idempotency_key: str, claim: Sequence[str], recorded: Sequence[Any] | None) -> TurnRecord:
    """The turn that a key belongs to; of one that was erased what its claim still tells."""
    fields = read_flat(claim)
    if recorded is not None:
        return decode_turn(tenant, fields["turn_id"], recorded)
    return TurnRecord(
        turn_id=fields["turn_id"],
        tenant=tenant,
        session_id="",
        state=TurnState.LOST,
        idempotency_key=idempotency_key,
        fingerprint=fields.get("fingerprint"),
    )


def decode_erasure(tenant: str, member: str, text: str | None, not_before: int) -> Erasure | None:
    """None when it cannot be read."""
    session_id, _, conversation_id = member.partition("/")
    try:
        fields = orjson.loads(text or "")
        return Erasure(
            tenant,
            session_id,
            conversation_id,
            requested_at=int(fields["requested_at"]),
            whole=bool(fields["whole"]),
            attempts=int(fields.get("attempts", 0)),
            not_before=not_before,
        )
    except (ValueError, KeyError, TypeError):
        return None


def read_flat(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
