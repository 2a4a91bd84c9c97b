"""A turn of a session, as its holder has it in hand."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.errors import StoreUnavailableError
from gateway.model import JSON, Session, SessionKey, TurnRecord, TurnState

if TYPE_CHECKING:
    from gateway.sessions.base import SessionManager

_AGAIN_SECONDS = 0.2
"""How soon the end of a turn is written again while the store is away."""


class Turn:
    """The right to run one turn of a session. Every write of it is refused (`TurnLostError`) once the right is gone."""

    def __init__(
        self, manager: SessionManager, record: TurnRecord, fence: int, session: Session | None, expired: Session | None
    ) -> None:
        self._manager = manager
        self.record = record
        self.fence = fence
        self.session = session
        """What the session is bound to; None until `bind`. One that expired is absent."""
        self._expired = expired
        self._ended = False

    @property
    def key(self) -> SessionKey:
        return self.record.key

    def check(self) -> None:
        """Raises `TurnLostError` once the right is surely gone, without asking the store: for what no store could
        refuse, such as a question to the provider by a process that was paused for longer than its lease."""
        if not self._manager._keeper.may_live(self.record.turn_id):
            raise self._manager._lost(self.record.turn_id)

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
        manager = self._manager
        now = manager.now()
        old = self.session
        if old is not None:
            bound = replace(old, conversation_id=conversation_id, generation=old.generation + 1)
        else:
            bound = Session(
                tenant=self.key.tenant,
                session_id=self.key.session_id,
                conversation_id=conversation_id,
                created_at=now,
                last_used=now,
                expires_at=manager.lifetime.expires_at(now, now),
                user_id=user_id,
                data=data or {},
                metadata=metadata or {},
            )
        replaced = old or self._expired
        if old is None and self._expired is not None:
            erase_old = manager.erase_expired
        self.session = manager._bind(self.record.turn_id, bound, replaces=replaced, erase_old=erase_old)
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
            started_at=self._manager.now(),
        )
        self._manager._write(self.record)

    def note(self, response_id: str | None) -> None:
        """Keeps the response's id as soon as it is known (None: another one is asked for): the thread by which a
        crash is settled. When the store is
        away the turn goes on: its end carries the id too."""
        self.record = replace(self.record, response_id=response_id)
        with suppress(StoreUnavailableError):
            self._manager._write(self.record)

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

        A store that is away for a moment is waited for as long as the ticket can still be alive.
        """
        manager = self._manager
        record = replace(
            self.record,
            state=state,
            live=False,
            response_id=response_id or self.record.response_id,
            finished_at=manager.now(),
            usage=usage,
            error_code=error_code,
            idempotency_key=None if forget_key else self.record.idempotency_key,
            undelivered=undelivered,
        )
        session = self.session
        if session is not None and state is not TurnState.FAILED:
            used = max(manager.now(), session.last_used)
            session = replace(
                session,
                last_used=used,
                turns=session.turns + 1,
                expires_at=manager.lifetime.expires_at(session.created_at, used),
            )
        while True:
            try:
                manager._finish(record, session)
                break
            except StoreUnavailableError as exc:
                if not manager._keeper.may_live(record.turn_id):
                    # The turn took place: it must not be sent again.
                    exc.in_doubt = True
                    raise
                time.sleep(_AGAIN_SECONDS)
        self._ended = True
        self.record, self.session = record, session
        manager._released(self.key, record.turn_id)
        return record

    def leave(self) -> None:
        """Gives the session back without an end: a turn that has not begun leaves no trace, a begun one is in doubt."""
        if self._ended:
            return
        self._ended = True
        # When the store is away the ticket is no longer renewed, and dies with its lease.
        with suppress(StoreUnavailableError):
            self._manager._withdraw(self.key, self.record.turn_id)
        self._manager._released(self.key, self.record.turn_id)

    def __repr__(self) -> str:
        return f"<Turn {self.record.turn_id} of {self.key.session_id!r} fence={self.fence}>"
