"""API keys in Redis: one hash of them all. What cannot be read is an error, never an absence."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from gateway.errors import StoreUnavailableError
from gateway.model import ApiKey, Role
from gateway.sessions.redis.parts import RedisParts


class KeySteps(RedisParts):
    def _add_key(self, key: ApiKey) -> bool:
        hash_, text = self._keys.api_keys, _encode(key)
        # What is there afterwards says whose the name is, also when this was sent twice.
        _, kept = self._link.batch([("HSETNX", hash_, key.name, text), ("HGET", hash_, key.name)], atomic=True)
        return bool(kept == text)

    def _find_key(self, name: str) -> ApiKey | None:
        text: str | None = self._link.call("HGET", self._keys.api_keys, name)
        return None if text is None else _decode(name, text)

    def _list_keys(self) -> Sequence[ApiKey]:
        flat = self._link.call("HGETALL", self._keys.api_keys)
        return [_decode(name, text) for name, text in flat.items()]

    def _remove_key(self, name: str) -> bool:
        return bool(self._link.call("HDEL", self._keys.api_keys, name))


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
