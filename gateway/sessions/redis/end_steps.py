"""The steps that end sessions or move them: erasing, forgetting, expiring, renaming."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gateway.errors import SessionExistsError
from gateway.model import Session, SessionKey, Status, TurnRecord
from gateway.sessions.base import KEY_LIFETIME_MS, Erasure
from gateway.sessions.redis.keys import decode_expiring, decode_key, encode_key
from gateway.sessions.redis.link import Command
from gateway.sessions.redis.parts import RedisParts
from gateway.sessions.redis.records import FIELDS, decode_erasure, decode_session, decode_turn, encode_erasure

_EXPIRE_AT_ONCE = 25
_TRIM_AT_ONCE = 200
_EDITED = -2


class EndSteps(RedisParts):
    def _begin_erasure(self, turn_id: str, session: Session, erasure: Erasure) -> None:
        text = encode_erasure(erasure.requested_at, whole=erasure.whole)
        step = self._command("begin_erasure", session.key, turn_id, session.conversation_id, text)
        erasing = replace(session, status=Status.ERASING)
        commands = [self._indices.enter(erasing), self._erasure_due(session.key, erasure.requested_at), step]
        (held,) = self._link.learn(self._link.batch(commands, atomic=True)[-1])
        if not held:
            self._refused(turn_id, session)
        self._indices.tidy_one(session)

    def _erasures(self, limit: int) -> list[Erasure]:
        found: list[Erasure] = []
        start = 0
        while len(found) < limit:
            names = self._link.call("ZRANGE", self._keys.erasures, start, start + limit - 1)
            keys = [decode_key(name) for name in names]
            rows = self._link.batch([("HGETALL", self._keys.part(key, "erasures")) for key in keys])
            for key, row in zip(keys, rows, strict=True):
                if not row:
                    start -= self._erasures_done(key)
                found += [decode_erasure(key, conversation_id, text) for conversation_id, text in row.items()]
            if len(names) < limit:
                break
            start += limit
        return sorted(found, key=lambda erasure: erasure.requested_at)[:limit]

    def _finish_erasure(self, erasure: Erasure) -> None:
        key = SessionKey(erasure.tenant, erasure.session_id)
        records, responses = self._records(key), self._responses(key)
        whole, user_id = self._step("finish_erasure", key, "", erasure.conversation_id, int(erasure.whole))
        self._erasures_done(key)
        self._forget_given(key, responses)
        if whole:
            self._free_claims(records)
            self._indices.tidy([key], () if user_id is None else (user_id,))
        else:
            self._free_claims([record for record in records if record.conversation_id == erasure.conversation_id])

    def _forget(self, turn_id: str, session: Session, *, erase: bool) -> None:
        key = session.key
        if erase:
            text = encode_erasure(self.now(), whole=False)
            step = self._command("forget", key, turn_id, session.conversation_id, text)
            answer = self._link.batch([self._erasure_due(key), step], atomic=True)[-1]
            (held,) = self._link.learn(answer)
            records: list[TurnRecord] = []
            responses: dict[str, str] = {}
        else:
            records, responses = self._records(key), self._responses(key)
            (held,) = self._step("forget", key, turn_id, session.conversation_id, "")
        if not held:
            raise self._lost(turn_id)
        self._free_claims([record for record in records if record.turn_id != turn_id])
        self._forget_given(key, responses)
        self._indices.tidy_one(session)

    def _rename(self, turn_id: str, other_turn_id: str, old: Session, new: Session) -> None:
        records, responses = self._records(old.key), self._responses(old.key)
        moved = _EDITED
        while moved == _EDITED:
            step = self._link.script(
                "rename",
                [*self._keys.of(old.key), *self._keys.of(new.key)],
                turn_id,
                self._lease_ms,
                self._expiring,
                other_turn_id,
                old.conversation_id,
                new.session_id,
                new.user_id or "",
                *self._resealed(old.key, new.key),
            )
            commands = [self._indices.enter(new), self._erasure_due(new.key), step]
            (moved,) = self._link.learn(self._link.batch(commands, atomic=True)[-1])
        if moved == 1:
            self._move_claims(records, new.session_id)
            self._move_given(new.key, responses)
        self._indices.tidy_one(old, new)
        for key in (old.key, new.key):
            self._erasures_done(key)
        if moved == 0:
            raise self._lost(turn_id)
        if moved < 0:
            raise SessionExistsError(param="session_id")

    def _resealed(self, old: SessionKey, new: SessionKey) -> list[str]:
        """Data and metadata as they are, and as they are to be: what is sealed names its session."""
        row = self._link.call("HMGET", self._keys.session(old), *FIELDS)
        found = decode_session(old, row, self._sealing)
        if found is None:
            return ["", "", "", ""]  # the step will say what has become of it
        was = [row[FIELDS.index("data")], row[FIELDS.index("metadata")]]
        return [*was, self._sealing.seal(new, "data", found.data), self._sealing.seal(new, "metadata", found.metadata)]

    def _expire(self, limit: int) -> int:
        now = self.now()
        dropped = 0
        for tenant in self._link.call("ZRANGE", self._keys.tenants, 0, -1):
            dropped += self._expire_of(tenant, now, limit - dropped)
            self._trim_of(tenant, now, limit)
            if dropped >= limit:
                break
        return dropped

    def _expire_of(self, tenant: str, now: int, limit: int) -> int:
        index = self._keys.index(tenant, "expires")
        dropped = passed = 0
        while dropped < limit:
            most = min(limit - dropped, _EXPIRE_AT_ONCE)
            names = self._link.call("ZRANGEBYSCORE", index, "-inf", now, "LIMIT", passed, most)
            due = [decode_expiring(name) for name in names]
            commands: list[Command] = []
            for session_id, _ in due:
                key = SessionKey(tenant, session_id)
                if self.erase_expired:
                    commands.append(self._erasure_due(key))
                erasure = encode_erasure(now, whole=False) if self.erase_expired else ""
                commands.append(self._command("expire", key, "", now, erasure))
            answers = [answer for answer in self._link.batch(commands, atomic=True) if isinstance(answer, list)]
            over: list[SessionKey] = []
            users: set[str] = set()
            for (session_id, user_id), answer in zip(due, answers, strict=True):
                fate, had_user = self._link.learn(answer)
                if fate == "held":
                    passed += 1
                    continue
                dropped += fate in ("gone", "dropped")
                over.append(SessionKey(tenant, session_id))
                users.update(user for user in (user_id, had_user) if user is not None)
            self._indices.tidy(over, users)
            if len(names) < most:
                self._retire(tenant)
                break
        return dropped

    def _trim_of(self, tenant: str, now: int, limit: int) -> None:
        """Sessions that ended more than 50 turns and then rested: their last turns did not trim these."""
        index = self._keys.index(tenant, "trim")
        due = self._link.call("ZRANGEBYSCORE", index, "-inf", now, "WITHSCORES", "LIMIT", 0, limit)
        if not due:
            return
        pending = [SessionKey(tenant, session_id) for session_id in due[::2]]
        while pending:
            steps = [self._command("trim", key, "", now, _TRIM_AT_ONCE) for key in pending]
            answers = [self._link.learn(answer) for answer in self._link.batch(steps)]
            pending = [key for key, (trimmed,) in zip(pending, answers, strict=True) if trimmed == _TRIM_AT_ONCE]
        self._link.call("ZREMRANGEBYSCORE", index, "-inf", due[-1])

    def _retire(self, tenant: str) -> None:
        """Forgets a tenant without sessions."""
        used = self._keys.index(tenant, "used")

        def write(answers: list[int]) -> list[Command]:
            return [] if answers[0] else [("ZREM", self._keys.tenants, tenant)]

        if not self._link.call("ZCARD", used):
            self._link.watched([used], [("ZCARD", used)], write)

    def _erasures_done(self, key: SessionKey) -> bool:
        """Takes the session out of the list of erasures when it has none; True when it had none."""
        name = self._keys.part(key, "erasures")
        empty = False

        def write(answers: list[int]) -> list[Command]:
            nonlocal empty
            empty = not answers[0]
            return [("ZREM", self._keys.erasures, encode_key(key))] if empty else []

        return self._link.watched([name], [("HLEN", name)], write) and empty

    def _records(self, key: SessionKey) -> list[TurnRecord]:
        """Every turn record of a session that has an idempotency key."""
        texts: dict[str, str] = self._link.call("HGETALL", self._keys.part(key, "turns"))
        records = [decode_turn(key, turn_id, text, live=False) for turn_id, text in texts.items()]
        return [record for record in records if record.idempotency_key is not None]

    def _forget_given(self, key: SessionKey, responses: Mapping[str, str]) -> None:
        """Of the session's responses so far: forgets whose those were that no record leads to any more."""
        gone = responses.keys() - self._responses(key).keys() if responses else ()
        self._link.batch([("DEL", self._keys.given(key.tenant, response_id)) for response_id in gone])

    def _move_given(self, key: SessionKey, responses: Mapping[str, str]) -> None:
        """These responses are the session's from now on."""
        names = [self._keys.given(key.tenant, response_id) for response_id in responses]
        owners = self._link.batch([("GET", name) for name in names])
        commands: list[Command] = []
        for name, owner in zip(names, owners, strict=True):
            if owner:
                conversation_id, _, workflow = owner.split(" ")
                commands.append(("SET", name, f"{conversation_id} {key.session_id} {workflow}", "XX", "KEEPTTL"))
        self._link.batch(commands)

    def _move_claims(self, records: Sequence[TurnRecord], session_id: str) -> None:
        commands = []
        for record in records:
            name, owner = self._claim_of(record)
            commands.append(
                self._link.script("claim", [name], f"{session_id}/{record.turn_id}", owner, KEY_LIFETIME_MS)
            )
        self._link.batch(commands)
