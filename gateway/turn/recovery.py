"""Turns that were there before: waited for, settled after a crash, and given again."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import replace
from typing import NamedTuple

from gateway.errors import NotFoundError, TurnBusyError, TurnLostError
from gateway.model import ANSWERED, JSON, Reply, SessionKey, TurnRecord, TurnRequest, TurnState, fingerprint
from gateway.providers.base import Provider
from gateway.providers.retry import Patience
from gateway.sessions import SessionManager, Turn
from gateway.turn.evidence import APPEND_SECONDS, Outcome, Verdict, examine
from gateway.workflows.responses import encode_reply, end_of, output_text, trim_usage

log = logging.getLogger("gateway.turn")

_MOST_LOOKED_AT = 10_000


class Settled(NamedTuple):
    """A turn's record as it stands, and the response behind it where it had to be looked up."""

    record: TurnRecord
    response: JSON | None = None


class Settler:
    """Tells what became of recorded turns, and writes it down."""

    def __init__(self, sessions: SessionManager, provider: Provider, *, silent_seconds: float) -> None:
        self._sessions = sessions
        self._provider = provider
        self._silent_seconds = silent_seconds
        self._looked_at: dict[str, float] = {}
        """The turns of which a look could not tell what became, and until when none is taken again."""

    def undelivered(self, turn: Turn, request: TurnRequest) -> Settled | None:
        """The session's newest turn, if this is its request again and its reply reached nobody."""
        if not request.blind_retry or request.idempotency_key is not None:
            return None
        for newest in self._sessions.turns(turn.key, limit=1):
            if fingerprint(newest.turn_id, request.body) != newest.fingerprint:
                return None
            if not newest.in_doubt:
                claimed = newest.state in ANSWERED and self._sessions.claim_undelivered(newest)
                return Settled(newest) if claimed else None
            # Its process died before anybody could have got the whole of it.
            verdict = self.examine(newest)
            if verdict.outcome is Outcome.PENDING:
                raise TurnBusyError("The provider still works on this turn.", retry_after=1)
            if verdict.outcome is Outcome.UNKNOWN:
                raise TurnLostError()
            settled = self._settle(newest, verdict)
            return Settled(settled, verdict.response) if settled.state in ANSWERED else None
        return None

    def first_end(self, record: TurnRecord, patience: Patience) -> Settled | None:
        """The end of the turn that has the idempotency key, waited for while it runs. None: it did not take place,
        and the key is free."""
        if record.state is TurnState.LOST:
            erased = "The turn with this Idempotency-Key took place, and was erased since."
            raise TurnLostError(erased if not record.session_id else None)
        while True:
            found = self.settled(record.key, record.turn_id, patience)
            if found is None or (found.record.state is TurnState.FAILED and found.record.idempotency_key is None):
                return None
            if found.record.state is TurnState.FAILED:
                raise TurnLostError("The first request with this Idempotency-Key failed half-way.")
            if found.record.state in ANSWERED:
                return found
            if found.record.in_doubt or found.record.state is TurnState.LOST:
                raise TurnLostError()
            if patience.left_seconds <= 0:
                raise TurnBusyError("The first request with this Idempotency-Key is still running.", retry_after=1)
            self._sessions.wait(record.key, min(0.05, patience.left_seconds))

    def settled(self, key: SessionKey, turn_id: str, patience: Patience | None = None) -> Settled | None:
        """The turn's record, with what became of it when a crash cut it off. Still in doubt: nobody can tell yet.
        `TurnBusyError` while the provider still works on it, or another turn holds the session."""
        record = self._sessions.turn_record(key, turn_id)
        if record is None or not record.in_doubt:
            return Settled(record) if record else None
        patience = patience or Patience(0)
        # No other turn of the session may run while the conversation is looked at.
        with self._sessions.turn(key, wait_seconds=patience.left_seconds):
            verdict = self.examine(record)
            while verdict.outcome is Outcome.PENDING:
                if patience.left_seconds <= 0:
                    raise TurnBusyError("The provider still works on this turn.", retry_after=1)
                time.sleep(min(0.25, patience.left_seconds))
                verdict = self.examine(record)
            return Settled(self._settle(record, verdict), verdict.response)

    def glance(self, record: TurnRecord) -> Settled:
        """The same as far as it can be told without waiting, for one who only reads: takes no turn of the session's,
        and asks the provider again only for what may have changed."""
        if not record.in_doubt:
            return Settled(record)
        now = time.monotonic()
        if now < self._looked_at.get(record.turn_id, now) and not self._is_over(record):
            return Settled(record)
        verdict = self.examine(record, append_seconds=0)
        if len(self._looked_at) > _MOST_LOOKED_AT:
            self._looked_at.clear()
        # A provider that is at work says so; of anything else nothing is to be learned before it must be over.
        self._looked_at[record.turn_id] = now + (1.0 if verdict.outcome is Outcome.PENDING else math.inf)
        return Settled(self._settle(record, verdict), verdict.response)

    def _settle(self, record: TurnRecord, verdict: Verdict) -> TurnRecord:
        if verdict.outcome is Outcome.NOT_RUN:
            end = replace(record, state=TurnState.FAILED, error_code="turn_lost", idempotency_key=None)
        elif verdict.response is not None:
            response = verdict.response
            end = replace(
                record, state=end_of(response), response_id=response.get("id"), usage=trim_usage(response.get("usage"))
            )
        elif verdict.is_final:
            end = replace(record, state=TurnState.LOST, error_code="turn_lost")
        else:
            return record
        end = replace(end, finished_at=self._sessions.now())
        if not self._sessions.settle(end):
            # Somebody else was faster.
            return self._sessions.turn_record(record.key, record.turn_id) or end
        log.info("turn %s was cut off and is settled as %s", record.turn_id, end.state.value)
        return end

    def examine(self, record: TurnRecord, *, append_seconds: float = APPEND_SECONDS) -> Verdict:
        """What became of this turn, as the provider knows it."""
        if self._may_be_taken_for_another(record):
            return Verdict(Outcome.UNKNOWN)
        verdict = examine(
            self._provider,
            record,
            lambda: self._response_id_before(record),
            over=self._is_over(record),
            append_seconds=append_seconds,
        )
        # A turn that has begun since then may have said what was found.
        return Verdict(Outcome.UNKNOWN) if self._may_be_taken_for_another(record) else verdict

    def _may_be_taken_for_another(self, record: TurnRecord) -> bool:
        """Without a response's id what came after the turn in the conversation may be a later turn's."""
        if record.response_id is not None:
            return False
        newest = next(iter(self._sessions.turns(record.key, limit=1)), record)
        return newest.turn_id != record.turn_id

    def _is_over(self, record: TurnRecord) -> bool:
        """Whether its provider, if it were at work, would have been silent for too long by now."""
        return self._sessions.now() - (record.started_at or 0) > self._silent_seconds * 1000

    def _response_id_before(self, record: TurnRecord) -> str | None:
        """The last response before this turn that may be in its conversation; None where that cannot be told."""
        for turn in self._sessions.turns(record.key, limit=10, after=record.turn_id):
            if turn.conversation_id != record.conversation_id:
                return None
            # A turn that failed without a response left nothing there. One in doubt may have.
            if turn.response_id is not None or turn.state is not TurnState.FAILED:
                return turn.response_id
        return None

    def fetch_reply(self, found: Settled, *, replayed: bool = False) -> tuple[Reply, JSON]:
        """The reply of a recorded turn and the response behind it, fetched from the provider."""
        record, response = found
        if response is None:
            try:
                if record.response_id is None:
                    raise NotFoundError()
                response = self._provider.retrieve_response(record.response_id)
            except NotFoundError as exc:
                raise TurnLostError("The turn took place, but its reply can no longer be fetched.") from exc
        return encode_reply(record, response, text=output_text(response), replayed=replayed), response
