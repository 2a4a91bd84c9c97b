"""What becomes of a mapping that was made elsewhere when it is put into a store: one rule for every store."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from gateway.model import Session, SessionKey, Status
from gateway.sessions.codec import Codec
from gateway.sessions.store import Store
from gateway.sessions.values import StoredSession


class Merge(StrEnum):
    """What became, or would become, of a session that is put into a store."""

    MADE = "made"
    UPDATED = "updated"
    SAME = "same"
    REFUSED = "refused"

    @property
    def writes(self) -> bool:
        return self in (Merge.MADE, Merge.UPDATED)


def merge(found: Session | None, session: Session, *, replace: bool) -> Merge:
    """Whether `session` may take the place of what was found.

    The same conversation, used since, is a later state of the same mapping and takes its place. Anything else that
    differs is another mapping, which goes only for one who said so (`replace`); one that is being erased never does,
    for it would come back to life.
    """
    if found is None:
        return Merge.MADE
    if found == session:
        return Merge.SAME
    if found.status is Status.ERASING:
        return Merge.REFUSED
    same = (found.conversation_id, found.generation) == (session.conversation_id, session.generation)
    return Merge.UPDATED if replace or (same and found.last_used < session.last_used) else Merge.REFUSED


def put(
    store: Store, codec: Codec, sessions: Sequence[Session], *, replace: bool, dry_run: bool = False
) -> Sequence[Merge]:
    """Merges sessions, all of them different ones, into the store, and tells of each what became of it; a `dry_run`
    what would become of it, and writes nothing."""
    merges: dict[SessionKey, Merge] = {}
    pending = sessions
    while pending:
        found = store.sessions.get_many([session.key for session in pending])
        changes: list[tuple[StoredSession | None, Session]] = []
        for session in pending:
            there = found.get(session.key)
            known = None if there is None else codec.decode(there)
            merges[session.key] = merge(known, session, replace=replace)
            if merges[session.key].writes:
                if known is not None:
                    known.opened()  # what cannot be read is not written over
                changes.append((there, session))
        if dry_run:
            break
        written = store.sessions.put([(there, codec.encode(session)) for there, session in changes])
        # Of the others somebody else wrote the mapping in between: they are judged again.
        pending = [session for (_, session), done in zip(changes, written, strict=True) if not done]
    return [merges[session.key] for session in sessions]
