"""API keys in SQL: a row each, read anew whenever somebody shows one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from gateway.database.engine import CollisionError, Database
from gateway.model import ApiKey, Role
from gateway.sessions.sql.tickets import parameter

_COLUMNS = ("name", "digest", "tenant", "role", "user_id", "created_at")


class ApiKeys:
    """The statements on them, built once for a store."""

    def __init__(self, keys: sa.Table) -> None:
        this = keys.c.name == parameter("named", keys.c.name)
        self._insert = sa.insert(keys)
        self._all = sa.select(*(keys.c[name] for name in _COLUMNS))
        self._one = self._all.where(this)
        self._delete = sa.delete(keys).where(this)

    def add(self, database: Database, key: ApiKey) -> bool:
        try:
            database.change(self._insert, {name: getattr(key, name) for name in _COLUMNS} | {"role": key.role.value})
        except CollisionError:
            # Another key's name; or this very statement came through before, and its answer was lost.
            return self.find(database, key.name) == key
        return True

    def find(self, database: Database, name: str) -> ApiKey | None:
        return next((_decode(row) for row in database.rows(self._one, {"named": name})), None)

    def all(self, database: Database) -> Sequence[ApiKey]:
        return [_decode(row) for row in database.rows(self._all)]

    def remove(self, database: Database, name: str) -> bool:
        return database.change(self._delete, {"named": name}) > 0


def _decode(row: Any) -> ApiKey:
    return ApiKey(
        name=row.name,
        digest=row.digest,
        tenant=row.tenant,
        role=Role(row.role),
        user_id=row.user_id,
        created_at=row.created_at,
    )
