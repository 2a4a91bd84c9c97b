"""What the steps of every kind work with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from gateway.model import Session, SessionKey, TurnRecord
from gateway.sessions.base import GIVEN_LIFETIME_MS, SessionManager
from gateway.sessions.redis.indices import Indices
from gateway.sessions.redis.keys import Keys, encode_key
from gateway.sessions.redis.link import Command, Link
from gateway.sessions.redis.records import decode_turn


class RedisParts(SessionManager):
    """The link, the names of the keys and the indices; and a step of one session as a command."""

    default_idle_seconds = 7 * 86400.0
    networked = True

    def __init__(self, link: Link, *, prefix: str, **options: Any) -> None:
        super().__init__(**options)
        self._link = link
        self._keys = Keys(prefix)
        self._indices = Indices(link, self._keys)
        self._lease_ms = round(self.lease_seconds * 1000)
        # A TTL runs on the server's clock, so an injected one rules alone; and where expiry must erase first, the
        # mapping must not go before.
        self._expiring = int(self._clock is None and not self.erase_expired)

    def now(self) -> int:
        """By the server's clock, so that all hosts agree with each other and with the TTLs."""
        return super().now() if self._clock is not None else self._link.now()

    def ping(self) -> None:
        self._link.call("PING")

    def close(self) -> None:
        super().close()
        self._link.close()

    def _command(self, step: str, key: SessionKey, turn_id: str, *args: Any) -> Command:
        return self._link.script(step, self._keys.of(key), turn_id, self._lease_ms, self._expiring, *args)

    def _step(self, step: str, key: SessionKey, turn_id: str, *args: Any) -> list[Any]:
        return self._link.step(self._command(step, key, turn_id, *args))

    def _claim_of(self, record: TurnRecord) -> tuple[str, str]:
        """The key of the record's idempotency key, and what it holds while it belongs to this turn."""
        assert record.idempotency_key is not None
        return self._keys.claim(record.tenant, record.idempotency_key), f"{record.session_id}/{record.turn_id}"

    def _free_claims(self, records: Sequence[TurnRecord]) -> None:
        """Frees the idempotency keys of these turns, as far as they belong to them."""
        commands = []
        for record in records:
            if record.idempotency_key is not None:
                name, owner = self._claim_of(record)
                commands.append(self._link.script("free", [name], owner))
        self._link.batch(commands)

    def _given_by(self, record: TurnRecord) -> list[Command]:
        """The command that keeps whose turn's the record's response is, if it has one."""
        if record.response_id is None:
            return []
        name = self._keys.given(record.tenant, record.response_id)
        owner = f"{record.conversation_id} {record.session_id} {record.workflow}"
        return [("SET", name, owner, "PX", GIVEN_LIFETIME_MS)]

    def _responses(self, key: SessionKey) -> dict[str, str]:
        """The responses of the session's turns, as far as their ids are kept, and the conversation of each."""
        texts, older = self._link.batch(
            [("HGETALL", self._keys.part(key, "turns")), ("ZRANGE", self._keys.part(key, "responses"), 0, -1)]
        )
        found: dict[str, str] = {}
        for member in older:
            conversation_id, _, response_id = member.partition(" ")
            found[response_id] = conversation_id
        for turn_id, text in texts.items():
            record = decode_turn(key, turn_id, text, live=False)
            if record.conversation_id is not None and record.response_id is not None:
                found[record.response_id] = record.conversation_id
        return found

    def _erasure_due(self, key: SessionKey, requested_at: int | None = None) -> Command:
        """The command that enters the session among those with something to be erased."""
        due = self.now() if requested_at is None else requested_at
        # LT: a session keeps the place of what has waited longest.
        return ("ZADD", self._keys.erasures, "LT", due, encode_key(key))

    def _refused(self, turn_id: str, session: Session) -> NoReturn:
        """A turn was lost while it entered its session into the indices: they say the truth again afterwards."""
        self._indices.tidy_one(session)
        raise self._lost(turn_id)
