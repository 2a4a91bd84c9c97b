"""The statements by which tickets enter, pass and leave a session's queue. Each decides and writes at once."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from gateway.model import TurnState
from gateway.sessions.sql.rows import RECORD, in_session, parameter

WAITING, RUNNING = TurnState.WAITING.value, TurnState.RUNNING.value

HOLDS = 0
"""The place of the ticket that holds its session."""

_IDENTITY = ("turn_id", "tenant", "session_id", "owner", "workflow", "idempotency_key", "fingerprint")
_TIMES = ("entered_at", "started_at", "prune_at")


class TicketStatements:
    """Built once for a store, so that SQLAlchemy compiles each of them once.

    Their parameters: `ticket` (a turn id), `of_tenant` and `of_session`, and what a column is called. Only who looks at
    another's ticket asks for its lease: a turn's own writes ask whether it still has its place.
    """

    def __init__(self, turns: sa.Table, tick: sa.ColumnElement[int], lease_us: int) -> None:
        self._turns, self._tick = turns, tick
        t = turns.c
        lease = sa.bindparam("lease_us", lease_us, type_=sa.BigInteger)
        self._until = tick + lease
        longest = tick + sa.bindparam("two_leases_us", 2 * lease_us, type_=sa.BigInteger)
        at = t.place == sa.bindparam("at", type_=sa.BigInteger)
        in_queue = t.place >= HOLDS
        leased = t.lease_until > tick
        self.is_ticket = t.turn_id == parameter("ticket", t.turn_id)
        self.in_session = in_session(turns)
        self.holds = sa.and_(self.is_ticket, t.place == HOLDS)
        self.is_dead = sa.or_(t.place.is_(None), t.lease_until <= tick)
        judged = [t.place, t.owner, t.entered_at, t.fence, leased.label("leased")]
        self.record = sa.select(*(t[name] for name in RECORD), *judged)

        self.enter_free = self._enter_free()
        """Enters a session in whose queue nobody is, and holds it at once."""
        self.enter_queue = self._enter_queue()
        """Enters behind all who wait, if not too many do."""
        self.queue = (
            sa.select(t.turn_id, t.place, t.fence, t.state, t.owner, leased.label("leased"))
            .add_columns((t.lease_until > longest).label("too_long"))
            .where(self.in_session, in_queue)
            .order_by(t.place)
        )
        """Who holds the session and who waits, in their order."""
        self.top_fence = sa.select(sa.func.max(t.fence)).where(self.in_session)
        """The highest fence that a turn of the session has had."""

        # MySQL refuses a subquery on the table that is updated, unless it is worked out beforehand: as a maximum is.
        top = sa.select(sa.func.max(t.fence).label("fence")).where(self.in_session).subquery("top")
        higher = sa.bindparam("higher", type_=sa.BigInteger)
        self.grant = (
            sa.update(turns)
            .where(self.is_ticket, at, leased)
            .where(~sa.exists(sa.select(top.c.fence).where(top.c.fence >= higher)))
            .values(place=HOLDS, fence=higher)
        )
        """Lets in the first who waits, with a fence higher than all before; the unique index refuses a second."""
        self.check = sa.select(t.turn_id).where(self.holds).with_for_update()
        """Whether the turn holds its session; until the transaction's end it stays so."""

        some = t.turn_id.in_(sa.bindparam("tickets", expanding=True, type_=t.turn_id.type))
        self.renew = sa.update(turns).where(some, in_queue).values(lease_until=self._until)
        """Begins the leases anew of those that nobody passed over."""
        self.renewed = sa.select(t.turn_id).where(some, in_queue)
        """Which those are."""
        self.shorten = (
            sa.update(turns).where(self.is_ticket, in_queue, t.lease_until > longest).values(lease_until=longest)
        )
        """Brings down a lease that is longer than any that is given."""

        died = sa.and_(self.is_ticket, at, sa.or_(~leased, t.owner == parameter("dead_owner", t.owner)))
        self.bury_waiting = sa.delete(turns).where(died, t.state == WAITING)
        """Passes over a dead ticket that had not begun: nothing stays of it."""
        self.bury_begun = sa.update(turns).where(died, t.state == RUNNING).values(place=None)
        """Passes over a dead ticket that had begun: its record is in doubt."""
        self.withdraw_waiting = sa.delete(turns).where(self.is_ticket, t.state == WAITING)
        """Takes back a ticket that has not begun."""
        self.withdraw_begun = sa.update(turns).where(self.is_ticket, t.state == RUNNING).values(place=None)
        """Takes back a ticket that has begun."""

        of_key = sa.and_(
            t.tenant == parameter("of_tenant", t.tenant), t.idempotency_key == parameter("key", t.idempotency_key)
        )
        self.by_key = self.record.where(of_key)
        """The turn that an idempotency key belongs to."""
        key = t.idempotency_key == parameter("key", t.idempotency_key)
        self.free_key = sa.update(turns).where(self.is_ticket, key).values(idempotency_key=None)
        """Takes an idempotency key from a turn that it was remembered of for long enough."""

    def _enter_free(self) -> sa.Insert:
        t = self._turns.c
        values = self._values()
        values |= {"place": sa.literal(HOLDS, sa.BigInteger), "fence": parameter("fence", t.fence)}
        mine = sa.and_(t.tenant == values["tenant"], t.session_id == values["session_id"])
        single = sa.select(sa.literal_column("1").label("one")).subquery("single")
        return self._insert(
            values,
            sa.select(*(value.label(name) for name, value in values.items()))
            .select_from(single)
            .where(~sa.exists(sa.select(t.turn_id).where(mine, t.place >= HOLDS)))
            .where(~sa.exists(sa.select(t.turn_id).where(mine, t.fence >= values["fence"]))),
        )

    def _enter_queue(self) -> sa.Insert:
        t, tick = self._turns.c, self._tick
        values = self._values()
        mine = sa.and_(t.tenant == values["tenant"], t.session_id == values["session_id"])
        line = (
            sa.select(sa.func.count().label("length"), sa.func.max(t.place).label("last"))
            .where(mine, t.place > HOLDS)
            .subquery("line")
        )
        # By the clock, so that two who come at once do not want the same place.
        values["place"] = sa.case((line.c.last >= tick, line.c.last + 1), else_=tick)
        return self._insert(
            values,
            sa.select(*(value.label(name) for name, value in values.items()))
            .select_from(line)
            .where(line.c.length < sa.bindparam("queue_limit", type_=sa.Integer)),
        )

    def _values(self) -> dict[str, sa.ColumnElement[Any]]:
        t = self._turns.c
        values: dict[str, sa.ColumnElement[Any]] = {name: parameter(name, t[name]) for name in (*_IDENTITY, *_TIMES)}
        values |= {"state": sa.literal(WAITING, t.state.type), "lease_until": self._until}
        return values | {"created": sa.false(), "recovered": sa.false(), "undelivered": sa.false()}

    def _insert(self, values: dict[str, sa.ColumnElement[Any]], source: sa.Select[Any]) -> sa.Insert:
        return sa.insert(self._turns).from_select(list(values), source, include_defaults=False)
