"""Turn records and erasures: rows to values and back, and what becomes of old rows."""

from __future__ import annotations

from typing import Any

import orjson
import sqlalchemy as sa

from gateway.model import JSON, TurnRecord, TurnState
from gateway.sessions.base import KEY_LIFETIME_MS, Erasure
from gateway.sessions.sql.schema import Tables
from gateway.sessions.sql.tickets import RUNNING, WAITING, Tickets, parameter


def encode_json(value: JSON | None) -> str | None:
    """Canonical, so that equal values are equal texts."""
    return None if value is None else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def decode_json(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)


class Records:
    """The statements on turn records that are no matter of the queue, and those on erasures. Built once for a store."""

    def __init__(self, tables: Tables, tickets: Tickets) -> None:
        turns, t = tables.turns, tables.turns.c
        self.columns = [
            *(t.turn_id, t.tenant, t.session_id, t.state, t.workflow, t.idempotency_key, t.fingerprint),
            *(t.conversation_id, t.generation, t.created, t.recovered, t.response_id, t.started_at, t.finished_at),
            *(
                t.usage,
                t.error_code,
                t.undelivered,
                t.place,
                t.owner,
                t.entered_at,
                t.fence,
                tickets.leased.label("leased"),
            ),
        ]
        found = sa.select(*self.columns)
        self.by_ticket = found.where(tickets.is_ticket)
        self.by_key = found.where(
            t.tenant == parameter("of_tenant", t.tenant), t.idempotency_key == parameter("key", t.idempotency_key)
        )
        begun = found.where(tickets.of_session, t.state != WAITING)
        # A turn's place in time is its fence; what never held the session has not begun.
        self.newest = begun.where(t.fence < sa.bindparam("before", type_=sa.BigInteger)).order_by(t.fence.desc())
        self.newest = self.newest.limit(sa.bindparam("most", type_=sa.Integer))
        self.responses = (
            sa.select(t.response_id)
            .where(tickets.of_session, t.conversation_id == parameter("conversation", t.conversation_id))
            .where(t.response_id.is_not(None))
            .order_by(t.fence)
        )

        self.of_response = (
            sa.select(t.session_id, t.conversation_id, t.workflow)
            .where(t.tenant == parameter("of_tenant", t.tenant), t.response_id == parameter("response", t.response_id))
            .limit(1)
        )

        self.write = sa.update(turns).where(tickets.holds).values(_settable(t, WRITTEN))
        self.end = sa.update(turns).where(tickets.holds).values(place=None, **_settable(t, ENDED))
        in_doubt = sa.and_(tickets.is_ticket, t.state == RUNNING, t.place.is_(None))
        self.settle = sa.update(turns).where(in_doubt).values(_settable(t, ENDED))
        self.free_key = (
            sa.update(turns)
            .where(tickets.is_ticket, t.idempotency_key == parameter("key", t.idempotency_key))
            .values(idempotency_key=None)
        )

        mark = sa.bindparam("mark", type_=sa.Boolean)
        self.set_undelivered = (
            sa.update(turns)
            .where(tickets.is_ticket, tickets.of_session, t.place.is_(None), t.undelivered != mark)
            .values(undelivered=mark)
        )

        ended = sa.and_(tickets.of_session, t.place.is_(None))
        self.drop = sa.delete(turns).where(ended)
        self.drop_of_conversation = self.drop.where(t.conversation_id == parameter("conversation", t.conversation_id))
        e = tables.erasures.c
        awaited = sa.select(e.conversation_id).where(
            e.tenant == parameter("of_tenant", e.tenant), e.session_id == parameter("of_session", e.session_id)
        )
        self.drop_unless_awaited = self.drop.where(
            sa.or_(t.conversation_id.is_(None), t.conversation_id.not_in(awaited))
        )
        self.move = sa.update(turns).where(ended).values(session_id=sa.bindparam("to", type_=t.session_id.type))

        this = sa.and_(
            e.tenant == parameter("of_tenant", e.tenant),
            e.session_id == parameter("of_session", e.session_id),
            e.conversation_id == parameter("conversation", e.conversation_id),
        )
        self.add_erasure = sa.insert(tables.erasures)
        self.widen_erasure = (
            sa.update(tables.erasures)
            .where(this)
            .values(whole=sa.or_(e.whole, sa.bindparam("wider", type_=sa.Boolean)))
        )
        self.remove_erasure = sa.delete(tables.erasures).where(this)
        self.erasures = (
            sa.select(e.tenant, e.session_id, e.conversation_id, e.requested_at, e.whole)
            .order_by(e.requested_at)
            .limit(sa.bindparam("most", type_=sa.Integer))
        )
        self.move_erasures = (
            sa.update(tables.erasures)
            .where(e.tenant == parameter("of_tenant", e.tenant), e.session_id == parameter("of_session", e.session_id))
            .values(session_id=sa.bindparam("to", type_=e.session_id.type))
        )


WRITTEN = ("state", "conversation_id", "generation", "created", "recovered", "response_id", "started_at")
"""What an open turn writes of its record."""

ENDED = ("state", "response_id", "finished_at", "usage", "error_code", "undelivered", "idempotency_key")
"""What a turn's end writes."""


def _settable(columns: Any, names: tuple[str, ...]) -> dict[str, sa.ColumnElement[Any]]:
    values: dict[str, sa.ColumnElement[Any]] = {name: parameter(f"new_{name}", columns[name]) for name in names}
    if "idempotency_key" in values:
        # Only ever cleared: a key that was freed meanwhile may be another turn's by now.
        cleared = values["idempotency_key"].is_(None)
        values["idempotency_key"] = sa.case((cleared, sa.null()), else_=columns.idempotency_key)
    return values


def encode_record(record: TurnRecord, names: tuple[str, ...]) -> dict[str, Any]:
    """The parameters that write these fields of the record."""
    values = {f"new_{name}": getattr(record, name) for name in names}
    values["new_state"] = record.state.value
    if "new_usage" in values:
        values["new_usage"] = encode_json(record.usage)
    return {"ticket": record.turn_id, **values}


def decode_record(row: Any, *, live: bool) -> TurnRecord:
    return TurnRecord(
        turn_id=row.turn_id,
        tenant=row.tenant,
        session_id=row.session_id,
        state=TurnState(row.state),
        live=live,
        workflow=row.workflow,
        idempotency_key=row.idempotency_key,
        fingerprint=row.fingerprint,
        conversation_id=row.conversation_id,
        generation=row.generation,
        created=bool(row.created),
        recovered=bool(row.recovered),
        response_id=row.response_id,
        started_at=row.started_at,
        finished_at=row.finished_at,
        usage=decode_json(row.usage),
        error_code=row.error_code,
        undelivered=bool(row.undelivered),
    )


def key_is_old(row: Any, now: int) -> bool:
    return bool(row.entered_at + KEY_LIFETIME_MS <= now)


def encode_erasure(erasure: Erasure) -> dict[str, Any]:
    return {
        "tenant": erasure.tenant,
        "session_id": erasure.session_id,
        "conversation_id": erasure.conversation_id,
        "requested_at": erasure.requested_at,
        "whole": erasure.whole,
    }
