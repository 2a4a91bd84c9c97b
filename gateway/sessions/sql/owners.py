"""Whose the provider's ids are, and whose an API key, in SQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import sqlalchemy as sa

from gateway.database.engine import CollisionError, Database
from gateway.model import ApiKey, Role
from gateway.sessions.sql.rows import parameter, parts
from gateway.sessions.sql.schema import Tables
from gateway.sessions.store import Owners

_KEY = ("name", "digest", "tenant", "role", "user_id", "created_at")


class OwnerStatements:
    """The statements on ids that were given out, and on API keys. Built once for a store."""

    def __init__(self, tables: Tables) -> None:
        given, g = tables.given, tables.given.c
        now = sa.bindparam("now", type_=sa.BigInteger)
        ids = sa.bindparam("ids", expanding=True, type_=g.given_id.type)
        some = sa.and_(g.tenant == parameter("of_tenant", g.tenant), g.given_id.in_(ids))

        self.kept = sa.select(g.given_id).where(some)
        """Those of some ids of which anything is known."""
        self.remembered = self.kept.where(g.until > now)
        """Those of some ids that the tenant was given."""
        self.remember = sa.insert(given)
        """The tenant was given an id."""
        self.prolong = sa.update(given).where(some).values(until=sa.bindparam("longer", type_=sa.BigInteger))
        """The tenant was given ids again."""
        this = sa.and_(g.tenant == parameter("of_tenant", g.tenant), g.given_id == parameter("id", g.given_id))
        self.past = (
            sa.select(g.tenant, g.given_id)
            .where(g.until <= now)
            .order_by(g.until)
            .limit(sa.bindparam("most", type_=sa.Integer))
        )
        """The ids whose time is over."""
        self.prune = sa.delete(given).where(this, g.until <= now)
        """Removes an id whose time is over."""

        keys, k = tables.keys, tables.keys.c
        self.add_key = sa.insert(keys)
        """A new API key."""
        self.keys = sa.select(*(k[name] for name in _KEY))
        """Every API key."""
        self.find_key = self.keys.where(k.name == parameter("named", k.name))
        """The API key of that name."""
        self.remove_key = sa.delete(keys).where(k.name == parameter("named", k.name))
        """Removes an API key."""


class SqlOwners(Owners):
    """Whose what is. `now` is the clock of sessions."""

    def __init__(self, database: Database, tables: Tables, now: Callable[[], int]) -> None:
        self.statements = OwnerStatements(tables)
        self._database = database
        self._now = now

    def remember(self, tenant: str, given_ids: Sequence[str], until: int) -> None:
        def remember(work: sa.Connection, ids: Sequence[str]) -> None:
            kept = {row[0] for row in work.execute(self.statements.kept, {"of_tenant": tenant, "ids": ids})}
            new = [{"tenant": tenant, "given_id": given, "until": until} for given in ids if given not in kept]
            if new:
                work.execute(self.statements.remember, new)
            if kept:
                work.execute(self.statements.prolong, {"of_tenant": tenant, "ids": sorted(kept), "longer": until})

        for some in parts(given_ids):
            self._database.atomically(partial(remember, ids=some))

    def remembered(self, tenant: str, given_ids: Sequence[str]) -> set[str]:
        now = self._now()
        asked = ({"of_tenant": tenant, "ids": some, "now": now} for some in parts(given_ids))
        return {row[0] for some in asked for row in self._database.rows(self.statements.remembered, some)}

    def prune(self, limit: int) -> int:
        now = self._now()
        past = self._database.rows(self.statements.past, {"now": now, "most": limit})
        if past:
            some = [{"of_tenant": row.tenant, "id": row.given_id, "now": now} for row in past]
            self._database.atomically(lambda work: work.execute(self.statements.prune, some))
        return len(past)

    def add_key(self, key: ApiKey) -> bool:
        values = {name: getattr(key, name) for name in _KEY} | {"role": key.role.value}
        try:
            self._database.change(self.statements.add_key, values)
        except CollisionError:
            # Another key's name; or this very statement came through before, and its answer was lost.
            return self.find_key(key.name) == key
        return True

    def find_key(self, name: str) -> ApiKey | None:
        return next((_decode_key(row) for row in self._database.rows(self.statements.find_key, {"named": name})), None)

    def keys(self) -> Sequence[ApiKey]:
        return [_decode_key(row) for row in self._database.rows(self.statements.keys)]

    def remove_key(self, name: str) -> bool:
        return self._database.change(self.statements.remove_key, {"named": name}) > 0


def _decode_key(row: Any) -> ApiKey:
    return ApiKey(**{name: getattr(row, name) for name in _KEY} | {"role": Role(row.role)})
