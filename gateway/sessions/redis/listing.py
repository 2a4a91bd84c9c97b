"""Pages of sessions: a tenant's out of its indices, mappings and all in one script; all tenants' by hints of use."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import islice

from gateway.errors import StoreUnavailableError
from gateway.model import SessionKey
from gateway.sessions.cursor import Cursor, parse_cursor
from gateway.sessions.redis.hashes import decode_session, read_flat
from gateway.sessions.redis.hints import SETTLING_MS, Hints
from gateway.sessions.redis.keys import decode_key, encode_key
from gateway.sessions.redis.steps import Steps
from gateway.sessions.values import Filter, StoredPage, StoredSession

log = logging.getLogger("gateway.sessions")

FEW = 1000
"""Up to so many sessions of one prefix are sorted for a page; of more, the newest are looked for among all."""

LOOK = 2000
"""How many entries one script looks at when only some of them are wanted."""


Found = Iterator[tuple[Cursor, StoredSession]]


class Listing:
    def __init__(self, steps: Steps, hints: Hints) -> None:
        self._steps = steps
        self._hints = hints
        self._client = steps.client
        self._keys = steps.keys

    def page(self, wanted: Filter, limit: int, after: str | None) -> StoredPage:
        place = None if after is None else parse_cursor(after)
        if wanted.used_before is not None and (place is None or place.last_used >= wanted.used_before):
            place = Cursor(wanted.used_before, "", "")
        now = self._steps.now()
        # One more than asked for tells whether there is a next page.
        all_ = self._of_all(place, limit + 1) if wanted.tenant is None else self._of_tenant(wanted, place, limit + 1)
        passing = ((at, session) for at, session in all_ if wanted.passes(session) and not session.is_over(now))
        found = list(islice(passing, limit + 1))
        sessions = [session for _, session in found[:limit]]
        return StoredPage(sessions, found[limit - 1][0].encode() if len(found) > limit else None)

    def made(self, tenant: str, limit: int, before: tuple[int, str] | None) -> Sequence[StoredSession]:
        now = self._steps.now()
        place = None if before is None else Cursor(before[0], before[1], tenant)
        found = self._walk(tenant, "made", place, limit)
        return list(islice((session for _, session in found if not session.is_over(now)), limit))

    def _of_tenant(self, wanted: Filter, place: Cursor | None, want: int) -> Found:
        """The sessions of its tenant that may pass the filter, newest use first, those behind `place`."""
        tenant = wanted.tenant or ""
        if wanted.user_id is not None:
            index = f"user:{wanted.user_id}"
        elif wanted.status is not None:
            index = f"status:{wanted.status.value}"
        else:
            index = "used"
        return self._walk(tenant, index, place, want, wanted.prefix)

    def _walk(self, tenant: str, index: str, place: Cursor | None, want: int, prefix: str = "") -> Found:
        is_named = bool(prefix)
        while True:
            score, member = ("", "") if place is None else (place.last_used, place.session_id)
            keys = {"index": self._keys.of(tenant, index)}
            args = {
                "sessions": self._keys.of(tenant, "session:"),
                "score": score,
                "member": member,
                "prefix": prefix,
                "want": want,
            }
            answer = None
            if is_named:
                keys_named = {**keys, "names": self._keys.of(tenant, "names")}
                answer = self._client.run(self._client.command("named", keys_named, {**args, "few": FEW}))
                is_named = answer is not None
            if answer is None:
                look = LOOK if prefix else 2 * want
                answer = self._client.run(self._client.command("page", keys, {**args, "look": look}))
            more, score, member, *found = answer
            for session_id, used, mapping in zip(found[::3], found[1::3], found[2::3], strict=True):
                at = Cursor(int(used), session_id, tenant)
                if (session := _read(at.key, mapping)) is not None:
                    yield at, session
            if not more:
                return
            place = Cursor(int(score), member, tenant)

    def _of_all(self, place: Cursor | None, want: int) -> Found:
        """Every tenant's sessions, by the hints of their last use."""
        while True:
            score, member = (
                ("", "") if place is None else (place.last_used, encode_key(place.key) if place.session_id else "")
            )
            flat = self._client.run(self._steps.across("walk", self._keys.used, score=score, member=member, most=want))
            named = zip(map(decode_key, flat[::2]), flat[1::2], strict=True)
            places = [Cursor(int(used), key.session_id, key.tenant) for key, used in named]
            rows = self._client.batch([("HGETALL", self._keys.session(at.key)) for at in places], tolerant=True)
            missing = [at.key for at, row in zip(places, rows, strict=True) if row == {}]
            self._hints.forsake(missing, self._steps.now() - SETTLING_MS)
            for at, row in zip(places, rows, strict=True):
                if row == {}:
                    continue
                session = _read(at.key, None if isinstance(row, Exception) else row)
                if session is not None:
                    yield at, session
            if len(places) < want:
                return
            place = places[-1]


def _read(key: SessionKey, mapping: Sequence[str] | dict[str, str] | None) -> StoredSession | None:
    """None, and logged, when it cannot be read."""
    try:
        if mapping is None:
            raise StoreUnavailableError
        return decode_session(key, mapping if isinstance(mapping, dict) else read_flat(mapping))
    except StoreUnavailableError:
        log.warning("a session in Redis cannot be read, and is not listed: %s", key.session_id)
        return None
