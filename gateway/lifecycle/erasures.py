"""Erasing: a conversation's items, the conversation, the stored responses of its turns, and only then the mapping.

Every step can be repeated, and what is already gone counts as done: an erasure that was cut off, by a failing provider
or by a crash, is finished by whoever tries next. No log line of an erasure names what was erased: counts, error codes
and the provider's own request ids are what an operator needs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from gateway.errors import (
    ConversationGoneError,
    GatewayError,
    NotFoundError,
    SessionNotFoundError,
    StoreUnavailableError,
)
from gateway.history.items import RETRY_SECONDS, each_removed
from gateway.metrics.series import ERASURES, ITEMS_ERASED, RESPONSES_ERASED
from gateway.model import JSON, Session, SessionKey, encode_time
from gateway.providers.base import Provider
from gateway.providers.retry import Patience
from gateway.sessions.base import Erasure, SessionManager

log = logging.getLogger("gateway.erasures")

ITEMS_AT_ONCE = 500
"""How many items one attempt removes: the provider takes them one by one, and nobody waits for minutes."""

REQUEST_SECONDS = 15.0
"""How long a request works at it before it leaves the rest to the sweeper."""

MORE = "more_items"
"""The reason of an attempt that removed as much as one attempt may, and left more."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was erased. The counts are those of the attempt that finished it."""

    session_id: str
    conversation_id: str
    items_deleted: int
    conversation_deleted: bool
    responses_deleted: int
    erased_at: int

    def as_dict(self) -> JSON:
        fields: JSON = {name: getattr(self, name) for name in self.__slots__}
        return {**fields, "erased_at": encode_time(self.erased_at)}


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An erasure that is begun and kept: the sweeper finishes it."""

    session_id: str
    conversation_id: str
    items_deleted: int
    reason: str
    """`more_items`, or the code of the error that stopped it."""

    @property
    def failed(self) -> bool:
        return self.reason != MORE

    def as_dict(self) -> JSON:
        return {
            "session_id": self.session_id,
            "conversation_id": self.conversation_id,
            "status": "erasing",
            "items_deleted": self.items_deleted,
            "reason": self.reason,
        }


class Eraser:
    """Erases sessions of one store at one provider. Safe for threads."""

    def __init__(self, sessions: SessionManager, provider: Provider, *, items_at_once: int = ITEMS_AT_ONCE) -> None:
        self.sessions = sessions
        self._provider = provider
        self._items_at_once = items_at_once

    def erase_session(
        self,
        key: SessionKey,
        *,
        wait_seconds: float = 0,
        queue_limit: int = 16,
        check: Callable[[Session], None] | None = None,
        budget: Patience | None = None,
    ) -> Receipt | Unfinished:
        """Marks a session as erasing, in its turn, and erases it. One that is being erased already is tried again.

        `check` may refuse the session as it is then, by raising. What is not done when the `budget` is used up is left
        to the sweeper. `TurnBusyError` when a turn of it runs for longer than `wait_seconds`.
        """
        with self.sessions.turn(key, wait_seconds=wait_seconds, queue_limit=queue_limit, erasing=True) as turn:
            if turn.session is None:
                raise SessionNotFoundError()
            if check is not None:
                check(turn.session)
            return self.erase(self.sessions.begin_erasure(turn), budget)

    def resume(self, erasure: Erasure) -> Receipt | Unfinished:
        """Tries an erasure again; `TurnBusyError` when somebody else is just at it."""
        if not erasure.whole:
            # The session goes on in another conversation, and is not held up for its old one.
            return self.erase(erasure)
        key = SessionKey(erasure.tenant, erasure.session_id)
        with self.sessions.turn(key, wait_seconds=0, erasing=True):
            return self.erase(erasure)

    def erase(self, erasure: Erasure, budget: Patience | None = None) -> Receipt | Unfinished:
        """One attempt at the provider, and the end of the mapping if it came through. A failing provider is no error
        here; a store that does not answer is."""
        if _is_used_up(budget):
            return Unfinished(erasure.session_id, erasure.conversation_id, 0, MORE)
        try:
            outcome = self._erase(erasure, budget)
        except StoreUnavailableError:
            ERASURES.labels("failed").inc()
            raise
        ITEMS_ERASED.inc(outcome.items_deleted)
        if isinstance(outcome, Receipt):
            RESPONSES_ERASED.inc(outcome.responses_deleted)
            ERASURES.labels("done").inc()
        else:
            ERASURES.labels("failed" if outcome.failed else "unfinished").inc()
        return outcome

    def _erase(self, erasure: Erasure, budget: Patience | None) -> Receipt | Unfinished:
        items = 0
        more = Unfinished(erasure.session_id, erasure.conversation_id, items, MORE)
        try:
            try:
                for _ in each_removed(self._provider, erasure.conversation_id):
                    items += 1
                    if items >= self._items_at_once or _is_used_up(budget):
                        return replace(more, items_deleted=items)
                self._call(lambda: self._provider.delete_conversation(erasure.conversation_id))
            except ConversationGoneError:
                pass
            responses, all_gone = self._delete_responses(erasure, budget)
            if not all_gone:
                return replace(more, items_deleted=items)
            self.sessions.finish_erasure(erasure)
        except StoreUnavailableError:
            raise
        except GatewayError as exc:
            log.warning(
                "an erasure is not finished yet: %s (provider request %s), %d items deleted",
                exc.code,
                exc.upstream_request_id,
                items,
            )
            return Unfinished(erasure.session_id, erasure.conversation_id, items, exc.code)
        return Receipt(
            erasure.session_id,
            erasure.conversation_id,
            items_deleted=items,
            conversation_deleted=True,
            responses_deleted=responses,
            erased_at=self.sessions.now(),
        )

    def _delete_responses(self, erasure: Erasure, budget: Patience | None) -> tuple[int, bool]:
        """How many were deleted, and whether none is left."""
        count = 0
        key = SessionKey(erasure.tenant, erasure.session_id)
        for response_id in self.sessions.response_ids(key, erasure.conversation_id):
            if _is_used_up(budget):
                return count, False
            with suppress(NotFoundError):
                self._call(lambda response_id=response_id: self._provider.delete_response(response_id))  # type: ignore[misc]
                count += 1
        return count, True

    @staticmethod
    def _call(function: Callable[[], None]) -> None:
        Patience(RETRY_SECONDS).call(function)


def _is_used_up(budget: Patience | None) -> bool:
    return budget is not None and not budget.left_seconds
