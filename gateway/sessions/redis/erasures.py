"""What is to be erased at the provider: kept by tenant, with a hint at the tenants that have some."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from operator import attrgetter

from gateway.errors import SessionNotFoundError
from gateway.sessions.redis.hashes import decode_erasure
from gateway.sessions.redis.hints import Hints
from gateway.sessions.redis.steps import Steps
from gateway.sessions.store import Erasures, lost
from gateway.sessions.values import Erasure

log = logging.getLogger("gateway.sessions")

TENANTS_AT_ONCE = 100
"""At how many tenants one claim looks at most."""

TURNS_AT_ONCE = 500
"""How many of a session's turns one step of an erasure's end looks at."""


class RedisErasures(Erasures):
    def __init__(self, steps: Steps, hints: Hints) -> None:
        self._steps = steps
        self._hints = hints
        self._client = steps.client

    def begin(self, turn_id: str, erasure: Erasure) -> None:
        begin = self._steps.of_session(
            "begin_erasure",
            erasure.key,
            turn_id,
            conversation_id=erasure.conversation_id,
            requested_at=erasure.requested_at,
            not_before=erasure.not_before,
        )
        answers = self._client.batch([self._hints.of_erasure(erasure.tenant), begin])
        (outcome,) = self._client.learn(answers[-1])
        if outcome == "lost":
            raise lost()
        if outcome == "absent":
            raise SessionNotFoundError()

    def claim(self, limit: int, until: int) -> Sequence[Erasure]:
        claimed: list[Erasure] = []
        looks: list[tuple[str, str, str]] = []
        for tenant, found in self._hints.erasing(TENANTS_AT_ONCE):
            if len(claimed) >= limit:
                break
            again, *rows = self._client.step(
                self._steps.of_tenant(
                    "claim_erasures",
                    tenant,
                    {"erasing": "erasing"},
                    at=self._steps.now(),
                    hold_until=until,
                    limit=limit - len(claimed),
                )
            )
            looks.append((tenant, found, again))
            claimed += _readable(tenant, zip(rows[::2], rows[1::2], [until] * (len(rows) // 2), strict=True))
        self._hints.erase_again(looks)
        return claimed

    def postpone(self, erasure: Erasure) -> None:
        postpone = self._steps.of_tenant(
            "postpone",
            erasure.tenant,
            {"erasing": "erasing", "erasures": f"erasures:{erasure.session_id}"},
            session_id=erasure.session_id,
            conversation_id=erasure.conversation_id,
            not_before=erasure.not_before,
            attempts=erasure.attempts,
        )
        self._client.batch([self._hints.of_erasure(erasure.tenant), postpone])

    def list(self, limit: int) -> Sequence[Erasure]:
        tenants = self._hints.all_erasing()
        keys = {"requested": "requested", "erasing": "erasing"}
        answers = self._client.batch(
            [self._steps.of_tenant("list_erasures", tenant, keys, limit=limit) for tenant in tenants]
        )
        found: list[Erasure] = []
        for tenant, answer in zip(tenants, answers, strict=True):
            rows = self._client.learn(answer)
            found += _readable(tenant, zip(rows[::3], rows[1::3], map(int, rows[2::3]), strict=True))
        return sorted(found, key=attrgetter("requested_at"))[:limit]

    def finish(self, erasure: Erasure) -> None:
        cursor = "-inf"
        while cursor:
            (cursor,) = self._client.step(
                self._steps.of_session(
                    "finish_erasure",
                    erasure.key,
                    conversation_id=erasure.conversation_id,
                    cursor=cursor,
                    most=TURNS_AT_ONCE,
                )
            )
        if erasure.whole:
            self._hints.forsake_erased(erasure.key, used_until=erasure.requested_at)


def _readable(tenant: str, rows: Iterable[tuple[str, str | None, int]]) -> list[Erasure]:
    found = []
    for member, text, not_before in rows:
        erasure = decode_erasure(tenant, member, text, not_before)
        if erasure is None:
            log.warning("an erasure in Redis cannot be read, and is not done: %s", member.partition("/")[0])
        else:
            found.append(erasure)
    return found
