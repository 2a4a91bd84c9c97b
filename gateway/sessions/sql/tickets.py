"""The statements by which tickets enter, pass and leave a session's queue. Each decides and writes at once."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from gateway.model import TurnState

WAITING, RUNNING = TurnState.WAITING.value, TurnState.RUNNING.value

HOLDS = 0
"""The place of the ticket that holds its session."""


def parameter(name: str, column: sa.Column[Any]) -> sa.BindParameter[Any]:
    return sa.bindparam(name, type_=column.type)


class Tickets:
    """Built once for a store, so that SQLAlchemy compiles each of them once.

    Their parameters: `ticket` (a turn id), `of_tenant` and `of_session`, `lease_us`, and what a column is called.
    """

    def __init__(self, turns: sa.Table, tick: sa.ColumnElement[int]) -> None:
        self._tick = tick
        t = self.t = turns.c
        self.leased = t.lease_until > tick
        self.of_session = sa.and_(
            t.tenant == parameter("of_tenant", t.tenant), t.session_id == parameter("of_session", t.session_id)
        )
        self.is_ticket = t.turn_id == parameter("ticket", t.turn_id)
        self.holds = sa.and_(self.is_ticket, t.place == HOLDS, self.leased)
        """The condition of every write of a turn."""
        until = tick + sa.bindparam("lease_us", type_=sa.BigInteger)

        self.enter_free = self._insert(turns, place=sa.literal(HOLDS, sa.BigInteger), until=until)
        self.enter_queue = self._insert(turns, place=None, until=until)
        self.queue = (
            sa.select(t.turn_id, t.place, t.fence, t.state, t.owner, self.leased.label("leased"))
            .where(self.of_session, t.place >= HOLDS)
            .order_by(t.place)
        )
        self.top_fence = sa.select(sa.func.max(t.fence)).where(self.of_session)
        # MySQL refuses a subquery on the table that is updated, unless it is worked out beforehand: as a maximum is.
        top = sa.select(sa.func.max(t.fence).label("fence")).where(self.of_session).subquery("top")
        self.grant = (
            sa.update(turns)
            .where(self.is_ticket, t.place == sa.bindparam("at", type_=sa.BigInteger), self.leased)
            .where(~sa.exists(sa.select(top.c.fence).where(top.c.fence >= sa.bindparam("higher", type_=sa.BigInteger))))
            .values(place=HOLDS, fence=sa.bindparam("higher", type_=sa.BigInteger))
        )
        died = sa.and_(
            self.is_ticket,
            t.place == sa.bindparam("at", type_=sa.BigInteger),
            sa.or_(t.lease_until <= tick, t.owner == parameter("dead_owner", t.owner)),
        )
        self.bury_waiting = sa.delete(turns).where(died, t.state == WAITING)
        self.bury_running = sa.update(turns).where(died, t.state == RUNNING).values(place=None)
        some = t.turn_id.in_(sa.bindparam("tickets", expanding=True, type_=t.turn_id.type))
        self.renew = sa.update(turns).where(some, t.place >= HOLDS, self.leased).values(lease_until=until)
        self.renewed = sa.select(t.turn_id).where(some, t.place >= HOLDS, self.leased)
        self.withdraw_waiting = sa.delete(turns).where(self.is_ticket, t.state == WAITING)
        self.withdraw_running = sa.update(turns).where(self.is_ticket, t.state == RUNNING).values(place=None)
        self.check = sa.select(t.turn_id).where(self.holds).with_for_update()

    def _insert(
        self, turns: sa.Table, *, place: sa.ColumnElement[Any] | None, until: sa.ColumnElement[Any]
    ) -> sa.Insert:
        t = turns.c
        given = ("turn_id", "tenant", "session_id", "owner", "workflow", "idempotency_key", "fingerprint")
        times = ("entered_at", "started_at", "prune_at")
        values: dict[str, sa.ColumnElement[Any]] = {name: parameter(name, t[name]) for name in (*given, *times)}
        values |= {"state": sa.literal(WAITING, t.state.type), "lease_until": until}
        values |= {"created": sa.false(), "recovered": sa.false(), "undelivered": sa.false()}
        queue = sa.and_(t.tenant == values["tenant"], t.session_id == values["session_id"])
        if place is not None:
            # Into a free session: no ticket at all is there, and the fence is higher than any before.
            values |= {"place": place, "fence": parameter("fence", t.fence)}
            single = sa.select(sa.literal_column("1").label("one")).subquery("single")
            source = (
                sa.select(*(value.label(name) for name, value in values.items()))
                .select_from(single)
                .where(~sa.exists(sa.select(t.turn_id).where(queue, t.place >= HOLDS)))
                .where(~sa.exists(sa.select(t.turn_id).where(queue, t.fence >= values["fence"])))
            )
        else:
            # Behind all who wait; by the clock, so that two who come at once do not want the same place.
            line = (
                sa.select(sa.func.count().label("length"), sa.func.max(t.place).label("last"))
                .where(queue, t.place > HOLDS)
                .subquery("line")
            )
            tick = self._tick
            values["place"] = sa.case((line.c.last >= tick, line.c.last + 1), else_=tick)
            source = (
                sa.select(*(value.label(name) for name, value in values.items()))
                .select_from(line)
                .where(line.c.length < sa.bindparam("queue_limit", type_=sa.Integer))
            )
        return sa.insert(turns).from_select(list(values), source, include_defaults=False)
