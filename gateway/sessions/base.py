"""The session store: who may run a turn now, and which conversation a session is bound to.

`SessionManager` owns what is the same everywhere: waiting, renewing, expiry, the order of edits. A backend supplies
the small atomic steps of `gateway.sessions.steps`, none of which waits. A ticket *is* a turn's record: it is waiting,
is granted (holds the session), begins (the provider may be asked from then on) and ends, all in one place.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Self

from gateway.errors import (
    GatewayError,
    SessionExistsError,
    SessionNotFoundError,
    TurnBusyError,
    TurnLostError,
    VersionMismatchError,
)
from gateway.model import Session, SessionKey, Status, TurnRecord, new_turn_id
from gateway.sessions.owners import Owners
from gateway.sessions.placing import Placing
from gateway.sessions.sealing import Sealing
from gateway.sessions.turn import Turn
from gateway.sessions.values import (
    GIVEN_LIFETIME_MS,
    KEY_LIFETIME_MS,
    Erasure,
    Filter,
    KeyTakenError,
    Lifetime,
    Page,
    ResponseOwner,
    Standing,
)
from gateway.sessions.waiting import Bell, Keeper

__all__ = [
    "GIVEN_LIFETIME_MS",
    "KEY_LIFETIME_MS",
    "POLL_SECONDS",
    "Erasure",
    "Filter",
    "KeyTakenError",
    "Lifetime",
    "Page",
    "Placing",
    "ResponseOwner",
    "SessionManager",
    "Standing",
    "Turn",
]

POLL_SECONDS = 0.05
"""How often the first in the queue looks whether its turn has come: at most 20 store calls a second."""


class SessionManager(Owners):
    """Where mappings, tickets and turn records live. Safe for threads; made anew in a forked process.

    `max_waiting`: how many turns of this process may wait at once (`QueueFullError` beyond it).
    `encryption_keys` (Fernet's): with the first, `data` and `metadata` are encrypted whenever they are written; what
    was written with any of them, or without, is read. What none of them opens is unavailable, never absent.
    `clock` (epoch seconds) stands in for the store's clock in what concerns a session's lifetime; leases always run
    on the store's own.
    """

    default_idle_seconds: float | None = None
    networked = False
    """Whether the store is a server that many hosts can share."""
    shared = True
    """Whether other processes see the same sessions."""

    def __init__(
        self,
        *,
        lease_seconds: float = 30.0,
        lifetime: Lifetime | None = None,
        erase_expired: bool = False,
        max_waiting: int | None = None,
        encryption_keys: Sequence[str] = (),
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.lease_seconds = lease_seconds
        lifetime = lifetime or Lifetime()
        if lifetime.idle_seconds is None:
            lifetime = replace(lifetime, idle_seconds=self.default_idle_seconds)
        self.lifetime = lifetime
        self.erase_expired = erase_expired
        self._clock = clock
        self._sealing = Sealing(encryption_keys)
        self._bell = Bell(max_waiting)
        self._keeper = Keeper(lease_seconds, lambda tickets: self._renew(tickets))

    # --- Sessions ------------------------------------------------------------------------------------------

    def now(self) -> int:
        """Epoch milliseconds by the clock that rules the lifetime of sessions."""
        return round((self._clock or time.time)() * 1000)

    def get(self, key: SessionKey) -> Session | None:
        """The session, or None when there is none or it has expired. Reading does not renew it."""
        session = self._get(key)
        if session is None or not self._expired(session):
            return session
        return session if self._held(key) else None

    def list(self, filter: Filter, *, limit: int = 20, after: str | None = None) -> Page:
        """One page, newest use first. Pages never repeat a session; only one used since may be missed."""
        return self._list(filter, limit, after)

    def made(self, tenant: str, *, limit: int = 20, before: Session | None = None) -> Sequence[Session]:
        """The tenant's sessions, newest made first, those that were made before this one: an order that no use changes,
        so that pages repeat none and miss none."""
        return self._made(tenant, limit, before)

    def walk(self, filter: Filter, *, page: int = 500) -> Iterator[Session]:
        """Every session that the filter names, as `list` gives them, `page` in memory at a time."""
        after: str | None = None
        while True:
            found = self._list(filter, page, after)
            yield from found.sessions
            if found.next is None:
                return
            after = found.next

    def put(self, sessions: Sequence[Session], *, replace: bool = False) -> Sequence[Placing]:
        """Writes mappings that were made elsewhere, each of another session and with every field as it is, and tells
        of each what became of it. Needs no turn: it is for stores that are filled from others.

        Nothing but an older state of the same mapping is overwritten without `replace` (see `placing.place`); a mapping
        is written whole or not at all, and can be read by every process when this returns.
        """
        return self._put(sessions, replace) if sessions else []

    def update(
        self,
        key: SessionKey,
        *,
        data: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        status: Status | None = None,
        expected_version: str | None = None,
    ) -> Session:
        """Merges `data` shallowly (null removes a key), replaces `metadata`, sets `status`: all or nothing, and no
        concurrent edit is lost. `VersionMismatchError` when the session is no longer at `expected_version`."""
        while True:
            session = self.get(key)
            if session is None or session.status is Status.ERASING:
                raise SessionNotFoundError()
            if expected_version is not None and session.version != expected_version:
                raise VersionMismatchError()
            merged = {k: v for k, v in {**session.data, **(data or {})}.items() if v is not None}
            edited = replace(
                session,
                data=merged if data is not None else session.data,
                metadata=dict(metadata) if metadata is not None else session.metadata,
                status=status or session.status,
            )
            if edited == session or self._swap(session, edited):
                return edited

    # --- Turns ---------------------------------------------------------------------------------------------

    @contextmanager
    def turn(
        self,
        key: SessionKey,
        *,
        turn_id: str | None = None,
        workflow: str = "",
        idempotency_key: str | None = None,
        fingerprint: str | None = None,
        wait_seconds: float = 25.0,
        queue_limit: int = 16,
        erasing: bool = False,
    ) -> Iterator[Turn]:
        """Waits for the session's turn, first come first served over all processes, and holds it for the block.

        `TurnBusyError` when it did not come in `wait_seconds` (0: not at once), `QueueFullError` when `queue_limit`
        wait already, `KeyTakenError` when the idempotency key belongs to another turn. Only an eraser (`erasing`)
        gets the turn of a session that is being erased.
        """
        record = TurnRecord(
            turn_id=turn_id or new_turn_id(),
            tenant=key.tenant,
            session_id=key.session_id,
            live=True,
            workflow=workflow,
            idempotency_key=idempotency_key,
            fingerprint=fingerprint,
            started_at=self.now(),
        )
        turn = self._take(record, wait_seconds, queue_limit)
        try:
            if turn.session is not None and turn.session.status is Status.ERASING and not erasing:
                raise TurnBusyError("This session is being erased.", retry_after=5)
            yield turn
        finally:
            turn.leave()

    def _take(self, record: TurnRecord, wait_seconds: float, queue_limit: int) -> Turn:
        key, turn_id = record.key, record.turn_id
        asked = time.monotonic()
        deadline = asked + wait_seconds
        entered = False
        try:
            with self._bell.listen(key) as rung:
                standing: Standing | None = self._enter(record, queue_limit=queue_limit if wait_seconds > 0 else 0)
                entered = True
                self._keeper.add(key, turn_id, since=asked)
                while standing is not None and standing.before:
                    left = deadline - time.monotonic()
                    if left <= 0:
                        raise TurnBusyError(retry_after=1)
                    # Those further back need not look as often: the ones before them must pass first.
                    rung.wait(min(left, POLL_SECONDS * min(standing.before, 20)))
                    standing = self._poll(key, turn_id)
            if standing is None:
                raise TurnBusyError("This turn lost its place in the queue.", retry_after=1)
            session = self._found(key, standing.found)
        except BaseException:
            if entered:
                with suppress(GatewayError):
                    self._withdraw(key, turn_id)
            self._released(key, turn_id)
            raise
        expired = session if session is not None and self._expired(session) else None
        return Turn(self, record, standing.fence, None if expired else session, expired)

    def recall(self, tenant: str, idempotency_key: str) -> TurnRecord | None:
        """The turn that this key belongs to, for `KEY_LIFETIME_MS` after it came in."""
        return self._recall(tenant, idempotency_key)

    def turn_record(self, key: SessionKey, turn_id: str) -> TurnRecord | None:
        """One turn of a session."""
        record = self._turn(key, turn_id)
        return record if record is not None and record.key == key else None

    def turns(self, key: SessionKey, *, limit: int = 20, after: str | None = None) -> Sequence[TurnRecord]:
        """The turns of a session that have begun, newest first, those before the turn `after`."""
        return self._turns(key, limit, after)

    def settle(self, record: TurnRecord) -> bool:
        """Writes the end of a turn that a crash cut off. False when it was not in doubt (any more)."""
        return self._settle(record)

    def mark_undelivered(self, record: TurnRecord) -> None:
        """Says of an ended turn that its client left before the reply was delivered."""
        self._set_undelivered(record, True)

    def claim_undelivered(self, record: TurnRecord) -> bool:
        """Takes that mark away again: True for one of those who try it, however many do so at once."""
        return self._set_undelivered(record, False)

    # --- The end of sessions -------------------------------------------------------------------------------

    def rename(
        self, key: SessionKey, session_id: str, *, user_id: str | None = None, wait_seconds: float = 25.0
    ) -> Session:
        """Gives a session another id (and a user, when one is named), its turn records with it. At no moment is
        there no such session, or two."""
        target = SessionKey(key.tenant, session_id)
        if target == key:
            raise SessionExistsError(param="session_id")
        # Both turns are held, always in the same order: two renames that cross do not wait for each other for ever.
        first, second = sorted((key, target))
        with (
            self.turn(first, wait_seconds=wait_seconds) as one,
            self.turn(second, wait_seconds=wait_seconds) as other,
        ):
            source, free = (one, other) if first == key else (other, one)
            if source.session is None:
                raise SessionNotFoundError()
            if free.session is not None:
                raise SessionExistsError(param="session_id")
            if free._expired is not None:
                self._forget(free.record.turn_id, free._expired, erase=self.erase_expired)
            renamed = replace(source.session, session_id=session_id, user_id=user_id or source.session.user_id)
            self._rename(source.record.turn_id, free.record.turn_id, source.session, renamed)
        return renamed

    def begin_erasure(self, turn: Turn) -> Erasure:
        """Marks the turn's session as erasing: it survives restarts and takes no turns until it is finished."""
        session = turn.session
        if session is None:
            raise SessionNotFoundError()
        erasure = Erasure(session.tenant, session.session_id, session.conversation_id, self.now(), whole=True)
        self._begin_erasure(turn.record.turn_id, session, erasure)
        turn.session = replace(session, status=Status.ERASING)
        return erasure

    def erasures(self, *, limit: int = 100) -> Sequence[Erasure]:
        """What is still to be erased at the provider, oldest first."""
        return self._erasures(limit)

    def finish_erasure(self, erasure: Erasure) -> None:
        """The provider has nothing left: forgets the mapping (when the session goes too) and its turn records."""
        self._finish_erasure(erasure)

    def forget(self, turn: Turn) -> None:
        """Drops the turn's session and its turn records, and leaves the conversation at the provider alone."""
        if turn.session is None:
            raise SessionNotFoundError()
        self._forget(turn.record.turn_id, turn.session, erase=False)
        turn.session = None

    def response_ids(self, key: SessionKey, conversation_id: str) -> Sequence[str]:
        """The stored responses of this conversation's turns."""
        return self._response_ids(key, conversation_id)

    def expire(self, *, limit: int = 100) -> int:
        """Drops expired sessions, at most `limit`, and returns how many; none during a turn. With `erase_expired`
        their conversations are handed to `erasures` in the same step. Also prunes what is past its time of turn
        records and remembered ids."""
        return self._expire(limit)

    # --- The whole -----------------------------------------------------------------------------------------

    def wait(self, key: SessionKey, seconds: float) -> None:
        """Pauses one who waits for something of this session: until a turn of it ends in this process, or a while."""
        with self._bell.listen(key) as rung:
            rung.wait(seconds)

    def stop_waiting(self) -> None:
        """Ends every wait of this process, now and from now on, with `ShuttingDownError`. Turns under way go on."""
        self._bell.silence()

    @abstractmethod
    def ping(self) -> None:
        """Returns when the store answers; `StoreUnavailableError` otherwise."""

    def close(self) -> None:
        """Gives back what is held. Tickets still held die with their lease."""
        self._keeper.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _expired(self, session: Session) -> bool:
        return session.expires_at is not None and session.expires_at <= self.now()

    def _released(self, key: SessionKey, turn_id: str) -> None:
        self._keeper.remove(turn_id)
        self._bell.ring(key)

    def _lost(self, turn_id: str) -> TurnLostError:
        """The error for a write of a turn that no longer holds its session."""
        self._keeper.remove(turn_id)
        return TurnLostError("This turn no longer holds its session: it took longer than its lease to be renewed.")
