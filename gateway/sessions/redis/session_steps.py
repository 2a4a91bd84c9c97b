"""The steps that read and write sessions: get, bind, edit, list."""

from __future__ import annotations

import base64
import heapq
from collections.abc import Sequence
from itertools import islice

import orjson

from gateway.errors import InvalidRequestError
from gateway.model import JSON, Session, SessionKey
from gateway.sessions.base import Filter, Page
from gateway.sessions.placing import Placing, place
from gateway.sessions.redis.indices import Place
from gateway.sessions.redis.link import Command
from gateway.sessions.redis.parts import RedisParts
from gateway.sessions.redis.records import (
    FIELDS,
    decode_session,
    encode_erasure,
    encode_session,
)

_PUT_AT_ONCE = 100

MOST_GONE = 1000
"""How many sessions that are gone a page passes over before it ends, shorter than asked for, with a cursor."""


class SessionSteps(RedisParts):
    def _get(self, key: SessionKey) -> Session | None:
        return decode_session(key, self._link.call("HMGET", self._keys.session(key), *FIELDS), self._sealing)

    def _found(self, key: SessionKey, found: list[str] | None) -> Session | None:
        if found is None:
            return self._get(key)
        values = dict(zip(found[::2], found[1::2], strict=True))
        return decode_session(key, [values.get(name) for name in FIELDS], self._sealing)

    def _bind(self, turn_id: str, session: Session, *, replaces: Session | None, erase_old: bool) -> Session:
        key = session.key
        old = ("", "") if replaces is None else (replaces.conversation_id, replaces.generation)
        erasure: tuple[str | bytes, ...] = ("", "")
        commands = [self._indices.enter(session), ("ZADD", self._keys.tenants, "GT", self.now(), key.tenant)]
        if replaces is not None and erase_old:
            erasure = (replaces.conversation_id, encode_erasure(self.now(), whole=False))
            commands.append(self._erasure_due(key))
        follows = replaces is not None and session.generation == replaces.generation + 1
        how = "generation" if follows else "whole"
        commands.append(
            self._command("bind", key, turn_id, *old, *erasure, how, *encode_session(session, self._sealing))
        )
        # What is bound is read in the same breath: an editor may have been there since the turn began.
        commands.append(("HMGET", self._keys.session(key), *FIELDS))
        *_, step, values = self._link.batch(commands, atomic=True)
        held, written = self._link.learn(step)
        if not held:
            self._refused(turn_id, session)
        bound = decode_session(key, values, self._sealing)
        if bound is None or bound.status is not session.status or not written:
            self._indices.tidy_one(session)
        elif replaces is not None and not follows:
            self._indices.tidy_one(session, replaces)
        return session if bound is None else bound

    def _swap(self, old: Session, new: Session) -> bool:
        key, seal = new.key, self._sealing.seal
        data, metadata = seal(key, "data", old.data), seal(key, "metadata", old.metadata)
        wanted = (seal(key, "data", new.data), seal(key, "metadata", new.metadata), new.status.value)
        while True:
            user = old.user_id or ""
            edit = self._command("swap", key, "", old.conversation_id, data, metadata, old.status.value, user, *wanted)
            if new.status is old.status:
                done, *was = self._link.step(edit)
            else:
                entered = self._indices.enter(new)
                done, *was = self._link.learn(self._link.batch([entered, edit], atomic=True)[-1])
                self._indices.tidy([key])
            if done:
                return True
            if was[2:] != [old.status.value, old.user_id, old.conversation_id]:
                return False
            # The same in other words, as a hand or another sealing leaves it behind, is the same.
            same = self._says(key, "data", was[0], old.data) and self._says(key, "metadata", was[1], old.metadata)
            if (was[0], was[1]) == (data, metadata) or not same:
                return False
            data, metadata = was[0], was[1]

    def _says(self, key: SessionKey, name: str, text: str | None, value: JSON) -> bool:
        try:
            return self._sealing.unseal(key, name, text or "") == value
        except ValueError:
            return False

    def _put(self, sessions: Sequence[Session], replace: bool) -> Sequence[Placing]:
        placings: dict[SessionKey, Placing] = {}
        for start in range(0, len(sessions), _PUT_AT_ONCE):
            pending = sessions[start : start + _PUT_AT_ONCE]
            while pending:
                pending = self._try_to_put(pending, replace, placings)
        return [placings[session.key] for session in sessions]

    def _try_to_put(
        self, sessions: Sequence[Session], replace: bool, placings: dict[SessionKey, Placing]
    ) -> list[Session]:
        """Those of which somebody else wrote the mapping after it was read here."""
        rows = self._link.batch([("HMGET", self._keys.session(session.key), *FIELDS) for session in sessions])
        written: list[Session] = []
        users: set[str] = set()
        commands: list[Command] = []
        for session, row in zip(sessions, rows, strict=True):
            found = decode_session(session.key, row, self._sealing)
            placing = placings[session.key] = place(found, session, replace=replace)
            if not placing.writes:
                continue
            if found is not None:
                users.update(user for user in (found.user_id, session.user_id) if user is not None)
            was = ("" if value is None else value for value in row)
            step = self._command(
                "put", session.key, "", len(FIELDS), *FIELDS, *was, *encode_session(session, self._sealing)
            )
            tenant = ("ZADD", self._keys.tenants, "GT", self.now(), session.tenant)
            commands += [tenant, self._indices.enter(session), step]
            written.append(session)
        answers = [self._link.learn(answer) for answer in self._link.batch(commands, atomic=True)[2::3]]
        lost = [session for session, (done,) in zip(written, answers, strict=True) if not done]
        stale = [session.key for session in written if session in lost or placings[session.key] is Placing.UPDATED]
        self._indices.tidy(stale, users | {session.user_id for session in lost if session.user_id is not None})
        return lost

    def _list(self, wanted: Filter, limit: int, after: str | None) -> Page:
        place = None if after is None else _parse_cursor(after)
        tenants: list[str] = [wanted.tenant] if wanted.tenant is not None else self._tenants()
        # One more than asked for tells whether there is a next page.
        walks = [self._indices.walk(wanted, tenant, place, limit + 1) for tenant in tenants]
        places = walks[0] if len(walks) == 1 else heapq.merge(*walks, reverse=True)
        found: list[tuple[Place, Session]] = []
        gone = 0
        while len(found) <= limit and gone < MOST_GONE and (some := list(islice(places, limit + 1))):
            place = some[-1]
            keys = [SessionKey(tenant, session_id) for _, tenant, session_id in some]
            rows = self._link.batch([("HMGET", self._keys.session(key), *FIELDS) for key in keys])
            stale = []
            for at, key, row in zip(some, keys, rows, strict=True):
                session = decode_session(key, row, self._sealing)
                if session is None or not _is_filed(wanted, session):
                    stale.append(key)
                elif _passes(wanted, session) and not self._expired(session):
                    found.append((at, session))
            gone += len(stale)
            self._indices.tidy(stale, () if wanted.user_id is None else (wanted.user_id,))
        sessions = [session for _, session in found[:limit]]
        if len(found) > limit:
            return Page(sessions, _encode_cursor(found[limit - 1][0]))
        return Page(sessions, _encode_cursor(place) if gone >= MOST_GONE and place is not None else None)

    def _made(self, tenant: str, limit: int, before: Session | None) -> Sequence[Session]:
        found: list[Session] = []
        places = self._indices.walk_made(tenant, before, limit)
        while len(found) < limit and (some := list(islice(places, limit))):
            keys = [SessionKey(tenant, session_id) for _, _, session_id in some]
            rows = self._link.batch([("HMGET", self._keys.session(key), *FIELDS) for key in keys])
            stale = []
            for (at, _, _), key, row in zip(some, keys, rows, strict=True):
                session = decode_session(key, row, self._sealing)
                if session is None or session.created_at != at:
                    stale.append(key)
                elif not self._expired(session):
                    found.append(session)
            self._indices.tidy(stale)
        return found[:limit]

    def _tenants(self) -> list[str]:
        return list(self._link.call("ZRANGE", self._keys.tenants, 0, -1))


def _is_filed(wanted: Filter, session: Session) -> bool:
    """Whether the session belongs in the index in which it was found."""
    if wanted.user_id is not None:
        return session.user_id == wanted.user_id
    return wanted.status is None or session.status is wanted.status


def _passes(wanted: Filter, session: Session) -> bool:
    return (wanted.status is None or session.status is wanted.status) and (
        wanted.used_before is None or session.last_used < wanted.used_before
    )


def _encode_cursor(place: Place) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode().rstrip("=")


def _parse_cursor(text: str) -> Place:
    try:
        used, tenant, session_id = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if not isinstance(tenant, str) or not isinstance(session_id, str):
            raise ValueError
        return float(used), tenant, session_id
    except (ValueError, TypeError):
        raise InvalidRequestError("This cursor is not one of a listing.", param="after") from None
