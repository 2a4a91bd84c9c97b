"""What spans tenants, and so lies in other slots than the sessions: three sorted sets that say where to look.

They are hints. Each is written by a command of its own before (where it names an old moment, after it, too) the step
that makes it true, so what is there is never missing; a hint at what is not there, or not yet so, costs one look and is
taken back then. It is taken back only when no step can still be under way that was hinted at: a minute after the hint,
and if nobody hinted again since.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.model import SessionKey
from gateway.sessions.redis.keys import decode_key, decode_tenant, encode_key, encode_tenant
from gateway.sessions.redis.scripts import Command
from gateway.sessions.redis.steps import Steps
from gateway.sessions.values import StoredSession, Use

SETTLING_MS = 60_000
"""After so long a step that was hinted at has come through, or never will."""


class Hints:
    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._client = steps.client
        self._keys = steps.keys

    # --- Sessions: when they were used last, and when to look whether they expired --------------------------

    def of_session(self, session: StoredSession) -> list[Command]:
        """The session comes to be there, or becomes another one."""
        hints: list[Command] = [("ZADD", self._keys.used, "GT", session.last_used, encode_key(session.key))]
        if session.expires_at is not None:
            # Not when it expires, but soon: another moment than any before, so that nobody takes back an older hint
            # without a look at what comes of this one.
            look = min(session.expires_at, self._steps.now() + SETTLING_MS)
            hints.append(("ZADD", self._keys.due, look, encode_key(session.key)))
        return hints

    def of_use(self, use: Use) -> list[Command]:
        """A turn has used the session. It expires later than it was to: that is found out when the time has come."""
        hints: list[Command] = [("ZADD", self._keys.used, "GT", use.last_used, encode_key(use.key))]
        if use.expires_at is not None:
            hints.append(("ZADD", self._keys.due, "NX", use.expires_at, encode_key(use.key)))
        return hints

    def of_end(self, keys: Iterable[SessionKey]) -> list[Command]:
        """Whoever holds the turns of these sessions has seen that they are no more."""
        names = [encode_key(key) for key in keys]
        return [("ZREM", self._keys.used, *names), ("ZREM", self._keys.due, *names)] if names else []

    def forsake_erased(self, key: SessionKey, used_until: int) -> None:
        """The session is erased: its name does not stay in here for as long as it might have lived."""
        self.forsake([key], used_until)
        self._client.call("ZADD", self._keys.due, "XX", "LT", self._steps.now(), encode_key(key))

    def due(self, limit: int) -> list[tuple[SessionKey, str]]:
        """Those to look at now, with their hints."""
        flat = self._client.call(
            "ZRANGEBYSCORE", self._keys.due, "-inf", self._steps.now(), "WITHSCORES", "LIMIT", 0, limit
        )
        return [(decode_key(name), found) for name, found in zip(flat[::2], flat[1::2], strict=True)]

    def look_again(self, looks: Sequence[tuple[SessionKey, str, str]]) -> None:
        """When to look at these again (empty: not), unless somebody hinted since they were found."""
        moves = [part for key, found, again in looks for part in (encode_key(key), found, again)]
        if moves:
            self._client.run(self._steps.across("reschedule", self._keys.due, moves=moves))

    def forsake(self, keys: Iterable[SessionKey], used_until: int) -> None:
        """These sessions are not there: takes them out of the order of use, but for those that were used since."""
        names = [encode_key(key) for key in keys]
        if names:
            self._client.run(self._steps.across("forsake", self._keys.used, bound=used_until, members=names))

    # --- Tenants: when to look for something to erase --------------------------------------------------------

    def of_erasure(self, tenant: str) -> Command:
        """Something about this tenant's erasures changes now."""
        return ("ZADD", self._keys.erasing, self._steps.now(), encode_tenant(tenant))

    def erasing(self, limit: int) -> list[tuple[str, str]]:
        """Tenants to look at now, those that wait longest first, with their hints."""
        flat = self._client.call(
            "ZRANGEBYSCORE", self._keys.erasing, "-inf", self._steps.now(), "WITHSCORES", "LIMIT", 0, limit
        )
        return [(decode_tenant(name), found) for name, found in zip(flat[::2], flat[1::2], strict=True)]

    def all_erasing(self) -> list[str]:
        return [decode_tenant(name) for name in self._client.call("ZRANGE", self._keys.erasing, 0, -1)]

    def erase_again(self, tenants: Sequence[tuple[str, str, str]]) -> None:
        """When to look at these again (empty: not); what was hinted at a moment ago stays."""
        settled = self._steps.now() - SETTLING_MS
        moves = [
            part
            for name, found, again in tenants
            if float(found) < settled
            for part in (encode_tenant(name), found, again)
        ]
        if moves:
            self._client.run(self._steps.across("reschedule", self._keys.erasing, moves=moves))
