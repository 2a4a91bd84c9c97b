"""/sessions/ID/items and /sessions/ID/transcript: the hosted history. Reading takes no turn; every change holds the
session's turn."""

from __future__ import annotations

from itertools import chain, islice

from flask import Blueprint, Response

from gateway.history.transcript import WRITERS, file_name
from gateway.lifecycle import items as hosted
from gateway.providers.base import all_items
from gateway.web.access import owner
from gateway.web.bodies import AddItems
from gateway.web.lookup import erasing_budget, key_of, readable_session_of
from gateway.web.posted_items import parse_items
from gateway.web.queries import ItemsQuery, TranscriptQuery
from gateway.web.reference import history as routes
from gateway.web.replies import ClearedItems, RemovedItem
from gateway.web.requests import gateway, json_reply
from gateway.web.routes import serve

blueprint = Blueprint("history", __name__)


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
    added = hosted.add(gateway().sessions, gateway().provider, key_of(session_id), posted, user_id=owner())
    ends = {"first_id": added[0]["id"], "last_id": added[-1]["id"]}
    return json_reply({"object": "list", "data": added, **ends, "has_more": False})


@serve(blueprint, routes.POP_ITEM)
def pop(session_id: str) -> Response:
    """The newest item, which is no longer in the history."""
    return json_reply(hosted.pop(gateway().sessions, gateway().provider, key_of(session_id)))


@serve(blueprint, routes.CLEAR_ITEMS)
def clear(session_id: str) -> Response:
    """200 when all are gone. 202 when there are too many to remove one by one while somebody waits: then the session
    goes on in a new conversation, without any, and the sweeper erases the old one."""
    count, all_gone = hosted.clear(gateway().sessions, gateway().provider, key_of(session_id), erasing_budget())
    cleared = ClearedItems(session_id=session_id, items_deleted=count)
    return json_reply(cleared, 200 if all_gone else 202)


@serve(blueprint, routes.REMOVE_ITEM)
def remove(session_id: str, item_id: str) -> Response:
    hosted.remove(gateway().sessions, gateway().provider, key_of(session_id), item_id)
    return json_reply(RemovedItem(session_id=session_id, item_id=item_id, deleted=True))


@serve(blueprint, routes.TRANSCRIPT)
def transcript(session_id: str, query: TranscriptQuery) -> Response:
    """Written out as it is read, a page of items in memory. When the provider fails on the way the connection breaks
    off: a transcript that ends is whole."""
    write, media_type, ending = WRITERS[query.format]
    session = readable_session_of(session_id)
    items = all_items(gateway().provider, session.conversation_id)
    # The first page comes before the 200 is promised.
    first = list(islice(items, 1))
    reply = Response(write(session, chain(first, items)), content_type=media_type)
    reply.headers["Content-Disposition"] = f'attachment; filename="{file_name(session, ending)}"'
    return reply
