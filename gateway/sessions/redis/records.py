"""How sessions, turn records and erasures are written in Redis. What cannot be read is an error, never an absence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from gateway.errors import StoreUnavailableError
from gateway.model import JSON, Session, SessionKey, Status, TurnRecord, TurnState
from gateway.sessions.base import Erasure
from gateway.sessions.sealing import PLAIN, SealedError, Sealing

FIELDS = (
    "conversation_id",
    "created_at",
    "last_used",
    "expires_at",
    "status",
    "user_id",
    "data",
    "metadata",
    "generation",
    "turns",
)
"""What is read of a session; its name is in its key."""

_TURN_FIELDS = (
    "workflow",
    "idempotency_key",
    "fingerprint",
    "conversation_id",
    "generation",
    "created",
    "recovered",
    "response_id",
    "started_at",
    "finished_at",
    "usage",
    "error_code",
    "undelivered",
)


def encode_session(session: Session, sealing: Sealing = PLAIN) -> list[str | int]:
    """Fields and values in turn; what is None is left out."""
    fields: dict[str, str | int | None] = {
        "tenant": session.tenant,
        "session_id": session.session_id,
        "conversation_id": session.conversation_id,
        "created_at": session.created_at,
        "last_used": session.last_used,
        "expires_at": session.expires_at,
        "status": session.status.value,
        "user_id": session.user_id,
        "data": sealing.seal(session.key, "data", session.data),
        "metadata": sealing.seal(session.key, "metadata", session.metadata),
        "generation": session.generation,
        "turns": session.turns,
    }
    return [part for name, value in fields.items() if value is not None for part in (name, value)]


def decode_session(key: SessionKey, values: Sequence[str | None], sealing: Sealing | None) -> Session | None:
    """The session whose `FIELDS` have these values; None when there is none of them. Without `sealing` what may be
    sealed is left out."""
    conversation_id, created_at, last_used, expires_at, status, user_id, data, metadata, generation, turns = values
    if conversation_id is None and all(value is None for value in values):
        return None
    try:
        return Session(
            tenant=key.tenant,
            session_id=key.session_id,
            conversation_id=_present(conversation_id),
            created_at=int(_present(created_at)),
            last_used=int(_present(last_used)),
            expires_at=None if expires_at is None else int(expires_at),
            status=Status(_present(status)),
            user_id=user_id,
            data=sealing.unseal(key, "data", _present(data)) if sealing else {},
            metadata=sealing.unseal(key, "metadata", _present(metadata)) if sealing else {},
            generation=int(_present(generation)),
            turns=int(_present(turns)),
        )
    except SealedError as exc:
        raise StoreUnavailableError(f"What is kept with session {key.session_id!r} {exc}.", retry_after=1) from exc
    except ValueError as exc:
        raise StoreUnavailableError(f"The record of session {key.session_id!r} in Redis is corrupt.") from exc


def encode_turn(record: TurnRecord) -> bytes:
    """Without what its key says, and without what is true only now (`live`)."""
    fields: JSON = {"state": record.state.value}
    for name in _TURN_FIELDS:
        value = getattr(record, name)
        if value is not None and value is not False:
            fields[name] = value
    return orjson.dumps(fields)


def decode_turn(key: SessionKey, turn_id: str, text: str, *, live: bool) -> TurnRecord:
    try:
        fields = _parse_object(text)
        return TurnRecord(
            turn_id=turn_id,
            tenant=key.tenant,
            session_id=key.session_id,
            state=TurnState(str(fields.get("state"))),
            live=live,
            **{name: fields[name] for name in _TURN_FIELDS if name in fields},
        )
    except ValueError as exc:
        raise StoreUnavailableError(f"The record of turn {turn_id!r} in Redis is corrupt.") from exc


def encode_erasure(requested_at: int, *, whole: bool) -> bytes:
    return orjson.dumps({"requested_at": requested_at, "whole": whole})


def decode_erasure(key: SessionKey, conversation_id: str, text: str) -> Erasure:
    try:
        fields = _parse_object(text)
        return Erasure(*key, conversation_id, requested_at=int(fields["requested_at"]), whole=bool(fields["whole"]))
    except (ValueError, KeyError) as exc:
        raise StoreUnavailableError(f"An erasure of session {key.session_id!r} in Redis is corrupt.") from exc


def _present(value: str | None) -> str:
    if value is None:
        raise ValueError("a field is missing")
    return value


def _parse_object(text: str | None) -> dict[str, Any]:
    value = orjson.loads(_present(text))
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value
