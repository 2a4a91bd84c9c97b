"""What becomes of a mapping that was made elsewhere when it is put into a store: one rule for every store."""

from __future__ import annotations

from enum import StrEnum

from gateway.model import Session, Status


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
