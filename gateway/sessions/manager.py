"""The session store as the rest of the house sees it: who may run a turn now, and which conversation a session is
bound to.

`SessionManager` owns what is the same everywhere: waiting, renewing, expiry, sealing, the order of edits. It holds a
`Store`, whose small atomic steps never wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Self

from gateway.errors import (
    SessionExistsError,
    SessionNotFoundError,
    TurnBusyError,
    VersionMismatchError,
)
from gateway.model import Session, SessionKey, Status, TurnRecord, new_turn_id
from gateway.sessions.codec import Codec
from gateway.sessions.merging import Merge, put
from gateway.sessions.store import Store
from gateway.sessions.turn import Holdings, Turn, take
from gateway.sessions.values import (
    Erasure,
    Filter,
    Lifetime,
    Page,
    ResponseOwner,
)
from gateway.sessions.waiters import Waiters


class SessionManager:
    """Where mappings, tickets and turn records live. Safe for threads; made anew in a forked process.

    `wait_seconds` and `queue_limit`: how long a turn waits for its session, and how many may wait for one.
    `max_waiting`: how many turns of this process may wait at once (`QueueFullError` beyond it).
    `encryption_keys` (Fernet's): with the first, `data` and `metadata` are encrypted whenever they are written; what
    was written with any of them, or without, is read. What none of them opens is unavailable, never absent.
    """

    def __init__(
        self,
        store: Store,
        *,
        lifetime: Lifetime | None = None,
        wait_seconds: float = 25.0,
        queue_limit: int = 16,
        max_waiting: int | None = None,
        encryption_keys: Sequence[str] = (),
    ) -> None:
        lifetime = lifetime or Lifetime()
        if lifetime.idle_seconds is None:
            lifetime = replace(lifetime, idle_seconds=store.idle_seconds)
        self.lifetime = lifetime
        self.wait_seconds = wait_seconds
        self.queue_limit = queue_limit
        self._codec = Codec(encryption_keys)
        self._holdings = Holdings(store, self._codec, lifetime, Waiters(max_waiting))
        self.leases = self._holdings.leases
        self.waiters = self._holdings.waiters

    @property
    def store(self) -> Store:
        """What it holds: for those who need no more than a step of it."""
        return self._holdings.store

    def wrap(self, wrapper: Callable[[Store], Store]) -> None:
        """Puts something round the store: every step from now on goes through it."""
        self._holdings.store = wrapper(self._holdings.store)

    @property
    def shared(self) -> bool:
        """Whether other processes see the same sessions."""
        return self.store.shared

    # --- Sessions ------------------------------------------------------------------------------------------

    def now(self) -> int:
        """Epoch milliseconds by the clock that rules the lifetime of sessions."""
        return self.store.now()

    def get(self, key: SessionKey) -> Session | None:
        """The session, or None when there is none or it has expired. Reading does not renew it."""
        stored = self.store.sessions.get(key)
        if stored is None or (stored.is_over(self.now()) and not self.store.tickets.is_held(key)):
            return None
        return self._codec.decode(stored)

    def list(self, wanted: Filter, *, limit: int = 20, after: str | None = None) -> Page:
        """One page, newest use first. Pages never repeat a session; only one used since may be missed."""
        found = self.store.sessions.page(wanted, limit, after)
        return Page([self._codec.decode(stored) for stored in found.sessions], found.next)

    def made(self, tenant: str, *, limit: int = 20, before: Session | None = None) -> Sequence[Session]:
        """The tenant's sessions, newest made first, those that were made before this one: an order that no use changes,
        so that pages repeat none and miss none."""
        behind = None if before is None else (before.created_at, before.session_id)
        return [self._codec.decode(stored) for stored in self.store.sessions.made(tenant, limit, behind)]

    def walk(self, wanted: Filter, *, page: int = 500) -> Iterator[Session]:
        """Every session that the filter names, as `list` gives them, `page` in memory at a time."""
        after: str | None = None
        while True:
            found = self.list(wanted, limit=page, after=after)
            yield from found.sessions
            if found.next is None:
                return
            after = found.next

    def put(self, sessions: Sequence[Session], *, replace: bool = False, dry_run: bool = False) -> Sequence[Merge]:
        """Writes mappings that were made elsewhere, each of another session and with every field as it is, and tells
        of each what became of it. Needs no turn: it is for stores that are filled from others.

        Nothing but an older state of the same mapping is overwritten without `replace` (see `merging.merge`); a mapping
        is written whole or not at all, and can be read by every process when this returns.
        """
        return put(self.store, self._codec, sessions, replace=replace, dry_run=dry_run)

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
            data_before, metadata_before = session.opened()
            if expected_version is not None and session.version != expected_version:
                raise VersionMismatchError()
            merged = {k: v for k, v in {**data_before, **(data or {})}.items() if v is not None}
            edited = replace(
                session,
                data=merged if data is not None else data_before,
                metadata=dict(metadata) if metadata is not None else metadata_before,
                status=status or session.status,
            )
            if edited == session or self.store.sessions.swap(self._codec.encode(edited)):
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
        wait_seconds: float | None = None,
        erasing: bool = False,
    ) -> Iterator[Turn]:
        """Waits for the session's turn, first come first served over all processes, and holds it for the block.

        `TurnBusyError` when it did not come in `wait_seconds` (0: not at once), `QueueFullError` when as many as may
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
        turn = take(
            self._holdings,
            record,
            wait_seconds=self.wait_seconds if wait_seconds is None else wait_seconds,
            queue_limit=self.queue_limit,
        )
        try:
            if turn.session is not None and turn.session.status is Status.ERASING and not erasing:
                raise TurnBusyError("This session is being erased.", retry_after=5)
            yield turn
        finally:
            turn.leave()

    @contextmanager
    def turns_of_both(
        self, one: SessionKey, other: SessionKey, *, wait_seconds: float | None = None
    ) -> Iterator[tuple[Turn, Turn]]:
        """Holds the turns of two sessions, in whatever order is named: both are taken in one order by all, so that two
        who cross do not wait for each other for ever. `wait_seconds` is for both together."""
        deadline = time.monotonic() + (self.wait_seconds if wait_seconds is None else wait_seconds)
        first, second = sorted((one, other))
        with (
            self.turn(first, wait_seconds=max(0.0, deadline - time.monotonic())) as a,
            self.turn(second, wait_seconds=max(0.0, deadline - time.monotonic())) as b,
        ):
            yield (a, b) if first == one else (b, a)

    def recall(self, tenant: str, idempotency_key: str) -> TurnRecord | None:
        """The turn that this key belongs to, for as long as keys are kept."""
        return self.store.records.recall(tenant, idempotency_key)

    def turn_record(self, key: SessionKey, turn_id: str) -> TurnRecord | None:
        """One turn of a session."""
        return self.store.records.get(key, turn_id)

    def turns(self, key: SessionKey, *, limit: int = 20, after: str | None = None) -> Sequence[TurnRecord]:
        """The turns of a session that have begun, newest first, those before the turn `after`."""
        return self.store.records.newest(key, limit, after)

    def settle(self, record: TurnRecord) -> bool:
        """Writes the end of a turn that a crash cut off. False when it was not in doubt (any more)."""
        return self.store.records.settle(record)

    def mark_undelivered(self, record: TurnRecord) -> None:
        """Says of an ended turn that its client left before the reply was delivered."""
        self.store.records.set_undelivered(record, True)

    def claim_undelivered(self, record: TurnRecord) -> bool:
        """Takes that mark away again: True for one of those who try it, however many do so at once."""
        return self.store.records.set_undelivered(record, False)

    # --- The end of sessions -------------------------------------------------------------------------------

    def rename(
        self, key: SessionKey, session_id: str, *, user_id: str | None = None, wait_seconds: float | None = None
    ) -> Session:
        """Gives a session another id (and a user, when one is named), its turn records with it. At no moment is
        there no such session, or two."""
        target = SessionKey(key.tenant, session_id)
        if target == key:
            raise SessionExistsError(param="session_id")
        with self.turns_of_both(key, target, wait_seconds=wait_seconds) as (source, free):
            return source.rename(free, user_id=user_id)

    def erasures(self, *, limit: int = 100) -> Sequence[Erasure]:
        """What is still to be erased at the provider, oldest request first."""
        return self.store.erasures.list(limit)

    def claim_erasures(self, limit: int, until: int) -> Sequence[Erasure]:
        """Those that are due, for whoever asks and nobody else before `until`."""
        return self.store.erasures.claim(limit, until)

    def postpone(self, erasure: Erasure) -> None:
        """It is not done yet: keeps when it may be tried again, and how often it failed."""
        self.store.erasures.postpone(erasure)

    def finish_erasure(self, erasure: Erasure) -> None:
        """The provider has nothing left: forgets the mapping (when the session goes too) and its turn records."""
        self.store.erasures.finish(erasure)

    def responses(self, erasure: Erasure, limit: int) -> Sequence[str]:
        """The stored responses of the conversation's turns."""
        return self.store.records.responses(erasure.key, erasure.conversation_id, limit)

    def drop_responses(self, erasure: Erasure, response_ids: Sequence[str]) -> None:
        """These are gone at the provider."""
        self.store.records.drop_responses(erasure.key, erasure.conversation_id, response_ids)

    def expire(self, limit: int = 1000) -> int:
        """Drops expired sessions, at most `limit`, and returns how many; none during a turn. Where the store's terms
        say so their conversations are handed to the erasures in the same step."""
        return self.store.sessions.expire(limit)

    def prune(self, limit: int = 1000) -> int:
        """Drops turn records and remembered ids that are past their time, at most `limit` of each kind."""
        return self.store.records.prune(limit) + self.store.owners.prune(limit)

    # --- Whose the provider's ids are ----------------------------------------------------------------------

    def remember(self, tenant: str, given_ids: Sequence[str]) -> None:
        """Keeps for a while that this tenant was given these ids of the provider's: of items, and of responses outside
        of every session (those of turns are in their records)."""
        until = self.now() + self.store.terms.retention.given_ms
        self.store.owners.remember(tenant, list(dict.fromkeys(given_ids)), until)

    def remembered(self, tenant: str, given_ids: Sequence[str]) -> set[str]:
        """Those of these ids that this tenant was given."""
        possible = [each for each in dict.fromkeys(given_ids) if _can_be_given(each)]
        return self.store.owners.remembered(tenant, possible) if possible else set()

    def response_owner(self, tenant: str, response_id: str) -> ResponseOwner | None:
        """Where this response of the tenant's came from; None when it is nobody's, or another tenant's."""
        owner = self.store.records.of_response(tenant, response_id) if _can_be_given(response_id) else None
        if owner is None and self.remembered(tenant, [response_id]):
            return ResponseOwner(None, None, None)
        return owner

    # --- The whole -----------------------------------------------------------------------------------------

    def wait(self, key: SessionKey, seconds: float) -> None:
        """Pauses one who waits for something of this session: until a turn of it ends in this process, or a while."""
        with self.waiters.listen(key) as waiter:
            waiter.wait(seconds)

    def stop_waiting(self) -> None:
        """Ends every wait of this process, now and from now on, with `ShuttingDownError`. Turns under way go on."""
        self.waiters.end()

    def ping(self) -> None:
        """Returns when the store answers and this process's leases are renewed; `StoreUnavailableError` otherwise."""
        self.store.ping()
        self._holdings.leases.check()

    def close(self) -> None:
        """Gives back what is held. Tickets still held die with their lease."""
        self._holdings.close()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _can_be_given(given_id: str) -> bool:
    """What is no id nobody was given, and not every store could look for it."""
    return len(given_id) <= 200 and given_id.isprintable()
