"""Many sessions at once: a user's, or those that nobody has used for long. In pages, each session by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from gateway.errors import SessionNotFoundError, TurnBusyError
from gateway.lifecycle.erasures import Eraser, Receipt, Unfinished
from gateway.model import Session, SessionKey, Status
from gateway.providers.retry import Patience
from gateway.sessions import Filter

PAGE = 100
"""How many sessions are listed at a time."""

RECEIPTS = 100
"""How many sessions one request erases at the provider; the rest is marked, and left to the sweeper."""

FAILURES = 3
"""After so many failures in a row the provider is left in peace for now."""


@dataclass(slots=True)
class UserErasure:
    """What became of a user's sessions: erased (the receipts), marked and left to the sweeper, or in use."""

    receipts: list[Receipt] = field(default_factory=list)
    erasing: int = 0
    busy: int = 0

    def __add__(self, other: UserErasure) -> UserErasure:
        return UserErasure(self.receipts + other.receipts, self.erasing + other.erasing, self.busy + other.busy)


def erase_user(eraser: Eraser, tenant: str, user_id: str, *, patience: Patience, budget: Patience) -> UserErasure:
    """Erases every session that the user has now; what the budget is not enough for is marked, and left to the sweeper.
    Those that a turn is using are waited for last, all of them together as long as `patience` lasts; what is still
    `busy` then was left as it is."""
    found = UserErasure()
    failures = 0

    def erase(key: SessionKey, wait_seconds: float) -> bool:
        nonlocal failures
        at_provider = failures < FAILURES and len(found.receipts) < RECEIPTS
        try:
            outcome = eraser.erase_session(
                key,
                wait_seconds=wait_seconds,
                check=_of_user(user_id),
                budget=budget if at_provider else Patience(0),
            )
        except SessionNotFoundError:
            return True
        except TurnBusyError:
            return False
        if isinstance(outcome, Receipt):
            found.receipts.append(outcome)
            failures = 0
        else:
            found.erasing += 1
            failures += outcome.failed
        return True

    tried: set[SessionKey] = set()
    busy: list[SessionKey] = []
    wanted = Filter(tenant=tenant, user_id=user_id)
    # Paged again until nothing new is found: a session that was used meanwhile has moved to the front.
    while fresh := [session.key for session in eraser.sessions.walk(wanted, page=PAGE) if session.key not in tried]:
        tried.update(fresh)
        busy += [key for key in fresh if not erase(key, 0)]
    found.busy = sum(not erase(key, patience.left_seconds) for key in busy)
    return found


@dataclass(frozen=True, slots=True)
class Skipped:
    """A session that was left as it is: in use, or no longer what was looked for."""

    session_id: str


def purge(
    eraser: Eraser, *, used_before: int, status: Status | None = None, tenant: str | None = None
) -> Iterator[Receipt | Unfinished | Skipped]:
    """Erases the sessions that were last used before a moment (epoch milliseconds) and have this status, and yields
    what became of each as it goes. It can be stopped at any point and run again."""
    wanted = Filter(tenant=tenant, status=status, used_before=used_before)
    for session in eraser.sessions.walk(wanted, page=PAGE):
        try:
            yield eraser.erase_session(session.key, wait_seconds=0, check=_still(used_before, status))
        except (TurnBusyError, SessionNotFoundError):
            yield Skipped(session.session_id)


def _of_user(user_id: str) -> Callable[[Session], None]:
    def check(session: Session) -> None:
        if session.user_id != user_id:
            raise SessionNotFoundError()

    return check


def _still(used_before: int, status: Status | None) -> Callable[[Session], None]:
    def check(session: Session) -> None:
        # A turn may have used it since it was listed.
        if session.last_used >= used_before or status not in (None, session.status):
            raise SessionNotFoundError()

    return check
