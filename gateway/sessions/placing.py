"""What becomes of a mapping that was made elsewhere when it is put into a store: one rule for every store."""

from __future__ import annotations

from enum import StrEnum

from gateway.model import Session, Status


class Placing(StrEnum):
    """What became, or would become, of a session that is put into a store."""

    MADE = "made"
    UPDATED = "updated"
    SAME = "same"
    REFUSED = "refused"

    @property
    def writes(self) -> bool:
        return self in (Placing.MADE, Placing.UPDATED)


def place(found: Session | None, session: Session, *, replace: bool) -> Placing:
    """Whether `session` may take the place of what was found.

    The same conversation, used since, is a later state of the same mapping and takes its place. Anything else that
    differs is another mapping, which goes only for one who said so (`replace`); one that is being erased never does,
    for it would come back to life.
    """
    if found is None:
        return Placing.MADE
    if found == session:
        return Placing.SAME
    if found.status is Status.ERASING:
        return Placing.REFUSED
    same = (found.conversation_id, found.generation) == (session.conversation_id, session.generation)
    return Placing.UPDATED if replace or (same and found.last_used < session.last_used) else Placing.REFUSED
