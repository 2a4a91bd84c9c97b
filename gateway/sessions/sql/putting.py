"""Mappings that were made elsewhere, written many at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from gateway.model import Session, SessionKey
from gateway.sessions.placing import Placing, place
from gateway.sessions.sql.rows import COLUMNS, Rows
from gateway.sessions.sql.tickets import parameter


class Putting:
    """Its statements, built once for a store."""

    def __init__(self, sessions: sa.Table, rows: Rows) -> None:
        self._rows = rows
        s = sessions.c
        ids = sa.bindparam("ids", expanding=True, type_=s.session_id.type)
        self._found = (
            sa.select(*(s[name] for name in COLUMNS))
            .where(s.tenant == parameter("of_tenant", s.tenant), s.session_id.in_(ids))
            .order_by(s.session_id)
            .with_for_update()
        )
        self._insert = sa.insert(sessions)
        self._replace = (
            sa.update(sessions)
            .where(s.tenant == parameter("of_tenant", s.tenant), s.session_id == parameter("of_session", s.session_id))
            .values({name: parameter(f"new_{name}", s[name]) for name in COLUMNS[2:]})
        )

    def put(self, work: sa.Connection, sessions: Sequence[Session], *, replace: bool) -> list[Placing]:
        """Inside a transaction: what is found stays locked until it is replaced; two who insert the same collide."""
        found: dict[SessionKey, Session] = {}
        ids: defaultdict[str, list[str]] = defaultdict(list)
        for session in sessions:
            ids[session.tenant].append(session.session_id)
        for tenant in sorted(ids):
            for row in work.execute(self._found, {"of_tenant": tenant, "ids": sorted(ids[tenant])}):
                there = self._rows.decode(row)
                found[there.key] = there
        placings = [place(found.get(session.key), session, replace=replace) for session in sessions]
        made: list[dict[str, Any]] = []
        updated: list[dict[str, Any]] = []
        for session, placing in zip(sessions, placings, strict=True):
            values = self._rows.encode(session)
            if placing is Placing.MADE:
                made.append(values)
            elif placing is Placing.UPDATED:
                new = {f"new_{name}": values[name] for name in COLUMNS[2:]}
                updated.append({"of_tenant": session.tenant, "of_session": session.session_id, **new})
        if made:
            # In one order for all, so that two who put the same sessions wait for each other instead of locking up.
            work.execute(self._insert, sorted(made, key=lambda row: (row["tenant"], row["session_id"])))
        if updated:
            work.execute(self._replace, updated)
        return placings
