"""The indices of a tenant's sessions: what listings and the sweeper walk instead of the keys.

A session is entered before, or together with, what makes it; so an index may name one that is not there, which is
passed over and taken out by whoever meets it, but never lacks one that is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from gateway.model import Session, SessionKey, Status
from gateway.sessions.base import Filter
from gateway.sessions.redis.keys import Keys, encode_expiring, expiring_name
from gateway.sessions.redis.link import Command, Link
from gateway.sessions.redis.records import FIELDS, decode_session

Place = tuple[float, str, str]
"""Where a session stands in a listing: last use, tenant, session_id; listings go from the greatest to the least."""

FEW = 1000
"""Up to so many sessions of one prefix are sorted for a page; of more, the newest are looked for among all."""

LOOK = 2000
"""How many entries one script looks at when only some of them are wanted."""

_TIDY_AT_ONCE = 50
_LAST = "\x7f"  # behind every session id


class Indices:
    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    def enter(self, session: Session) -> Command:
        """The command that enters the session, or moves it to its place."""
        keys, tenant = self._keys, session.tenant
        names = [
            keys.index(tenant, "used"),
            keys.index(tenant, "names"),
            keys.index(tenant, "expires"),
            keys.by_status(tenant, session.status),
            keys.index(tenant, "made"),
        ]
        if session.user_id is not None:
            names.append(keys.by_user(tenant, session.user_id))
        # One that is being erased no longer expires: the eraser has the say.
        mortal = session.expires_at is not None and session.status is not Status.ERASING
        return self._link.script(
            "index",
            names,
            session.session_id,
            session.last_used,
            expiring_name(session),
            str(session.expires_at) if mortal else "",
            session.created_at,
        )

    def tidy(self, keys: Sequence[SessionKey], users: Collection[str] = ()) -> None:
        """Makes the indices say what is true of these sessions; `users` are those that they may have had."""
        for start in range(0, len(keys), _TIDY_AT_ONCE):
            some = keys[start : start + _TIDY_AT_ONCE]
            # Others keep writing these sessions only while they exist; what is left over is met again later.
            for _ in range(5):
                if self._tidy(some, users):
                    break

    def tidy_one(self, *versions: Session) -> None:
        """As `tidy`, of one session (or two that were one) as it was read at some time."""
        users = {session.user_id for session in versions if session.user_id is not None}
        self.tidy(list({session.key: None for session in versions}), users)

    def _tidy(self, keys: Sequence[SessionKey], users: Collection[str]) -> bool:
        def write(answers: list[Any]) -> list[Command]:
            commands: list[Command] = []
            for key, values in zip(keys, answers, strict=True):
                commands += self._corrections(key, decode_session(key, values, None), users)
            return commands

        names = [self._keys.session(key) for key in keys]
        return self._link.watched(names, [("HMGET", name, *FIELDS) for name in names], write)

    def _corrections(self, key: SessionKey, session: Session | None, users: Collection[str]) -> list[Command]:
        tenant, session_id = key
        index = self._keys.index
        user_id = session.user_id if session is not None else None
        others = [user for user in users if user != user_id]
        leave = [self._keys.by_user(tenant, user) for user in others]
        leave += [self._keys.by_status(tenant, s) for s in Status if session is None or s is not session.status]
        stale = [encode_expiring(session_id, user) for user in others]
        if session is None or user_id is not None:
            stale.append(session_id)
        if session is None:
            leave += [index(tenant, name) for name in ("used", "names", "made", "trim")]
        commands: list[Command] = [("ZREM", name, session_id) for name in leave]
        if stale:
            commands.append(("ZREM", index(tenant, "expires"), *stale))
        if session is not None:
            commands.append(self.enter(session))
        return commands

    def walk(self, wanted: Filter, tenant: str, after: Place | None, batch: int) -> Iterator[Place]:
        """The places of a tenant's sessions that may pass the filter, newest use first, those after `after`."""
        keys = self._keys
        if wanted.user_id is not None:
            index = keys.by_user(tenant, wanted.user_id)
        elif wanted.status is not None:
            index = keys.by_status(tenant, wanted.status)
        else:
            index = keys.index(tenant, "used")
        score, member = _start(wanted.used_before, tenant, after)
        if wanted.prefix:
            named = self._link.run(self._link.script("named", [keys.index(tenant, "names"), index], wanted.prefix, FEW))
            if named is not None:
                yield from _sorted_places(named, tenant, score, member)
                return
        yield from self._walk(index, tenant, score, member, batch, wanted.prefix)

    def walk_made(self, tenant: str, before: Session | None, batch: int) -> Iterator[Place]:
        """The places of a tenant's sessions, newest made first."""
        score, member = ("", "") if before is None else (str(before.created_at), before.session_id)
        return self._walk(self._keys.index(tenant, "made"), tenant, score, member, batch)

    def _walk(self, index: str, tenant: str, score: str, member: str, batch: int, prefix: str = "") -> Iterator[Place]:
        look = LOOK if prefix else batch
        more = True
        while more:
            more, score, member, *found = self._link.run(
                self._link.script("page", [index], score, member, look, batch, prefix)
            )
            for name, at in _pairs(found):
                yield float(at), tenant, name


def _start(used_before: int | None, tenant: str, after: Place | None) -> tuple[str, str]:
    """The score and the member behind which a tenant's part of the page begins (no score: at the start)."""
    if after is not None and (used_before is None or after[0] < used_before):
        score, last_tenant, session_id = after
        # Of equal use, those of a lesser tenant are all still to come, those of a greater one all gone.
        member = session_id if tenant == last_tenant else _LAST if tenant < last_tenant else ""
        return f"{score:.0f}", member
    return ("", "") if used_before is None else (str(used_before), "")


def _sorted_places(named: list[str], tenant: str, score: str, member: str) -> list[Place]:
    places = [(float(used), tenant, name) for name, used in _pairs(named)]
    if score:
        places = [place for place in places if (place[0], place[2]) < (float(score), member)]
    return sorted(places, reverse=True)


def _pairs(flat: Sequence[str]) -> Iterator[tuple[str, str]]:
    return zip(flat[::2], flat[1::2], strict=True)
