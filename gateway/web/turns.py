"""/sessions/ID/turns: what was asked of a session, and how each turn ended; and the way out of a dangling call."""

from __future__ import annotations

from contextlib import suppress

from flask import Blueprint, Response

from gateway.errors import GatewayError, NotFoundError, TurnBusyError, TurnLostError
from gateway.model import ANSWERED, JSON, SessionKey, TurnRecord, TurnState
from gateway.settle import Settled
from gateway.web import fields, query
from gateway.web.api import bodies
from gateway.web.held import readable_session_of
from gateway.web.requests import gateway, json_reply, parse_body

blueprint = Blueprint("turns", __name__, url_prefix="/sessions/<session_id>")


@blueprint.get("/turns")
def turns(session_id: str) -> Response:
    """The recorded turns, newest first, never their texts."""
    asked = query.parse_query(("limit", "after"))
    most, after = query.limit(asked), query.optional_cursor(asked)
    key = readable_session_of(session_id).key
    found = gateway().sessions.turns(key, limit=most + 1, after=after)
    page, more = found[:most], len(found) > most
    return json_reply(
        {
            "object": "list",
            "data": [_shown(_settled(key, record)) for record in page],
            "has_more": more,
            "next": page[-1].turn_id if more else None,
        }
    )


@blueprint.get("/turns/<turn_id>")
def turn(session_id: str, turn_id: str) -> Response:
    """The turn's record and, when it left one, its reply, fetched from the provider."""
    query.parse_query()
    key = readable_session_of(session_id).key
    found: Settled | None
    try:
        found = gateway().settler.settled(key, turn_id)
    except TurnBusyError:
        # The session is in use: what is known is said, the rest is settled later.
        record = gateway().sessions.turn_record(key, turn_id)
        found = Settled(record) if record else None
    if found is None:
        raise NotFoundError("There is no such turn in this session.")
    shown = _shown(found.record) | {"session_id": found.record.session_id}
    if found.record.state in ANSWERED:
        try:
            shown |= gateway().settler.fetch_reply(found)[0].as_dict()
        except TurnLostError:
            shown["output_text"] = None
    return json_reply(shown)


@blueprint.post("/pending_calls/cancel")
def cancel_pending_calls(session_id: str) -> Response:
    query.parse_query()
    fields.only(parse_body(required=False), bodies.Nothing)
    calls = gateway().cancel_pending_calls(readable_session_of(session_id).key)
    return json_reply({"session_id": session_id, "cancelled": calls})


def _settled(key: SessionKey, record: TurnRecord) -> TurnRecord:
    """What became of a turn that a crash cut off, where that can be told now."""
    if record.in_doubt:
        with suppress(GatewayError):
            if found := gateway().settler.settled(key, record.turn_id):
                return found.record
    return record


def _shown(record: TurnRecord) -> JSON:
    return record.as_dict() | ({"state": TurnState.LOST.value} if record.in_doubt else {})
