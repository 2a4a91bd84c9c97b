"""The statements on sessions."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from gateway.database.engine import Database
from gateway.model import Status
from gateway.sessions.sql.rows import SESSION, in_conversation, in_session, parameter
from gateway.sessions.sql.schema import Tables
from gateway.sessions.sql.ticket_statements import HOLDS, TicketStatements

WHOLE = tuple(name for name in SESSION if name not in {"tenant", "session_id", "revision"})
"""What is written of a session that is written whole."""

EDITED = ("data", "metadata", "status")
"""What clients edit."""

NAMED = ("session_id", "user_id", "data", "metadata")
"""What a rename writes: what is sealed names its session."""


class SessionStatements:
    """Built once for a store."""

    def __init__(self, tables: Tables, tickets: TicketStatements, database: Database) -> None:
        sessions, s, t = tables.sessions, tables.sessions.c, tables.turns.c
        this = in_session(sessions)
        same = in_conversation(sessions)
        ids = sa.bindparam("ids", expanding=True, type_=s.session_id.type)
        some = sa.and_(s.tenant == parameter("of_tenant", s.tenant), s.session_id.in_(ids))
        columns = [s[name] for name in SESSION]
        # The database's time comes along with a session, so that its clock is followed for nothing.
        clock = [database.tick.label("tick")] if database.networked else []
        edited = s.revision + 1

        self.get = sa.select(*columns, *clock).where(this)
        """A session."""
        self.get_locked = sa.select(*columns).where(this).with_for_update()
        """A session, for a transaction that is going to change it."""
        self.some = sa.select(*columns).where(some)
        """Some sessions of a tenant."""
        self.some_locked = self.some.order_by(s.session_id).with_for_update()
        """Some sessions, for a transaction that is going to change them; in one order for all."""

        values = {name: parameter(name, s[name]) for name in SESSION}
        # The ticket's row stays locked until the mapping is there, so that nobody else is granted in between.
        bound = sa.select(*(value.label(name) for name, value in values.items())).select_from(tables.turns)
        self.bind = sa.insert(sessions).from_select(
            list(values), bound.where(tickets.holds).with_for_update(), include_defaults=False
        )
        """A new session, by the turn that holds it."""
        self.insert = sa.insert(sessions).values(values)
        """A new session."""
        whole = {**_new(s, WHOLE), "revision": edited}
        self.replace = sa.update(sessions).where(this).values(whole)
        """Another state of a session, made elsewhere."""
        old = sa.and_(same, s.generation == parameter("old_generation", s.generation))
        self.rebind = sa.update(sessions).where(old).values(_new(s, ("conversation_id", "generation")))
        """The session's next conversation: all else stays, for clients may be editing it."""
        self.rebind_whole = sa.update(sessions).where(old).values(whole)
        """A session in place of one that expired."""

        at_revision = s.revision == parameter("revision", s.revision)
        self.swap = sa.update(sessions).where(same, at_revision).values({**_new(s, EDITED), "revision": edited})
        """An edit of what nobody has edited since it was read."""
        self.rename = sa.update(sessions).where(this).values({**_new(s, NAMED), "revision": edited})
        """Gives a session another name."""

        self.drop = sa.delete(sessions).where(same)
        """Removes a session."""
        past = sa.and_(s.expires_at <= sa.bindparam("late", type_=sa.BigInteger), s.status != Status.ERASING.value)
        wanted = sa.exists(
            sa.select(t.turn_id).where(t.tenant == s.tenant, t.session_id == s.session_id, t.place >= HOLDS)
        )
        most = sa.bindparam("most", type_=sa.Integer)
        expired = sa.select(s.tenant, s.session_id, s.conversation_id).where(past).order_by(s.expires_at).limit(most)
        self.expired = expired.add_columns(wanted.label("wanted"))
        """Sessions that have expired, and whether a ticket is in their queue."""
        self.deserted = expired.where(~wanted).with_for_update()
        """Sessions that have expired and in whose queue nobody is, for a transaction that is going to drop them."""


def _new(columns: Any, names: tuple[str, ...]) -> dict[str, sa.ColumnElement[Any]]:
    return {name: parameter(f"new_{name}", columns[name]) for name in names}
