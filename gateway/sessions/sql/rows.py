"""Sessions, turn records and erasures as rows of the tables, and back. What cannot be read is an error, never an
absence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import orjson
import sqlalchemy as sa

from gateway.errors import StoreUnavailableError
from gateway.model import SessionKey, Status, TurnRecord, TurnState
from gateway.sessions.values import Erasure, StoredSession

T = TypeVar("T")

SESSION = (
    *("tenant", "session_id", "conversation_id", "created_at", "last_used", "expires_at", "status", "user_id"),
    *("data", "metadata", "generation", "turns", "revision"),
)

RECORD = (
    *("turn_id", "tenant", "session_id", "state", "workflow", "idempotency_key", "fingerprint", "conversation_id"),
    *("generation", "created", "recovered", "response_id", "started_at", "finished_at", "usage", "error_code"),
    "undelivered",
)

AT_ONCE = 500

ERASURE = ("tenant", "session_id", "conversation_id", "requested_at", "whole", "attempts", "not_before")


def parameter(name: str, column: sa.Column[Any]) -> sa.BindParameter[Any]:
    """A parameter of the column's type."""
    return sa.bindparam(name, type_=column.type)


def in_session(table: sa.Table) -> sa.ColumnElement[bool]:
    """Whether a row is of the session that `of_session` gives the parameters of."""
    c = table.c
    return sa.and_(c.tenant == parameter("of_tenant", c.tenant), c.session_id == parameter("of_session", c.session_id))


def of_session(key: SessionKey) -> dict[str, Any]:
    return {"of_tenant": key.tenant, "of_session": key.session_id}


def in_conversation(table: sa.Table) -> sa.ColumnElement[bool]:
    """Whether a row is of the session and the conversation that `of_conversation` gives the parameters of."""
    c = table.c
    return sa.and_(in_session(table), c.conversation_id == parameter("conversation", c.conversation_id))


def of_conversation(key: SessionKey, conversation_id: str) -> dict[str, Any]:
    return {**of_session(key), "conversation": conversation_id}


def parts(wanted: Sequence[T]) -> list[Sequence[T]]:
    """As many at a time as one statement names."""
    return [wanted[start : start + AT_ONCE] for start in range(0, len(wanted), AT_ONCE)]


def encode_session(session: StoredSession) -> dict[str, Any]:
    return {**{name: getattr(session, name) for name in SESSION}, "status": session.status.value}


def decode_session(row: Any) -> StoredSession:
    tenant, session_id, conversation_id, created_at, last_used, expires_at, status, user_id = row[:8]
    data, metadata, generation, turns, revision = row[8:13]
    try:
        return StoredSession(
            tenant=tenant,
            session_id=session_id,
            conversation_id=conversation_id,
            # SQLite keeps a text, too, where a hand has written one.
            created_at=int(created_at),
            last_used=int(last_used),
            expires_at=None if expires_at is None else int(expires_at),
            status=Status(status),
            user_id=user_id,
            data=data,
            metadata=metadata,
            generation=int(generation),
            turns=int(turns),
            revision=int(revision),
        )
    except ValueError as exc:
        raise StoreUnavailableError(f"The session {session_id!r} cannot be read.", retry_after=1) from exc


def encode_record(record: TurnRecord, names: tuple[str, ...]) -> dict[str, Any]:
    """The parameters that write these fields of the record."""
    values = {f"new_{name}": getattr(record, name) for name in names}
    values["new_state"] = record.state.value
    if "new_usage" in values:
        values["new_usage"] = None if record.usage is None else orjson.dumps(record.usage).decode()
    return {"ticket": record.turn_id, **values}


def decode_record(row: Any, *, live: bool) -> TurnRecord:
    values = {name: getattr(row, name) for name in RECORD}
    try:
        values["state"] = TurnState(row.state)
        values["usage"] = None if row.usage is None else orjson.loads(row.usage)
    except ValueError as exc:
        raise StoreUnavailableError(f"The record of turn {row.turn_id!r} cannot be read.", retry_after=1) from exc
    for name in ("created", "recovered", "undelivered"):
        values[name] = bool(values[name])
    return TurnRecord(live=live, **values)


def encode_erasure(erasure: Erasure) -> dict[str, Any]:
    return {name: getattr(erasure, name) for name in ERASURE}


def decode_erasure(row: Any) -> Erasure:
    """`ValueError` when it cannot be read."""
    tenant, session_id, conversation_id, requested_at, whole, attempts, not_before = row
    times = int(requested_at), bool(whole), int(attempts), int(not_before)
    return Erasure(tenant, session_id, conversation_id, *times)
