"""Sessions as they are used, and as a store keeps them: the one place in which `data` and `metadata` are sealed.

What cannot be opened costs its own session's `data` or `metadata` and nothing else: the mapping goes on, so that the
session's turns, its listing and its erasure work, and whoever asks for what is in there is told why not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gateway.model import JSON, Session
from gateway.sessions.sealing import SealedError, Sealing
from gateway.sessions.values import StoredSession


class Codec:
    """Both ways. Seals with the first of the keys and opens with any."""

    def __init__(self, encryption_keys: Sequence[str] = ()) -> None:
        self._sealing = Sealing(encryption_keys)

    def encode(self, session: Session) -> StoredSession:
        """`StoreUnavailableError` when what is in it could not be read: then nothing may be written in its place."""
        data, metadata = session.opened()
        return self._stored(session, data, metadata)

    def encode_binding(self, session: Session) -> StoredSession:
        """For a step that leaves `data` and `metadata` alone."""
        return self._stored(session, {}, {})

    def decode(self, stored: StoredSession) -> Session:
        session = Session(
            tenant=stored.tenant,
            session_id=stored.session_id,
            conversation_id=stored.conversation_id,
            created_at=stored.created_at,
            last_used=stored.last_used,
            expires_at=stored.expires_at,
            status=stored.status,
            user_id=stored.user_id,
            generation=stored.generation,
            turns=stored.turns,
            revision=stored.revision,
        )
        if stored.data == stored.metadata == "{}":
            return session
        read: dict[str, Any] = {}
        for name in ("data", "metadata"):
            try:
                read[name] = self._sealing.unseal(stored.key, name, getattr(stored, name))
            except SealedError as exc:
                read |= {name: None, "unreadable": f"The {name} of session {stored.session_id!r} {exc}."}
            except ValueError:
                read |= {name: None, "unreadable": f"The {name} of session {stored.session_id!r} cannot be read."}
        return replace(session, **read)

    def _stored(self, session: Session, data: JSON, metadata: JSON) -> StoredSession:
        return StoredSession(
            tenant=session.tenant,
            session_id=session.session_id,
            conversation_id=session.conversation_id,
            created_at=session.created_at,
            last_used=session.last_used,
            expires_at=session.expires_at,
            status=session.status,
            user_id=session.user_id,
            data=self._sealing.seal(session.key, "data", data),
            metadata=self._sealing.seal(session.key, "metadata", metadata),
            generation=session.generation,
            turns=session.turns,
            revision=session.revision,
        )
