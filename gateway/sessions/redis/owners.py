"""Whose the provider's ids are: a string each, with a TTL; and API keys: one hash of them all."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from gateway.errors import StoreUnavailableError
from gateway.model import ApiKey, Role
from gateway.sessions.redis.steps import Steps
from gateway.sessions.store import Owners


class RedisOwners(Owners):
    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._client = steps.client
        self._keys = steps.keys

    def remember(self, tenant: str, given_ids: Sequence[str], until: int) -> None:
        left = max(1, until - self._steps.now())
        self._client.batch([("SET", self._given(tenant, each), "", "PX", left) for each in given_ids])

    def remembered(self, tenant: str, given_ids: Sequence[str]) -> set[str]:
        if not given_ids:
            return set()
        kept = self._client.call("MGET", *(self._given(tenant, each) for each in given_ids))
        return {each for each, text in zip(given_ids, kept, strict=True) if text is not None}

    def prune(self, limit: int) -> int:
        """None: each goes by itself."""
        return 0

    def add_key(self, key: ApiKey) -> bool:
        name, text = self._keys.api_keys, _encode(key)
        # What is there afterwards says whose the name is, also when this was sent twice.
        _, kept = self._client.batch([("HSETNX", name, key.name, text), ("HGET", name, key.name)])
        return bool(kept == text)

    def find_key(self, name: str) -> ApiKey | None:
        text: str | None = self._client.call("HGET", self._keys.api_keys, name)
        return None if text is None else _decode(name, text)

    def keys(self) -> Sequence[ApiKey]:
        return [_decode(name, text) for name, text in self._client.call("HGETALL", self._keys.api_keys).items()]

    def remove_key(self, name: str) -> bool:
        return bool(self._client.call("HDEL", self._keys.api_keys, name))

    def _given(self, tenant: str, given_id: str) -> str:
        return self._keys.of(tenant, f"given:{given_id}")


def _encode(key: ApiKey) -> str:
    fields = {
        "digest": key.digest,
        "tenant": key.tenant,
        "role": key.role.value,
        "user_id": key.user_id,
        "created_at": key.created_at,
    }
    return orjson.dumps(fields).decode()


def _decode(name: str, text: str) -> ApiKey:
    try:
        fields = orjson.loads(text)
        return ApiKey(
            name=name,
            digest=fields["digest"],
            tenant=fields["tenant"],
            role=Role(fields["role"]),
            user_id=fields["user_id"],
            created_at=int(fields["created_at"]),
        )
    except (ValueError, KeyError, TypeError) as exc:
        raise StoreUnavailableError(f"The API key {name!r} in Redis is corrupt.") from exc
