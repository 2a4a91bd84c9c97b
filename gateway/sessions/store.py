"""What a back end owes: a `Store` of five parts, each with a few small steps that are atomic and never wait.

A store knows no policy: who waits how long, when an edit is tried again, how `data` is sealed and what a retry gets is
the manager's. What it must know of that is told it once, in its `Terms`. Whoever writes a store of their own implements
these names, and `gateway.testing` tells whether it keeps what is promised.

A ticket *is* a turn's record: it waits, is granted (holds the session), begins (the provider may be asked from then on)
and ends, all in one place. Where a step takes a `turn_id`, or the record of an open turn, it writes only while that
turn is the one written as its session's holder, and raises `lost()` otherwise. A holder whose lease ran out is still
the holder until somebody passes it over, which is decided in one step with writing the next one; so an outage costs a
turn only when somebody else came. Every step may be sent twice, for an answer may get lost: the second time changes
nothing. All raise `StoreUnavailableError` when the store cannot answer, and never take that for an absence.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence

from gateway.errors import TurnLostError
from gateway.model import ApiKey, SessionKey, TurnRecord
from gateway.sessions.values import (
    Binding,
    Erasure,
    Filter,
    ResponseOwner,
    Standing,
    StoredPage,
    StoredSession,
    Terms,
    Use,
)


def lost() -> TurnLostError:
    """The error for a write of a turn that no longer holds its session."""
    return TurnLostError("This turn no longer holds its session: another one was let in after its lease had run out.")


class Tickets(ABC):
    """Each session's queue: who holds it, and who waits in which order."""

    @abstractmethod
    def enter(self, record: TurnRecord, *, queue_limit: int) -> Standing:
        """Puts the ticket at the end of its session's queue, with a lease of `terms.lease_seconds`; grants it at once,
        with a new and higher fence, when no live ticket is before it. Tickets that died are passed over and never
        revive; one has died when its lease is over (or, on a one-host store, its process) by the judgement of somebody
        else who comes. No lease is longer than two of ours from now, whatever a clock did since it was written.

        Not granted: with `queue_limit` 0 `TurnBusyError`, with that many waiting `QueueFullError` (both leave nothing
        behind). `KeyTakenError` when the idempotency key belongs to a turn that entered less than
        `terms.retention.key_ms` ago and has begun, or is live; a key whose turn died before it began is free.
        """

    @abstractmethod
    def poll(self, key: SessionKey, turn_id: str) -> Standing | None:
        """Where the ticket stands now; grants it when it is the earliest live one and nobody live holds the session.
        None when it was passed over."""

    @abstractmethod
    def renew(self, tickets: Sequence[tuple[SessionKey, str]]) -> set[str]:
        """Renews the leases of those that nobody passed over, and returns their turn ids. Stands in no line behind
        other steps; of no ticket it asks nobody. One that cannot be judged (its session's queue is spoilt) is left out,
        the others are not."""

    @abstractmethod
    def withdraw(self, key: SessionKey, turn_id: str) -> None:
        """Takes the ticket out of the queue; nothing if it is not there. One that has not begun leaves no record and
        frees its idempotency key, one that has begun stays as a record in doubt. Frees nobody else's ticket."""

    @abstractmethod
    def is_held(self, key: SessionKey) -> bool:
        """Whether a live turn holds the session now."""


class Sessions(ABC):
    """The mappings. Texts (`data`, `metadata`) are stored as they are given; nobody here reads them."""

    @abstractmethod
    def get(self, key: SessionKey) -> StoredSession | None:
        """The record, expired or not."""

    @abstractmethod
    def get_many(self, keys: Collection[SessionKey]) -> Mapping[SessionKey, StoredSession]:
        """Those of them that are there, expired or not. One that cannot be read raises, as in `get`."""

    @abstractmethod
    def page(self, wanted: Filter, limit: int, after: str | None) -> StoredPage:
        """Newest use first, without those that expired; one that cannot be read is left out, and logged. Pages never
        repeat a session. A cursor is the back end's own; `InvalidRequestError` on nonsense."""

    @abstractmethod
    def made(self, tenant: str, limit: int, before: tuple[int, str] | None) -> Sequence[StoredSession]:
        """The tenant's, newest made first by (created_at, session_id), those less than `before`; leaves out what
        `page` leaves out."""

    @abstractmethod
    def put(self, changes: Sequence[tuple[StoredSession | None, StoredSession]]) -> Sequence[bool]:
        """Writes each session whole where what is there is still equal to what was found (None: nothing), and tells
        which were written. The sessions are all different ones. Needs no turn."""

    @abstractmethod
    def swap(self, session: StoredSession) -> bool:
        """Writes its data, metadata and status if it is still at this `revision` and bound to this conversation, and
        gives it a new revision; False otherwise."""

    @abstractmethod
    def bind(self, turn_id: str, session: StoredSession, *, replaces: Binding | None, erase_old: bool) -> StoredSession:
        """Writes the mapping if what it `replaces` (None: nothing) is still there, and with `erase_old` adds the old
        conversation to the erasures (not `whole`) in the same step. Returns what is bound now: another conversation
        only if something other than a turn wrote it in between.

        A session of the generation after the one it `replaces` leaves alone everything but `conversation_id` and
        `generation`, for clients may be editing it. Any other stands in for a session that expired: it is written
        whole, and what is left of its forerunner's turns is no longer listed (as in `expire`)."""

    @abstractmethod
    def rename(self, turn_id: str, other_turn_id: str, key: SessionKey, session: StoredSession) -> bool:
        """Moves the mapping at `key` to `session.key` with this `user_id` and these texts, and with it the ended turn
        records, their idempotency keys, and what is to be erased of it: all or nothing, and done already is done. Both
        turns must be held. False when it is no longer at `session.revision`. `SessionNotFoundError` when `key` is not
        bound to this conversation, `SessionExistsError` when the other name is taken."""

    @abstractmethod
    def forget(self, turn_id: str, key: SessionKey, conversation_id: str, *, erase: bool) -> None:
        """Removes the mapping if it is bound to this conversation. With `erase` the conversation is added to the
        erasures (not `whole`) in the same step; without it the ended turn records go too, but for what `expire`
        leaves of them."""

    @abstractmethod
    def expire(self, limit: int) -> int:
        """Drops expired sessions that no live turn holds, at most `limit`, and returns how many. With
        `terms.erase_expired` their conversations are added to the erasures in the same step, and the turn records wait
        for that; without it the records go. In both cases those are no longer listed, and one with an idempotency key
        that is younger than `terms.retention.key_ms` stays to be recalled. Dead tickets are passed over before their
        session is dropped. One session that cannot be read keeps no other from being dropped."""


class Records(ABC):
    """What is remembered of turns: ids, times and counts."""

    @abstractmethod
    def write(self, record: TurnRecord) -> None:
        """Writes the record of an open turn."""

    @abstractmethod
    def finish(self, record: TurnRecord, use: Use | None) -> None:
        """Writes the record's end, frees the session and, if it is still bound to that conversation, what the turn
        made of it (`last_used` never goes back)."""

    @abstractmethod
    def recall(self, tenant: str, idempotency_key: str) -> TurnRecord | None:
        """The turn that this key belongs to, if it entered less than `terms.retention.key_ms` ago. Of an erased one
        only that it was there: it is `lost`, in no session, with its fingerprint."""

    @abstractmethod
    def get(self, key: SessionKey, turn_id: str) -> TurnRecord | None:
        """This session's record, `live` as of now. A waiting one that died is absent."""

    @abstractmethod
    def newest(self, key: SessionKey, limit: int, after: str | None) -> Sequence[TurnRecord]:
        """Those that have begun, newest first, those before the turn `after` (`InvalidRequestError` when there is no
        such turn)."""

    @abstractmethod
    def settle(self, record: TurnRecord) -> bool:
        """Writes state, response_id, usage, error_code, finished_at and the freed idempotency key of a record that is
        running and dead."""

    @abstractmethod
    def set_undelivered(self, record: TurnRecord, undelivered: bool) -> bool:
        """Sets or clears the mark of an ended turn; True when that changed it."""

    @abstractmethod
    def responses(self, key: SessionKey, conversation_id: str, limit: int) -> Sequence[str]:
        """The stored responses of this conversation's turns, at most so many."""

    @abstractmethod
    def drop_responses(self, key: SessionKey, conversation_id: str, response_ids: Sequence[str]) -> None:
        """These are gone at the provider: takes their ids out of the records."""

    @abstractmethod
    def of_response(self, tenant: str, response_id: str) -> ResponseOwner | None:
        """The session (by its name now) and the conversation of the turn with this response, as long as its record is
        there."""

    @abstractmethod
    def prune(self, limit: int) -> int:
        """Deletes records past `terms.retention.record_ms`, at most so many, and tells how many: fewer means that none
        is left. Needs nothing of any session, and costs nothing when there is nothing to do."""


class Erasures(ABC):
    """What is to be erased at the provider."""

    @abstractmethod
    def begin(self, turn_id: str, erasure: Erasure) -> None:
        """Sets the session's status to erasing and adds the erasure, in one step; `SessionNotFoundError` when it is not
        bound to this conversation."""

    @abstractmethod
    def claim(self, limit: int, until: int) -> Sequence[Erasure]:
        """Takes those that are due (`not_before` has passed), the longest due first, at most so many: nobody else gets
        them before `until`. Of an erasure that cannot be read nobody hears, and it is logged."""

    @abstractmethod
    def postpone(self, erasure: Erasure) -> None:
        """Writes its `not_before` and `attempts`; nothing when it is gone."""

    @abstractmethod
    def list(self, limit: int) -> Sequence[Erasure]:
        """All of them, oldest request first."""

    @abstractmethod
    def finish(self, erasure: Erasure) -> None:
        """Removes the erasure, the turn records of its conversation and, when it is `whole` and the session is still
        erasing this conversation, the mapping with all records of the session by which nothing else is to be erased.
        Of a record whose idempotency key is younger than `terms.retention.key_ms` a bare mark stays (turn_id, key,
        fingerprint) as `recall` tells it. A session that has come by that name since is left alone."""


class Owners(ABC):
    """Whose the provider's ids are, and whose an API key. Concerns no session's turn, and holds none up."""

    @abstractmethod
    def remember(self, tenant: str, given_ids: Sequence[str], until: int) -> None:
        """Keeps until then that the tenant was given these ids; again is no error."""

    @abstractmethod
    def remembered(self, tenant: str, given_ids: Sequence[str]) -> set[str]:
        """Those of these ids that the tenant was given."""

    @abstractmethod
    def prune(self, limit: int) -> int:
        """Deletes ids past their time, as `Records.prune`."""

    @abstractmethod
    def add_key(self, key: ApiKey) -> bool:
        """False when another key has its name; again is no error."""

    @abstractmethod
    def find_key(self, name: str) -> ApiKey | None:
        """The key as it is now, in one round trip and never from memory."""

    @abstractmethod
    def keys(self) -> Sequence[ApiKey]:
        """Every key, in any order."""

    @abstractmethod
    def remove_key(self, name: str) -> bool:
        """False when there was none."""


class Store(ABC):
    """Where mappings, tickets and turn records live. Safe for threads."""

    tickets: Tickets
    sessions: Sessions
    records: Records
    erasures: Erasures
    owners: Owners
    terms: Terms
    shared: bool = True
    """Whether other processes see the same sessions."""
    idle_seconds: float | None = None
    """After how long without a turn a session expires where nobody set that. None: never."""

    @abstractmethod
    def now(self) -> int:
        """Epoch milliseconds by the clock that rules the lifetime of sessions: the store's own where it has one, or
        `terms.clock`. Costs no round trip. Leases never run on `terms.clock`."""

    @abstractmethod
    def ping(self) -> None:
        """Returns when the store can be read and written; `StoreUnavailableError` otherwise."""

    @abstractmethod
    def close(self) -> None:
        """Gives back what is held. Tickets still held die with their lease."""
