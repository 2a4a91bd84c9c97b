"""Erasing: a conversation's items, the conversation, the stored responses of its turns, and only then the mapping.

Every step can be repeated, and what is already gone counts as done: an erasure that was cut off, by a failing provider
or by a crash, is finished by whoever tries next, from where it was left. One that failed is let rest, each time longer,
so that it costs little and holds nobody up. No log line of an erasure names what was erased: counts, error codes and
the provider's own request ids are what an operator needs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

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
from gateway.sessions import SessionManager
from gateway.sessions.values import DAY_MS, Erasure

log = logging.getLogger("gateway.erasures")

AT_ONCE = 500
"""How many items and stored responses one attempt deletes: the provider takes them one by one, and nobody waits for
minutes."""

RESPONSES_A_STEP = 20
"""How many stored responses are deleted before the store is told: so many, at most, are tried twice after a crash."""

FIRST_REST_MS = 30_000
LONGEST_REST_MS = DAY_MS
"""How long an erasure that failed is let rest: twice as long each time."""

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
    responses_deleted: int
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


@dataclass(slots=True)
class _Attempt:
    """How far one attempt at the provider has come, and where it is to end."""

    most: int
    budget: Patience | None
    items: int = 0
    responses: int = 0
    steps: int = 0

    @property
    def is_over(self) -> bool:
        return self.steps >= self.most or (self.budget is not None and not self.budget.left_seconds)


class Eraser:
    """Erases sessions of one store at one provider. Safe for threads."""

    def __init__(self, sessions: SessionManager, provider: Provider, *, at_once: int = AT_ONCE) -> None:
        self.sessions = sessions
        self.provider = provider
        self._at_once = at_once

    def erase_session(
        self,
        key: SessionKey,
        *,
        wait_seconds: float | None = None,
        check: Callable[[Session], None] | None = None,
        budget: Patience | None = None,
    ) -> Receipt | Unfinished:
        """Marks a session as erasing, in its turn, and erases it. One that is being erased already is tried again.

        `check` may refuse the session as it is then, by raising. What is not done when the `budget` is used up is left
        to the sweeper. `TurnBusyError` when a turn of it runs for longer than `wait_seconds` (None: than turns wait).
        """
        with self.sessions.turn(key, wait_seconds=wait_seconds, erasing=True) as turn:
            if turn.session is None:
                raise SessionNotFoundError()
            if check is not None:
                check(turn.session)
            return self.erase(turn.begin_erasure(), budget)

    def erase_old(self, key: SessionKey, conversation_id: str, budget: Patience | None = None) -> Receipt | Unfinished:
        """Erases a conversation that the session was bound to before: it was handed to the erasures as it was
        replaced."""
        return self.erase(Erasure(*key, conversation_id, requested_at=self.sessions.now(), whole=False), budget)

    def resume(self, erasure: Erasure, budget: Patience | None = None) -> Receipt | Unfinished:
        """Tries an erasure again; `TurnBusyError` when somebody else is just at it."""
        if not erasure.whole:
            # The session goes on in another conversation, and is not held up for its old one.
            return self.erase(erasure, budget)
        with self.sessions.turn(erasure.key, wait_seconds=0, erasing=True):
            return self.erase(erasure, budget)

    def erase(self, erasure: Erasure, budget: Patience | None = None) -> Receipt | Unfinished:
        """One attempt at the provider, and the end of the mapping if it came through. A failing provider is no error
        here; a store that does not answer is."""
        attempt = _Attempt(self._at_once, budget)
        if attempt.is_over:
            self.leave(erasure)
            return Unfinished(erasure.session_id, erasure.conversation_id, 0, 0, MORE)
        try:
            reason = self._try(erasure, attempt)
        except StoreUnavailableError:
            ERASURES.labels("failed").inc()
            raise
        except Exception:
            ERASURES.labels("failed").inc()
            self._let_rest(erasure)
            raise
        finally:
            ITEMS_ERASED.inc(attempt.items)
            RESPONSES_ERASED.inc(attempt.responses)
        names = (erasure.session_id, erasure.conversation_id)
        if reason is None:
            ERASURES.labels("done").inc()
            return Receipt(*names, attempt.items, True, attempt.responses, self.sessions.now())
        outcome = Unfinished(*names, attempt.items, attempt.responses, reason)
        ERASURES.labels("failed" if outcome.failed else "unfinished").inc()
        if outcome.failed:
            self._let_rest(erasure)
        else:
            self.leave(replace(erasure, attempts=0))
        return outcome

    def leave(self, erasure: Erasure) -> None:
        """Whoever asks next may try it."""
        self.sessions.postpone(replace(erasure, not_before=self.sessions.now()))

    def _let_rest(self, erasure: Erasure) -> None:
        rest_ms = min(FIRST_REST_MS * 2**erasure.attempts, LONGEST_REST_MS)
        not_before = self.sessions.now() + rest_ms
        self.sessions.postpone(replace(erasure, attempts=erasure.attempts + 1, not_before=not_before))

    def _try(self, erasure: Erasure, attempt: _Attempt) -> str | None:
        """Why it is not finished; None when it is."""
        try:
            if not (self._delete_conversation(erasure, attempt) and self._delete_responses(erasure, attempt)):
                return MORE
            self.sessions.finish_erasure(erasure)
        except StoreUnavailableError:
            raise
        except GatewayError as exc:
            log.warning(
                "an erasure is not finished yet: %s (provider request %s), %d items deleted",
                exc.code,
                exc.upstream_request_id,
                attempt.items,
            )
            return exc.code
        return None

    def _delete_conversation(self, erasure: Erasure, attempt: _Attempt) -> bool:
        """True when it is gone, with its items."""
        with suppress(ConversationGoneError):
            for _ in each_removed(self.provider, erasure.conversation_id):
                attempt.items += 1
                attempt.steps += 1
                if attempt.is_over:
                    return False
            self._call(partial(self.provider.delete_conversation, erasure.conversation_id))
        return True

    def _delete_responses(self, erasure: Erasure, attempt: _Attempt) -> bool:
        """True when none is left."""
        while response_ids := self.sessions.responses(erasure, RESPONSES_A_STEP):
            gone: list[str] = []
            try:
                for response_id in response_ids:
                    if attempt.is_over:
                        return False
                    attempt.steps += 1
                    with suppress(NotFoundError):
                        self._call(partial(self.provider.delete_response, response_id))
                        attempt.responses += 1
                    gone.append(response_id)
            finally:
                # An attempt that fails here leaves to the next one what is left, and no more.
                self.sessions.drop_responses(erasure, gone)
        return True

    @staticmethod
    def _call(function: Callable[[], None]) -> None:
        Patience(RETRY_SECONDS).call(function)
