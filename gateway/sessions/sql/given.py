"""Ids that a tenant was given outside of every session, for as long as the provider surely keeps what they name."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import sqlalchemy as sa

from gateway.database.engine import Database
from gateway.sessions.sql.tickets import parameter

_AT_ONCE = 500


class Given:
    """The statements on them, built once for a store."""

    def __init__(self, given: sa.Table) -> None:
        g = given.c
        some = sa.and_(
            g.tenant == parameter("of_tenant", g.tenant),
            g.given_id.in_(sa.bindparam("ids", expanding=True, type_=g.given_id.type)),
        )
        self._kept = sa.select(g.given_id).where(some)
        self._valid = self._kept.where(g.until > sa.bindparam("now", type_=sa.BigInteger))
        self._prolong = sa.update(given).where(some).values(until=sa.bindparam("longer", type_=sa.BigInteger))
        self._insert = sa.insert(given)
        past = g.until <= sa.bindparam("now", type_=sa.BigInteger)
        self._past = (
            sa.select(g.tenant, g.given_id).where(past).order_by(g.until).limit(sa.bindparam("most", type_=sa.Integer))
        )
        this = sa.and_(g.tenant == parameter("of_tenant", g.tenant), g.given_id == parameter("id", g.given_id))
        self._drop = sa.delete(given).where(this, past)

    def remember(self, database: Database, tenant: str, given_ids: Sequence[str], until: int) -> None:
        for ids in _parts(given_ids):
            database.atomically(partial(self._write, tenant=tenant, ids=ids, until=until))

    def _write(self, work: sa.Connection, tenant: str, ids: Sequence[str], until: int) -> None:
        kept = {row[0] for row in work.execute(self._kept, {"of_tenant": tenant, "ids": ids})}
        new = [{"tenant": tenant, "given_id": given, "until": until} for given in ids if given not in kept]
        if new:
            work.execute(self._insert, new)
        if kept:
            work.execute(self._prolong, {"of_tenant": tenant, "ids": sorted(kept), "longer": until})

    def remembered(self, database: Database, tenant: str, given_ids: Sequence[str], now: int) -> set[str]:
        asked = ({"of_tenant": tenant, "ids": ids, "now": now} for ids in _parts(given_ids))
        return {row[0] for parameters in asked for row in database.rows(self._valid, parameters)}

    def prune(self, database: Database, now: int, limit: int) -> None:
        """Drops those past their time, `limit` at most."""
        past = database.rows(self._past, {"now": now, "most": limit})
        drop = [{"of_tenant": row.tenant, "id": row.given_id, "now": now} for row in past]
        if drop:
            database.atomically(lambda work: work.execute(self._drop, drop))


def _parts(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE)]
