"""Sessions as rows of the table, and back."""

from __future__ import annotations

from typing import Any

from gateway.model import Session, Status
from gateway.sessions.sql.records import decode_json, encode_json

COLUMNS = (
    *("tenant", "session_id", "conversation_id", "created_at", "last_used", "expires_at", "status", "user_id"),
    *("data", "metadata", "generation", "turns"),
)


def encode_session(session: Session) -> dict[str, Any]:
    return {
        **{name: getattr(session, name) for name in COLUMNS},
        "status": session.status.value,
        "data": encode_json(session.data),
        "metadata": encode_json(session.metadata),
    }


def decode_session(row: Any) -> Session:
    tenant, session_id, conversation_id, created_at, last_used, expires_at, status, user_id = row[:8]
    data, metadata, generation, turns = row[8:12]
    return Session(
        tenant=tenant,
        session_id=session_id,
        conversation_id=conversation_id,
        created_at=created_at,
        last_used=last_used,
        expires_at=expires_at,
        status=Status(status),
        user_id=user_id,
        data=decode_json(data),
        metadata=decode_json(metadata),
        generation=generation,
        turns=turns,
    )
