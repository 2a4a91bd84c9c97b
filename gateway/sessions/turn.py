"""A turn of a session: waited for, first come first served over all processes of a store, and held in hand."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace

from gateway.errors import (
    QueueFullError,
    SessionExistsError,
    SessionNotFoundError,
    StoreUnavailableError,
    TurnBusyError,
)
from gateway.liveness import uptime_us
from gateway.model import JSON, Session, SessionKey, Status, TurnRecord, TurnState
from gateway.sessions.codec import Codec
from gateway.sessions.leases import Leases, Withdrawals
from gateway.sessions.store import Store, lost
from gateway.sessions.values import CLAIM_MS, Binding, Erasure, KeyTakenError, Lifetime, Standing, Use
from gateway.sessions.waiters import Waiters

_AGAIN_SECONDS = 0.2
"""How soon the end of a turn is written again while the store is away."""


class Holdings:
    """What every turn of a process works with."""

    def __init__(self, store: Store, codec: Codec, lifetime: Lifetime, waiters: Waiters) -> None:
        lease_seconds = store.terms.lease_seconds
        self.store = store
        self.codec = codec
        self.lifetime = lifetime
        self.waiters = waiters
        self.leases = Leases(lease_seconds, lambda tickets: self.store.tickets.renew(tickets))
        self.withdrawals = Withdrawals(
            lambda key, turn_id: self.store.tickets.withdraw(key, turn_id), keep_seconds=2 * lease_seconds
        )

    def give_back(self, key: SessionKey, turn_id: str) -> None:
        """Takes the ticket out of the queue, now or as soon as the store hears it."""
        try:
            self.store.tickets.withdraw(key, turn_id)
        except StoreUnavailableError:
            self.withdrawals.add(key, turn_id)
        self.release(key, turn_id)

    def release(self, key: SessionKey, turn_id: str) -> None:
        """The ticket is no more: nobody renews it, and whoever waits here looks."""
        self.leases.remove(turn_id)
        self.waiters.wake(key)

    def close(self) -> None:
        self.leases.close()
        self.withdrawals.close()


class Turn:
    """The right to run one turn of a session. Every write of it is refused (`TurnLostError`) once the right is gone."""

    def __init__(
        self, holdings: Holdings, record: TurnRecord, fence: int, session: Session | None, expired: Session | None
    ) -> None:
        self._holdings = holdings
        self._store = holdings.store
        self.record = record
        self.fence = fence
        self.session = session
        """What the session is bound to; None until `bind`. One that expired is absent."""
        self.expired = expired
        """What it was bound to before it expired."""
        self._ended = False

    @property
    def key(self) -> SessionKey:
        return self.record.key

    def check(self) -> None:
        """Raises `TurnLostError` once the right may be gone, without asking the store: for what no store could
        refuse, such as a question to the provider by a process that was paused for longer than its lease."""
        if not self._holdings.leases.may_live(self.record.turn_id):
            raise lost()

    def bind(
        self,
        conversation_id: str,
        *,
        user_id: str | None = None,
        data: JSON | None = None,
        metadata: JSON | None = None,
        erase_old: bool = False,
    ) -> Session:
        """Binds the session to a conversation that the provider returned: once a generation, and readable by every
        process when this returns. A bound session begins a new generation and keeps what it holds.

        The session that is returned is bound to another conversation only if something other than a turn wrote it
        in between; then the caller's own conversation is not used and should be deleted.
        """
        codec, now, old = self._holdings.codec, self._store.now(), self.session
        if old is not None:
            bound = codec.encode_binding(replace(old, conversation_id=conversation_id, generation=old.generation + 1))
        else:
            bound = codec.encode(
                Session(
                    tenant=self.key.tenant,
                    session_id=self.key.session_id,
                    conversation_id=conversation_id,
                    created_at=now,
                    last_used=now,
                    expires_at=self._holdings.lifetime.expires_at(now, now),
                    user_id=user_id,
                    data=data or {},
                    metadata=metadata or {},
                )
            )
        replaced = old or self.expired
        stored = self._store.sessions.bind(
            self.record.turn_id,
            bound,
            replaces=Binding(replaced.conversation_id, replaced.generation) if replaced is not None else None,
            erase_old=erase_old if old is not None else self._store.terms.erase_expired,
        )
        self.session = codec.decode(stored)
        return self.session

    def begin(self, *, created: bool = False, recovered: bool = False) -> None:
        """Writes down that the provider is asked from now on: after a crash the turn is in doubt, not undone."""
        if self.session is None:
            raise RuntimeError("a turn begins in a bound session")
        self.record = replace(
            self.record,
            state=TurnState.RUNNING,
            conversation_id=self.session.conversation_id,
            generation=self.session.generation,
            created=created,
            recovered=recovered,
            started_at=self._store.now(),
        )
        self._store.records.write(self.record)

    def note(self, response_id: str | None) -> None:
        """Keeps the response's id as soon as it is known (None: another one is asked for): the thread by which a
        crash is settled. When the store is away the turn goes on: its end carries the id too."""
        self.record = replace(self.record, response_id=response_id)
        with suppress(StoreUnavailableError):
            self._store.records.write(self.record)

    def finish(
        self,
        state: TurnState,
        *,
        response_id: str | None = None,
        usage: JSON | None = None,
        error_code: str | None = None,
        forget_key: bool = False,
        undelivered: bool = False,
    ) -> TurnRecord:
        """The turn's end, written before anybody hears of it; the session is free for the next turn afterwards.

        A store that does not take it is asked again for a lease from then on; after that the turn is in doubt.
        """
        now = self._store.now()
        record = replace(
            self.record,
            state=state,
            live=False,
            response_id=response_id or self.record.response_id,
            finished_at=now,
            usage=usage,
            error_code=error_code,
            idempotency_key=None if forget_key else self.record.idempotency_key,
            undelivered=undelivered,
        )
        session = self.session
        if session is not None and state is not TurnState.FAILED:
            used = max(now, session.last_used)
            session = replace(
                session,
                last_used=used,
                turns=session.turns + 1,
                expires_at=self._holdings.lifetime.expires_at(session.created_at, used),
            )
        self._write_end(record, session)
        self._ended = True
        self.record, self.session = record, session
        self._holdings.release(self.key, record.turn_id)
        return record

    def _write_end(self, record: TurnRecord, session: Session | None) -> None:
        use = None
        if session is not None:
            use = Use(self.key, session.conversation_id, session.last_used, session.expires_at, session.turns)
        failed_at: int | None = None
        while True:
            try:
                self._store.records.finish(record, use)
                return
            except StoreUnavailableError as exc:
                now = uptime_us()
                failed_at = now if failed_at is None else failed_at
                if now - failed_at >= self._holdings.leases.lease_seconds * 1e6:
                    # The turn took place: it must not be sent again.
                    exc.in_doubt = True
                    raise
                time.sleep(_AGAIN_SECONDS)

    def begin_erasure(self) -> Erasure:
        """Marks the session as erasing: it survives restarts and takes no turns until it is finished."""
        if self.session is None:
            raise SessionNotFoundError()
        now = self._store.now()
        erasure = Erasure(
            *self.key, self.session.conversation_id, requested_at=now, whole=True, not_before=now + CLAIM_MS
        )
        self._store.erasures.begin(self.record.turn_id, erasure)
        self.session = replace(self.session, status=Status.ERASING)
        return erasure

    def forget(self) -> None:
        """Drops the session and its turn records, and leaves the conversation at the provider alone."""
        if self.session is None:
            raise SessionNotFoundError()
        self._store.sessions.forget(self.record.turn_id, self.key, self.session.conversation_id, erase=False)
        self.session = None

    def rename(self, free: Turn, *, user_id: str | None = None) -> Session:
        """Gives the session the name whose turn `free` is (and a user, when one is named), its turn records with it."""
        session, sessions, codec = self.session, self._store.sessions, self._holdings.codec
        if session is None:
            raise SessionNotFoundError()
        if free.session is not None:
            raise SessionExistsError(param="session_id")
        if (expired := free.expired) is not None:
            erase = self._store.terms.erase_expired
            sessions.forget(free.record.turn_id, free.key, expired.conversation_id, erase=erase)
        while True:
            # What is sealed names its session.
            renamed = replace(session, session_id=free.key.session_id, user_id=user_id or session.user_id)
            if sessions.rename(self.record.turn_id, free.record.turn_id, self.key, codec.encode(renamed)):
                return renamed
            if (stored := sessions.get(self.key)) is None:
                raise SessionNotFoundError()
            session = codec.decode(stored)

    def leave(self) -> None:
        """Gives the session back without an end: a turn that has not begun leaves no trace, a begun one is in doubt."""
        if not self._ended:
            self._ended = True
            self._holdings.give_back(self.key, self.record.turn_id)

    def __repr__(self) -> str:
        return f"<Turn {self.record.turn_id} of {self.key.session_id!r} fence={self.fence}>"


POLL_SECONDS = 0.05
"""How often the first in the queue looks whether its turn has come: at most 20 store calls a second."""


def take(holdings: Holdings, record: TurnRecord, *, wait_seconds: float, queue_limit: int) -> Turn:
    """Enters the queue and returns with the turn; whoever does not get it leaves nothing behind."""
    key, turn_id, store = record.key, record.turn_id, holdings.store
    asked = uptime_us()
    deadline = time.monotonic() + wait_seconds
    entered = False
    try:
        with holdings.waiters.listen(key) as waiter:
            standing: Standing | None = store.tickets.enter(record, queue_limit=queue_limit if wait_seconds > 0 else 0)
            entered = True
            holdings.leases.add(key, turn_id, since=asked)
            while standing is not None and standing.before:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TurnBusyError(retry_after=1)
                # Those further back need not look as often: the ones before them must pass first.
                waiter.wait(min(left, POLL_SECONDS * min(standing.before, 20)))
                standing = store.tickets.poll(key, turn_id)
        if standing is None:
            raise TurnBusyError("This turn lost its place in the queue.", retry_after=1)
        stored = standing.session if standing.is_read else store.sessions.get(key)
    except BaseException as exc:
        # A ticket whose entering was answered by nobody may be there all the same.
        if entered or not isinstance(exc, (TurnBusyError, QueueFullError, KeyTakenError)):
            holdings.give_back(key, turn_id)
        raise
    session = None if stored is None else holdings.codec.decode(stored)
    if stored is not None and stored.is_over(store.now()):
        return Turn(holdings, record, standing.fence, None, session)
    return Turn(holdings, record, standing.fence, session, None)
