"""/sessions/ID/turns: what was asked of a session, and how each turn ended; and the way out of a dangling call."""

from __future__ import annotations

from flask import Blueprint, Response

from gateway.errors import GatewayError, NotFoundError, TurnLostError
from gateway.model import ANSWERED, JSON, TurnRecord
from gateway.turn.recovery import Settled
from gateway.web.lookup import readable_session_of
from gateway.web.queries import TurnsQuery
from gateway.web.reference import turns as routes
from gateway.web.requests import gateway, json_reply
from gateway.web.routes import serve

blueprint = Blueprint("turns", __name__)

MOST_LOOKED_UP = 5
"""Of how many turns one page looks up what became of them: each is a question to the provider."""


@serve(blueprint, routes.LIST_TURNS)
def turns(session_id: str, query: TurnsQuery) -> Response:
    """The recorded turns, newest first, never their texts. Of the newest that a crash cut off it is looked up what
    became of them; reading takes no turn of the session's."""
    key = readable_session_of(session_id).key
    found = gateway().sessions.turns(key, limit=query.limit + 1, after=query.after)
    page, more = found[: query.limit], len(found) > query.limit
    in_doubt = [record.turn_id for record in page if record.in_doubt][:MOST_LOOKED_UP]
    return json_reply(
        {
            "object": "list",
            "data": [(_glance(record).record if record.turn_id in in_doubt else record).as_dict() for record in page],
            "has_more": more,
            "next": page[-1].turn_id if more else None,
        }
    )


@serve(blueprint, routes.READ_TURN)
def turn(session_id: str, turn_id: str) -> Response:
    """The turn's record and, when it left one, its reply, fetched from the provider."""
    record = gateway().sessions.turn_record(readable_session_of(session_id).key, turn_id)
    if record is None:
        raise NotFoundError("There is no such turn in this session.")
    found = _glance(record)
    shown: JSON = found.record.as_dict() | {"session_id": found.record.session_id}
    if found.record.state in ANSWERED:
        try:
            shown |= gateway().settler.fetch_reply(found)[0].as_dict()
        except TurnLostError:
            shown["output_text"] = None
    return json_reply(shown)


@serve(blueprint, routes.CANCEL_PENDING_CALLS)
def cancel_pending_calls(session_id: str) -> Response:
    calls = gateway().cancel_pending_calls(readable_session_of(session_id).key)
    return json_reply({"session_id": session_id, "cancelled": calls})


def _glance(record: TurnRecord) -> Settled:
    """What became of a turn, where that can be told now."""
    try:
        return gateway().settler.glance(record)
    except GatewayError:
        return Settled(record)
