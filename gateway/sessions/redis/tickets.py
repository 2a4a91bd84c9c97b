"""The queue of each session, one script a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.errors import QueueFullError, StoreUnavailableError, TurnBusyError
from gateway.model import SessionKey, TurnRecord
from gateway.sessions.redis.hashes import decode_claim, decode_session, encode_entered, read_flat
from gateway.sessions.redis.steps import Steps
from gateway.sessions.store import Tickets
from gateway.sessions.values import KeyTakenError, Standing

_RENEWED_AT_ONCE = 200


class RedisTickets(Tickets):
    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._client = steps.client

    def enter(self, record: TurnRecord, *, queue_limit: int) -> Standing:
        answer = self._client.step(
            self._steps.of_session(
                "enter",
                record.key,
                record.turn_id,
                idempotency_key=record.idempotency_key,
                fingerprint=record.fingerprint,
                entered_at=self._steps.now(),
                key_ms=self._steps.terms.retention.key_ms,
                queue_limit=queue_limit,
                record=encode_entered(record),
            )
        )
        match answer[0]:
            case "busy":
                raise TurnBusyError(retry_after=1)
            case "full":
                raise QueueFullError(retry_after=1)
            case "taken":
                raise KeyTakenError(decode_claim(record.tenant, record.idempotency_key or "", answer[1], answer[2]))
        return _standing(record.key, answer)

    def poll(self, key: SessionKey, turn_id: str) -> Standing | None:
        answer = self._client.step(self._steps.of_session("poll", key, turn_id))
        return None if answer[0] < 0 else _standing(key, answer)

    def renew(self, tickets: Sequence[tuple[SessionKey, str]]) -> set[str]:
        sessions: dict[SessionKey, list[str]] = {}
        for key, turn_id in tickets:
            sessions.setdefault(key, []).append(turn_id)
        commands = [self._steps.of_session("renew", key, turn_ids=turn_ids) for key, turn_ids in sessions.items()]
        alive: set[str] = set()
        refusals: list[Exception] = []
        for start in range(0, len(commands), _RENEWED_AT_ONCE):
            # What is wrong with one session must not cost all others their turns.
            some = commands[start : start + _RENEWED_AT_ONCE]
            for answer in self._client.batch(some, tolerant=True, waits=False):
                if isinstance(answer, Exception):
                    refusals.append(answer)
                else:
                    alive.update(self._client.learn(answer)[0])
        if refusals and not alive:
            raise StoreUnavailableError(retry_after=1) from refusals[0]
        return alive

    def withdraw(self, key: SessionKey, turn_id: str) -> None:
        self._client.step(self._steps.of_session("withdraw", key, turn_id))

    def is_held(self, key: SessionKey) -> bool:
        (held,) = self._client.step(self._steps.of_session("held", key))
        return bool(held)


def _standing(key: SessionKey, answer: Sequence[Any]) -> Standing:
    before, fence, mapping = answer
    if mapping is None:
        return Standing(before, fence)
    return Standing(before, fence, is_read=True, session=decode_session(key, read_flat(mapping)))
