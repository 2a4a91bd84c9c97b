"""/sessions/ID/items: the hosted history. Reading takes no turn; every change holds the session's turn."""

from __future__ import annotations

from flask import Blueprint, Response

from gateway.erasing.eraser import REQUEST_SECONDS
from gateway.errors import GatewayError
from gateway.history import items as history
from gateway.model import JSON
from gateway.providers.retry import Patience
from gateway.web.access import owner
from gateway.web.bodies import AddItems
from gateway.web.handlers import serve
from gateway.web.lookup import held, key_of, queue_limit, readable_session_of
from gateway.web.posted_items import parse_items
from gateway.web.queries import ItemsQuery
from gateway.web.reference import history as routes
from gateway.web.requests import gateway, json_reply

blueprint = Blueprint("items", __name__)


@serve(blueprint, routes.LIST_ITEMS)
def items(session_id: str, query: ItemsQuery) -> Response:
    conversation_id = readable_session_of(session_id).conversation_id
    page = gateway().provider.list_items(conversation_id, limit=query.limit, order=query.order, after=query.after)
    return json_reply(page)


@serve(blueprint, routes.ADD_ITEMS)
def add(session_id: str, body: AddItems) -> Response:
    """Any number of items; the list of those that were added. The first make the session, as a turn does. An error says
    how many were added: `items_added`."""
    posted = parse_items(body.items, "items", session_id)
    added: list[JSON] = []

    def fill(conversation_id: str) -> None:
        nonlocal added
        added = history.add_items(gateway().provider, conversation_id, posted)

    patience = Patience(gateway().busy_wait_seconds)
    key = key_of(session_id)
    with gateway().sessions.turn(key, wait_seconds=patience.left_seconds, queue_limit=queue_limit()) as turn:
        if turn.session is None:
            try:
                gateway().bind_conversation(turn, patience, user_id=owner(), fill=fill)
            except GatewayError as exc:
                # What was added went with the conversation.
                exc.details.pop("items_added", None)
                raise
        else:
            fill(turn.session.conversation_id)
    ends = {"first_id": added[0]["id"], "last_id": added[-1]["id"]}
    return json_reply({"object": "list", "data": added, **ends, "has_more": False})


@serve(blueprint, routes.POP_ITEM)
def pop(session_id: str) -> Response:
    """The newest item, which is no longer in the history."""
    with held(session_id) as (_, session):
        return json_reply(history.pop_item(gateway().provider, session.conversation_id))


@serve(blueprint, routes.CLEAR_ITEMS)
def clear(session_id: str) -> Response:
    """200 when all are gone. 202 when there are too many to remove one by one while somebody waits: then the session
    goes on in a new conversation, without any, and the sweeper erases the old one."""
    with held(session_id) as (turn, session):
        budget = Patience(REQUEST_SECONDS)
        count, all_gone = history.clear_items(gateway().provider, session.conversation_id, budget)
        if not all_gone:
            gateway().bind_conversation(turn, Patience(gateway().busy_wait_seconds), erase_old=True)
    cleared = {"session_id": session.session_id, "items_deleted": count}
    return json_reply(cleared, 200 if all_gone else 202)


@serve(blueprint, routes.REMOVE_ITEM)
def remove(session_id: str, item_id: str) -> Response:
    with held(session_id) as (_, session):
        history.remove_item(gateway().provider, session.conversation_id, history.parse_item_id(item_id))
    return json_reply({"session_id": session.session_id, "item_id": item_id, "deleted": True})
