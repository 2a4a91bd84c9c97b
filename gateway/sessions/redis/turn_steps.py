"""The steps of a turn: queue, record, end; and what is remembered of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gateway.errors import QueueFullError, StoreUnavailableError, TurnBusyError
from gateway.model import Session, SessionKey, TurnRecord, TurnState
from gateway.sessions.base import KEY_LIFETIME_MS, KeyTakenError, ResponseOwner, Standing
from gateway.sessions.redis.link import Command
from gateway.sessions.redis.parts import RedisParts
from gateway.sessions.redis.records import decode_turn, encode_turn

_BUSY, _FULL = -1, -2
_DAY_MS = 86_400_000
_KEPT_TURNS = 50
_RENEW_AT_ONCE = 200


class TurnSteps(RedisParts):
    def _enter(self, record: TurnRecord, *, queue_limit: int) -> Standing:
        enter = self._command("enter", record.key, record.turn_id, encode_turn(record), queue_limit)
        if record.idempotency_key is None:
            return _admit(self._link.step(enter))
        # The ticket is there before the key is claimed, so that a claim without a live or begun turn is a dead one's.
        name, mine = self._claim_of(record)
        owner: str | None = self._link.call("GET", name)
        while True:
            if owner is not None and (taken := self._owner(record.tenant, record.idempotency_key, owner)) is not None:
                raise KeyTakenError(taken)
            claim = self._link.script("claim", [name], mine, owner or "", KEY_LIFETIME_MS)
            entered, other = self._link.batch([enter, claim], atomic=True)
            answer = self._link.learn(entered)
            if other is None:
                try:
                    return _admit(answer)
                except (TurnBusyError, QueueFullError):
                    self._free_claims([record])
                    raise
            if answer[0] >= 0:
                self._withdraw(record.key, record.turn_id)
            owner = other

    def _poll(self, key: SessionKey, turn_id: str) -> Standing | None:
        standing = Standing(*self._step("poll", key, turn_id))
        return standing if standing.before >= 0 else None

    def _renew(self, tickets: Sequence[tuple[SessionKey, str]]) -> set[str]:
        sessions: dict[SessionKey, list[str]] = {}
        for key, turn_id in tickets:
            sessions.setdefault(key, []).append(turn_id)
        commands = [self._command("renew", key, "", *turn_ids) for key, turn_ids in sessions.items()]
        alive: set[str] = set()
        refusals: list[Exception] = []
        for start in range(0, len(commands), _RENEW_AT_ONCE):
            # What is wrong with one session must not cost all others their turns.
            for answer in self._link.batch(commands[start : start + _RENEW_AT_ONCE], tolerant=True):
                if isinstance(answer, Exception):
                    refusals.append(answer)
                else:
                    alive.update(self._link.learn(answer)[0])
        if refusals and not alive:
            raise StoreUnavailableError(retry_after=1) from refusals[0]
        return alive

    def _withdraw(self, key: SessionKey, turn_id: str) -> None:
        (text,) = self._step("withdraw", key, turn_id)
        if text is not None:
            self._free_claims([decode_turn(key, turn_id, text, live=False)])

    def _held(self, key: SessionKey) -> bool:
        (held,) = self._step("held", key, "")
        return bool(held)

    def _write(self, record: TurnRecord) -> None:
        began = "" if record.state is TurnState.WAITING else record.started_at or self.now()
        write = self._command("write", record.key, record.turn_id, encode_turn(record), began)
        (written,) = self._link.learn(self._link.batch([write, *self._given_by(record)])[0])
        if not written:
            raise self._lost(record.turn_id)

    def _finish(self, record: TurnRecord, session: Session | None) -> None:
        ended = record.finished_at or self.now()
        use: tuple[Any, ...] = ("",)
        commands: list[Command] = self._given_by(record)
        if session is not None:
            use = (session.last_used, "" if session.expires_at is None else session.expires_at, session.turns)
            commands.append(self._indices.enter(session))
            if session.turns > _KEPT_TURNS:
                trim = self._keys.index(session.tenant, "trim")
                commands.append(("ZADD", trim, "GT", ended + _DAY_MS, session.session_id))
        commands.append(self._command("finish", record.key, record.turn_id, encode_turn(record), ended, *use))
        written, status = self._link.learn(self._link.batch(commands)[-1])
        if session is not None and status != session.status.value:
            # Erased or edited since the turn read it: the indices were told what was true then.
            self._indices.tidy_one(session)
        if not written:
            raise self._lost(record.turn_id)

    def _recall(self, tenant: str, idempotency_key: str) -> TurnRecord | None:
        owner: str | None = self._link.call("GET", self._keys.claim(tenant, idempotency_key))
        return None if owner is None else self._owner(tenant, idempotency_key, owner)

    def _owner(self, tenant: str, idempotency_key: str, owner: str) -> TurnRecord | None:
        """The turn that a claim names, as long as it is one to be remembered."""
        session_id, _, turn_id = owner.partition("/")
        record = self._turn(SessionKey(tenant, session_id), turn_id)
        if record is None or record.idempotency_key != idempotency_key:
            return None
        forgotten = record.started_at is not None and record.started_at + KEY_LIFETIME_MS <= self.now()
        return None if forgotten and not record.live else record

    def _turn(self, key: SessionKey, turn_id: str) -> TurnRecord | None:
        text, live = self._step("turn", key, turn_id)
        return None if text is None else decode_turn(key, turn_id, text, live=bool(live))

    def _turns(self, key: SessionKey, limit: int, after: str | None) -> list[TurnRecord]:
        flat = self._step("turns", key, "", limit, after or "")
        return [
            decode_turn(key, turn_id, text, live=bool(live))
            for turn_id, text, live in zip(flat[::3], flat[1::3], flat[2::3], strict=True)
        ]

    def _settle(self, record: TurnRecord) -> bool:
        (settled,) = self._step("settle", record.key, record.turn_id, encode_turn(record))
        return bool(settled)

    def _set_undelivered(self, record: TurnRecord, undelivered: bool) -> bool:
        key, turn_id = record.key, record.turn_id
        while True:
            text, live = self._step("turn", key, turn_id)
            if text is None or live:
                return False
            found = decode_turn(key, turn_id, text, live=False)
            if found.undelivered == undelivered:
                return False
            marked = encode_turn(replace(found, undelivered=undelivered))
            (changed,) = self._step("mark", key, turn_id, text, marked)
            if changed:
                return True

    def _response_ids(self, key: SessionKey, conversation_id: str) -> list[str]:
        return [response_id for response_id, of in self._responses(key).items() if of == conversation_id]

    # --- Whose ids these are -------------------------------------------------------------------------------

    def _remember(self, tenant: str, given_ids: Sequence[str], until: int) -> None:
        left = max(1, until - self.now())
        # A turn's response stays the turn's.
        self._link.batch([("SET", self._keys.given(tenant, each), "", "PX", left, "NX") for each in given_ids])

    def _remembered(self, tenant: str, given_ids: Sequence[str], now: int) -> set[str]:
        owners = self._link.batch([("GET", self._keys.given(tenant, each)) for each in given_ids])
        return {each for each, owner in zip(given_ids, owners, strict=True) if owner == ""}

    def _turn_of_response(self, tenant: str, response_id: str) -> ResponseOwner | None:
        owner: str | None = self._link.call("GET", self._keys.given(tenant, response_id))
        if not owner:
            return None
        conversation_id, session_id, workflow = owner.split(" ")
        return ResponseOwner(session_id, conversation_id, workflow)


def _admit(answer: list[Any]) -> Standing:
    standing = Standing(*answer)
    if standing.before == _BUSY:
        raise TurnBusyError(retry_after=1)
    if standing.before == _FULL:
        raise QueueFullError(retry_after=1)
    return standing
