"""What is remembered of turns: a hash each, that goes by itself when its time is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.errors import InvalidRequestError
from gateway.model import SessionKey, TurnRecord
from gateway.sessions.redis.hashes import (
    Flat,
    decode_claim,
    decode_turn,
    encode_begun,
    encode_ended,
    encode_settled,
)
from gateway.sessions.redis.hints import Hints
from gateway.sessions.redis.scripts import Command
from gateway.sessions.redis.steps import Steps
from gateway.sessions.store import Records, lost
from gateway.sessions.values import ResponseOwner, Use


class RedisRecords(Records):
    def __init__(self, steps: Steps, hints: Hints) -> None:
        self._steps = steps
        self._hints = hints
        self._client = steps.client
        self._retention = steps.terms.retention

    def write(self, record: TurnRecord) -> None:
        (written,) = self._client.step(self._writing("write", record, encode_begun(record)))
        if not written:
            raise lost()

    def finish(self, record: TurnRecord, use: Use | None) -> None:
        finish = self._writing(
            "finish",
            record,
            encode_ended(record),
            conversation_id=use and use.conversation_id,
            last_used=use and use.last_used,
            expires_at=use and use.expires_at,
            turns=use and use.turns,
        )
        hints = [] if use is None else self._hints.of_use(use)
        (written,) = self._client.learn(self._client.batch([*hints, finish])[-1])
        if not written:
            raise lost()

    def recall(self, tenant: str, idempotency_key: str) -> TurnRecord | None:
        found = self._client.step(
            self._steps.of_tenant(
                "recall",
                tenant,
                {"claim": f"claim:{idempotency_key}"},
                idempotency_key=idempotency_key,
                since=self._steps.now() - self._retention.key_ms,
            )
        )
        return decode_claim(tenant, idempotency_key, *found) if found else None

    def get(self, key: SessionKey, turn_id: str) -> TurnRecord | None:
        (recorded,) = self._client.step(
            self._steps.of_tenant(
                "turn", key.tenant, {"turn": f"turn:{turn_id}"}, turn_id=turn_id, session_id=key.session_id
            )
        )
        return None if recorded is None else decode_turn(key.tenant, turn_id, recorded)

    def newest(self, key: SessionKey, limit: int, after: str | None) -> Sequence[TurnRecord]:
        found = self._client.step(self._steps.of_session("turns", key, before=after, limit=limit))
        if not found:
            raise InvalidRequestError("There is no such turn.", param="after")
        return [decode_turn(key.tenant, *turn) for turn in zip(found[1::2], found[2::2], strict=True)]

    def settle(self, record: TurnRecord) -> bool:
        (settled,) = self._client.step(self._writing("settle", record, encode_settled(record)))
        return bool(settled)

    def set_undelivered(self, record: TurnRecord, undelivered: bool) -> bool:
        keys = {"turn": f"turn:{record.turn_id}"}
        step = self._steps.of_tenant("undelivered", record.tenant, keys, undelivered=undelivered)
        (changed,) = self._client.step(step)
        return bool(changed)

    def responses(self, key: SessionKey, conversation_id: str, limit: int) -> Sequence[str]:
        name = self._steps.keys.of(key.tenant, f"responses:{conversation_id}")
        found: list[str] = self._client.call("ZRANGE", name, 0, limit - 1)
        return found

    def drop_responses(self, key: SessionKey, conversation_id: str, response_ids: Sequence[str]) -> None:
        keys = {"responses": f"responses:{conversation_id}"}
        self._client.step(self._steps.of_tenant("drop_responses", key.tenant, keys, response_ids=response_ids))

    def of_response(self, tenant: str, response_id: str) -> ResponseOwner | None:
        found = self._client.step(self._steps.of_tenant("response", tenant, {"response": f"response:{response_id}"}))
        return ResponseOwner(*found) if found else None

    def prune(self, limit: int) -> int:
        """None: each record has its TTL, and a turn of its session takes it out of the list."""
        return 0

    def _writing(self, script: str, record: TurnRecord, fields: Flat, **args: Any) -> Command:
        """A step that writes these fields of a turn's record (see record.lua)."""
        at, record_ms = self._steps.now(), self._retention.record_ms
        return self._steps.of_session(
            script, record.key, record.turn_id, at=at, record_ms=record_ms, record=fields, **args
        )
