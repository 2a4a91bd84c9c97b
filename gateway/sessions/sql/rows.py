"""Sessions as rows of the table, and back. What cannot be read is an error, never an absence."""

from __future__ import annotations

from typing import Any

from gateway.errors import StoreUnavailableError
from gateway.model import Session, SessionKey, Status
from gateway.sessions.sealing import SealedError, Sealing

COLUMNS = (
    *("tenant", "session_id", "conversation_id", "created_at", "last_used", "expires_at", "status", "user_id"),
    *("data", "metadata", "generation", "turns"),
)


class Rows:
    """Both ways, sealed as the store seals."""

    def __init__(self, sealing: Sealing) -> None:
        self._sealing = sealing

    def encode(self, session: Session) -> dict[str, Any]:
        return {
            **{name: getattr(session, name) for name in COLUMNS},
            "status": session.status.value,
            **self.encode_texts(session),
        }

    def encode_texts(self, session: Session) -> dict[str, str]:
        """What may be sealed of it."""
        return {name: self._sealing.seal(session.key, name, getattr(session, name)) for name in ("data", "metadata")}

    def decode(self, row: Any) -> Session:
        tenant, session_id, conversation_id, created_at, last_used, expires_at, status, user_id = row[:8]
        data, metadata, generation, turns = row[8:12]
        key = SessionKey(tenant, session_id)
        return Session(
            tenant=tenant,
            session_id=session_id,
            conversation_id=conversation_id,
            created_at=created_at,
            last_used=last_used,
            expires_at=expires_at,
            status=Status(status),
            user_id=user_id,
            data=self._unseal(key, "data", data),
            metadata=self._unseal(key, "metadata", metadata),
            generation=generation,
            turns=turns,
        )

    def _unseal(self, key: SessionKey, name: str, text: str) -> dict[str, Any]:
        try:
            return self._sealing.unseal(key, name, text)
        except SealedError as exc:
            raise StoreUnavailableError(f"The {name} of session {key.session_id!r} {exc}.", retry_after=1) from exc
        except ValueError as exc:
            raise StoreUnavailableError(f"The {name} of session {key.session_id!r} cannot be read.") from exc
