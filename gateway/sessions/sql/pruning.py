"""What becomes of old turn records: whole for a while, then ids only, then gone. A few rows a call, by index."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import sqlalchemy as sa

from gateway.database.engine import Database
from gateway.model import SessionKey
from gateway.sessions.base import KEY_LIFETIME_MS
from gateway.sessions.sql.tickets import Tickets, parameter

WHOLE_MS = 24 * 3600 * 1000
"""How long every ended record stays whole."""

KEPT_MS = 30 * 24 * 3600 * 1000
"""How long its ids stay: an erasure deletes the stored responses by them."""

NEWEST = 50
"""So many records of a session stay whole for as long as the session stays."""


class Pruner:
    """The statements that thin and delete turn records, and the decision which. Built once for a store."""

    def __init__(self, turns: sa.Table, tickets: Tickets) -> None:
        t = turns.c
        self._due = (
            sa.select(
                *(t.turn_id, t.tenant, t.session_id, t.state, t.place, t.fence, t.owner, t.entered_at, t.finished_at),
                tickets.leased.label("leased"),
            )
            .where(t.prune_at <= sa.bindparam("now", type_=sa.BigInteger))
            .order_by(t.prune_at)
            .limit(sa.bindparam("most", type_=sa.Integer))
        )
        self._newest = (
            sa.select(t.fence)
            .where(tickets.of_session, t.fence >= 0)
            .order_by(t.fence.desc())
            .limit(1)
            .offset(NEWEST - 1)
        )
        old = sa.and_(t.turn_id.in_(sa.bindparam("tickets", expanding=True, type_=t.turn_id.type)), t.place.is_(None))
        self._delete = sa.delete(turns).where(old)
        self._thin = sa.update(turns).where(old).values(fingerprint=None, usage=None, error_code=None)
        self._free_keys = (
            sa.update(turns)
            .where(t.turn_id.in_(sa.bindparam("tickets", expanding=True, type_=t.turn_id.type)))
            .where(t.entered_at <= sa.bindparam("entered_before", type_=sa.BigInteger))
            .values(idempotency_key=None)
        )
        self._postpone = sa.update(turns).where(tickets.is_ticket).values(prune_at=parameter("until", t.prune_at))

    def prune(
        self,
        database: Database,
        now: int,
        limit: int,
        *,
        bury: Callable[[sa.Row[Any]], bool],
        existing: Callable[[Collection[SessionKey]], Collection[SessionKey]],
    ) -> None:
        """Looks at `limit` rows at most. `bury` takes a dead ticket out of its queue and says whether it was dead;
        `existing` says which of these sessions there are."""
        due = database.rows(self._due, {"now": now, "most": limit})
        if not due:
            return
        keys = {SessionKey(row.tenant, row.session_id) for row in due}
        kept = existing(keys)
        # The oldest fence that is among the newest of its session.
        newest = {key: self._oldest_of_newest(database, key) for key in keys & set(kept)}
        delete, thin, later = [], [], []
        for row in due:
            if row.place is not None and not bury(row):
                later.append({"ticket": row.turn_id, "until": now + WHOLE_MS})
                continue
            ended = row.finished_at or row.entered_at
            key = SessionKey(row.tenant, row.session_id)
            if ended + WHOLE_MS > now:
                later.append({"ticket": row.turn_id, "until": ended + WHOLE_MS})
            elif key in newest and (row.fence or 0) >= newest[key]:
                # Looked at once in a long while, for most records of most sessions are among the newest.
                later.append({"ticket": row.turn_id, "until": now + KEPT_MS})
            elif ended + KEPT_MS > now:
                thin.append(row.turn_id)
                later.append({"ticket": row.turn_id, "until": ended + KEPT_MS})
            else:
                delete.append(row.turn_id)

        def write(work: sa.Connection) -> None:
            everything = [row.turn_id for row in due]
            work.execute(self._free_keys, {"tickets": everything, "entered_before": now - KEY_LIFETIME_MS})
            if delete:
                work.execute(self._delete, {"tickets": delete})
            if thin:
                work.execute(self._thin, {"tickets": thin})
            if later:
                work.execute(self._postpone, later)

        database.atomically(write)

    def _oldest_of_newest(self, database: Database, key: SessionKey) -> int:
        rows = database.rows(self._newest, {"of_tenant": key.tenant, "of_session": key.session_id})
        return rows[0][0] if rows else 0
