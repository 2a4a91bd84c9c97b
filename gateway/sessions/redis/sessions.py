"""The mappings: read as they are, and written by steps that keep the tenant's indices in the same script."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence

from gateway.errors import SessionExistsError, SessionNotFoundError
from gateway.model import SessionKey, new_turn_id
from gateway.sessions.redis.hashes import decode_session, encode_found, encode_session, read_flat
from gateway.sessions.redis.hints import SETTLING_MS, Hints
from gateway.sessions.redis.listing import Listing
from gateway.sessions.redis.scripts import Command
from gateway.sessions.redis.steps import Steps
from gateway.sessions.store import Sessions, lost
from gateway.sessions.values import Binding, Filter, StoredPage, StoredSession

log = logging.getLogger("gateway.sessions")

AT_ONCE = 200
"""How many sessions' steps go in one round trip; and how many of a session's turns one step drops."""

SPOILT_LOOK_MS = 3_600_000
"""When to look again at what could not be read."""


class RedisSessions(Sessions):
    def __init__(self, steps: Steps, hints: Hints) -> None:
        self._steps = steps
        self._hints = hints
        self._client = steps.client
        self._keys = steps.keys
        self._listing = Listing(steps, hints)

    def get(self, key: SessionKey) -> StoredSession | None:
        return decode_session(key, self._client.call("HGETALL", self._keys.session(key)))

    def get_many(self, keys: Collection[SessionKey]) -> Mapping[SessionKey, StoredSession]:
        rows = self._client.batch([("HGETALL", self._keys.session(key)) for key in keys])
        read = ((key, decode_session(key, row)) for key, row in zip(keys, rows, strict=True))
        return {key: session for key, session in read if session is not None}

    def page(self, wanted: Filter, limit: int, after: str | None) -> StoredPage:
        return self._listing.page(wanted, limit, after)

    def made(self, tenant: str, limit: int, before: tuple[int, str] | None) -> Sequence[StoredSession]:
        return self._listing.made(tenant, limit, before)

    def put(self, changes: Sequence[tuple[StoredSession | None, StoredSession]]) -> Sequence[bool]:
        written: list[bool] = []
        for start in range(0, len(changes), AT_ONCE):
            some = changes[start : start + AT_ONCE]
            steps = [
                self._steps.of_session(
                    "put",
                    session.key,
                    history=new_turn_id(),
                    found=encode_found(found),
                    mapping=encode_session(session),
                )
                for found, session in some
            ]
            hints = [hint for _, session in some for hint in self._hints.of_session(session)]
            answers = self._client.batch([*hints, *steps, *hints])[len(hints) : len(hints) + len(steps)]
            written += [bool(self._client.learn(answer)[0]) for answer in answers]
        return written

    def swap(self, session: StoredSession) -> bool:
        (done,) = self._client.step(
            self._steps.of_session(
                "swap",
                session.key,
                conversation_id=session.conversation_id,
                revision=session.revision,
                data=session.data,
                metadata=session.metadata,
                status=session.status.value,
            )
        )
        return bool(done)

    def bind(self, turn_id: str, session: StoredSession, *, replaces: Binding | None, erase_old: bool) -> StoredSession:
        key = session.key
        bind = self._steps.of_session(
            "bind",
            key,
            turn_id,
            replaced_id=replaces and replaces.conversation_id,
            replaced_generation=replaces and replaces.generation,
            conversation_id=session.conversation_id,
            generation=session.generation,
            whole=replaces is None or session.generation != replaces.generation + 1,
            erase_old=erase_old,
            at=self._steps.now(),
            mapping=encode_session(session),
        )
        hints = self._hints.of_session(session)
        if replaces is not None and erase_old:
            hints.append(self._hints.of_erasure(key.tenant))
        found = self._client.learn(self._client.batch([*hints, bind])[-1])
        if not found:
            raise lost()
        mapping, forerunner = found
        self._drop_turns([(key.tenant, forerunner)])
        bound = decode_session(key, read_flat(mapping))
        assert bound is not None
        return bound

    def rename(self, turn_id: str, other_turn_id: str, key: SessionKey, session: StoredSession) -> bool:
        rename = self._steps.of_session(
            "rename",
            key,
            turn_id,
            keys={
                "target": self._keys.session(session.key),
                "target_lock": self._keys.of(key.tenant, f"lock:{session.session_id}"),
            },
            target_id=session.session_id,
            other_turn_id=other_turn_id,
            conversation_id=session.conversation_id,
            revision=session.revision,
            user_id=session.user_id,
            data=session.data,
            metadata=session.metadata,
        )
        hints = self._hints.of_session(session)
        erasure = self._hints.of_erasure(key.tenant)
        answers = self._client.batch([*hints, erasure, rename, *hints])
        (outcome,) = self._client.learn(answers[len(hints) + 1])
        match outcome:
            case "lost":
                raise lost()
            case "gone":
                raise SessionNotFoundError()
            case "taken":
                raise SessionExistsError(param="session_id")
            case "moved":
                self._client.batch(self._hints.of_end([key]))
        return bool(outcome == "moved")

    def forget(self, turn_id: str, key: SessionKey, conversation_id: str, *, erase: bool) -> None:
        forget = self._steps.of_session(
            "forget", key, turn_id, conversation_id=conversation_id, erase=erase, at=self._steps.now()
        )
        hints = [self._hints.of_erasure(key.tenant)] if erase else []
        found = self._client.learn(self._client.batch([*hints, forget])[-1])
        if not found:
            raise lost()
        self._drop_turns([(key.tenant, found[0])])
        self._client.batch(self._hints.of_end([key]))

    def expire(self, limit: int) -> int:
        dropped = 0
        while dropped < limit:
            most = min(limit - dropped, AT_ONCE)
            due = self._hints.due(most)
            dropped += self._expire(due)
            if len(due) < most:
                break
        return dropped

    def _expire(self, due: Sequence[tuple[SessionKey, str]]) -> int:
        at, erase = self._steps.now(), self._steps.terms.erase_expired
        tenants = dict.fromkeys(key.tenant for key, _ in due) if erase else ()
        hints = [self._hints.of_erasure(tenant) for tenant in tenants]
        steps = [self._steps.of_session("expire", key, at=at, erase=erase) for key, _ in due]
        answers = self._client.batch([*hints, *steps], tolerant=True)[len(hints) :]
        looks: list[tuple[SessionKey, str, str]] = []
        gone: list[SessionKey] = []
        histories: list[tuple[str, str]] = []
        dropped = 0
        for (key, found), answer in zip(due, answers, strict=True):
            if isinstance(answer, Exception):
                log.warning("a session in Redis cannot be read, and does not expire: %s", key.session_id)
                looks.append((key, found, str(at + SPOILT_LOOK_MS)))
                continue
            outcome, again, history = self._client.learn(answer)
            dropped += outcome in ("gone", "dropped")
            looks.append((key, found, again))
            if outcome not in ("lives", "held"):
                gone.append(key)
                histories.append((key.tenant, history))
        self._drop_turns(histories)
        self._hints.forsake(gone, at - SETTLING_MS)
        self._hints.look_again(looks)
        return dropped

    def _drop_turns(self, histories: Iterable[tuple[str, str]]) -> None:
        """Nobody comes to these turns any more: drops them, a part at a time, but for young idempotency keys."""
        pending = [(tenant, history, "-inf") for tenant, history in histories if history]
        while pending:
            answers = self._client.batch([self._drop_turns_of(*each) for each in pending])
            nexts = [self._client.learn(answer)[0] for answer in answers]
            pending = [
                (tenant, history, cursor) for (tenant, history, _), cursor in zip(pending, nexts, strict=True) if cursor
            ]

    def _drop_turns_of(self, tenant: str, history: str, cursor: str) -> Command:
        return self._steps.of_tenant(
            "drop_turns",
            tenant,
            {"log": f"log:{history}"},
            history=history,
            cursor=cursor,
            most=AT_ONCE,
            at=self._steps.now(),
            key_ms=self._steps.terms.retention.key_ms,
        )
