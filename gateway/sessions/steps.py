"""The steps that a backend supplies: each atomic, and none waits.

Where one takes a `turn_id` or a record of an open turn, it writes only while that turn holds its session and its lease
has not run out, and raises `self._lost(turn_id)` otherwise. All raise `StoreUnavailableError` when the store cannot
answer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from gateway.model import ApiKey, Session, SessionKey, TurnRecord
from gateway.sessions.placing import Placing
from gateway.sessions.values import Erasure, Filter, Page, ResponseOwner, Standing


class Steps(ABC):
    """What `SessionManager` is built on."""

    @abstractmethod
    def _get(self, key: SessionKey) -> Session | None:
        """The record, expired or not."""

    def _found(self, key: SessionKey, found: Any) -> Session | None:
        """The record of a session that was granted a moment ago, out of what its `Standing` brought along."""
        return self._get(key)

    @abstractmethod
    def _held(self, key: SessionKey) -> bool:
        """Whether a live turn holds the session now."""

    @abstractmethod
    def _list(self, filter: Filter, limit: int, after: str | None) -> Page:
        """As `list`; leaves out expired sessions. A cursor is the backend's own; `InvalidRequestError` on nonsense."""

    @abstractmethod
    def _made(self, tenant: str, limit: int, before: Session | None) -> Sequence[Session]:
        """As `made`, by (created_at, session_id); leaves out expired sessions."""

    @abstractmethod
    def _swap(self, old: Session, new: Session) -> bool:
        """Writes data, metadata and status of `new` if those of `old` are still there (and the conversation the
        same); False otherwise."""

    @abstractmethod
    def _put(self, sessions: Sequence[Session], replace: bool) -> Sequence[Placing]:
        """As `put`: decides by `placing.place` and writes, with nobody in between, for each session by itself."""

    @abstractmethod
    def _enter(self, record: TurnRecord, *, queue_limit: int) -> Standing:
        """Puts the ticket at the end of its session's queue, with a lease of `lease_seconds`; grants it at once, with
        a new and higher fence, when no live ticket is before it. Tickets that died are passed over and never revive.

        Not granted: with `queue_limit` 0 `TurnBusyError`, with that many waiting `QueueFullError` (both leave nothing
        behind). `KeyTakenError` when the idempotency key belongs to a turn of the last `KEY_LIFETIME_MS` that has
        begun or is live; a key whose turn died before it began is free.
        """

    @abstractmethod
    def _poll(self, key: SessionKey, turn_id: str) -> Standing | None:
        """Where the ticket stands now; grants it when it is the earliest live one and nobody live holds the session.
        None when the ticket has died."""

    @abstractmethod
    def _renew(self, tickets: Sequence[tuple[SessionKey, str]]) -> set[str]:
        """Renews the leases of these tickets; returns the turn ids that are still alive."""

    @abstractmethod
    def _withdraw(self, key: SessionKey, turn_id: str) -> None:
        """Takes the ticket out of the queue; nothing if it is not there. One that has not begun leaves no record and
        frees its idempotency key, one that has begun stays as a record in doubt. Frees nobody else's ticket."""

    @abstractmethod
    def _bind(self, turn_id: str, session: Session, *, replaces: Session | None, erase_old: bool) -> Session:
        """Writes the mapping if what it `replaces` (None: nothing) is still there, and with `erase_old` adds the old
        conversation to the erasures (not `whole`) in the same step. Returns what is bound now."""

    @abstractmethod
    def _write(self, record: TurnRecord) -> None:
        """Writes the record of an open turn."""

    @abstractmethod
    def _finish(self, record: TurnRecord, session: Session | None) -> None:
        """Writes the record's end, frees the session, and with `session` its `last_used` (never back in time),
        `expires_at`, and one turn more. Doing it a second time changes nothing and raises nothing."""

    @abstractmethod
    def _recall(self, tenant: str, idempotency_key: str) -> TurnRecord | None:
        """As `recall`."""

    @abstractmethod
    def _turn(self, key: SessionKey, turn_id: str) -> TurnRecord | None:
        """The record, `live` as of now. A waiting one that died is absent."""

    @abstractmethod
    def _turns(self, key: SessionKey, limit: int, after: str | None) -> Sequence[TurnRecord]:
        """As `turns`: those that are not waiting, newest first."""

    @abstractmethod
    def _settle(self, record: TurnRecord) -> bool:
        """Writes state, response_id, usage, finished_at and idempotency key of a record that is running and dead."""

    @abstractmethod
    def _set_undelivered(self, record: TurnRecord, undelivered: bool) -> bool:
        """Sets or clears the mark of an ended turn; True when that changed it."""

    @abstractmethod
    def _remember(self, tenant: str, given_ids: Sequence[str], until: int) -> None:
        """As `remember`; again is no error."""

    @abstractmethod
    def _remembered(self, tenant: str, given_ids: Sequence[str], now: int) -> set[str]:
        """As `remembered`."""

    @abstractmethod
    def _turn_of_response(self, tenant: str, response_id: str) -> ResponseOwner | None:
        """The session (by its name now) and the conversation of the turn with this response, as long as its record, or
        what is left of it, is there."""

    @abstractmethod
    def _add_key(self, key: ApiKey) -> bool:
        """As `add_key`; again is no error."""

    @abstractmethod
    def _find_key(self, name: str) -> ApiKey | None:
        """As `key`, in one round trip."""

    @abstractmethod
    def _list_keys(self) -> Sequence[ApiKey]:
        """Every key, in any order."""

    @abstractmethod
    def _remove_key(self, name: str) -> bool:
        """As `remove_key`."""

    @abstractmethod
    def _rename(self, turn_id: str, other_turn_id: str, old: Session, new: Session) -> None:
        """Moves the mapping and the ended turn records from one key to the other; both turns must be held."""

    @abstractmethod
    def _begin_erasure(self, turn_id: str, session: Session, erasure: Erasure) -> None:
        """Sets the status to erasing and adds the erasure, in one step."""

    @abstractmethod
    def _erasures(self, limit: int) -> Sequence[Erasure]:
        """As `erasures`."""

    @abstractmethod
    def _finish_erasure(self, erasure: Erasure) -> None:
        """Removes the erasure and the turn records of its conversation; when it is `whole` and the session is still
        erasing this conversation, the mapping too. Doing it twice is harmless."""

    @abstractmethod
    def _forget(self, turn_id: str, session: Session, *, erase: bool) -> None:
        """Removes the mapping; with `erase` adds its conversation to the erasures (not `whole`) in the same step,
        without it removes its ended turn records too."""

    @abstractmethod
    def _response_ids(self, key: SessionKey, conversation_id: str) -> Sequence[str]:
        """As `response_ids`."""

    @abstractmethod
    def _expire(self, limit: int) -> int:
        """As `expire`."""
