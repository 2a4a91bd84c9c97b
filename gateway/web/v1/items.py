"""/v1/conversations/SESSION/items: the hosted history. A session never seen has none; the first write makes it."""

from __future__ import annotations

from flask import Blueprint, Response

from gateway.errors import InvalidRequestError, NotFoundError
from gateway.history import items as history
from gateway.lifecycle import items as hosted
from gateway.model import JSON, parse_session_id
from gateway.providers.retry import Patience
from gateway.web import account_ids, wall
from gateway.web.access import own_namespace, owner
from gateway.web.bodies import AddConversationItems
from gateway.web.queries import ConversationItemsQuery, IncludeQuery, LostHeaders
from gateway.web.reference import v1 as routes
from gateway.web.replies import ItemList
from gateway.web.requests import gateway, json_reply
from gateway.web.routes import serve
from gateway.web.v1.conversations import session_of, shown
from gateway.web.v1.names import speak_of

blueprint = Blueprint("items", __name__)


@serve(blueprint, routes.LIST_ITEMS)
def items(session_id: str, query: ConversationItemsQuery) -> Response:
    session = wall.session_now(session_id)
    missing = NotFoundError(f"No item found with id '{(query.after or '')[:200]}'", param="after")
    if session is None:
        if query.after is not None:
            raise missing
        return json_reply(ItemList(object="list", data=[], first_id=None, last_id=None, has_more=False))
    speak_of(session_id, session.conversation_id)
    provider, conversation_id = gateway().provider, session.conversation_id
    try:
        page = provider.list_items(
            conversation_id, limit=query.limit, order=query.order, after=query.after, include=query.include
        )
    except InvalidRequestError as exc:
        raise (missing if exc.param == "after" else exc) from exc
    return _given(page["data"], page)


@serve(blueprint, routes.ADD_ITEMS)
def add(session_id: str, query: IncludeQuery, headers: LostHeaders, body: AddConversationItems) -> Response:
    """At most 20 items; the list of those that were added."""
    parse_session_id(session_id, param="conversation")
    account_ids.check_ids(body.items, "items")
    restart = headers.on_lost == "restart"
    key = wall.writable_key(session_id, restart=restart)
    wall.check_in_session(session_id, wall.ids_in(body.items, "items"), "items")
    patience = Patience(gateway().sessions.wait_seconds)
    names = speak_of(session_id)
    added: JSON = {}

    def fill(conversation_id: str) -> None:
        nonlocal added
        names.learn(conversation_id)
        added = patience.call(lambda: gateway().provider.add_items(conversation_id, body.items, include=query.include))

    hosted.write(gateway().sessions, gateway().provider, key, fill, patience, user_id=owner(), restart=restart)
    return _given(added["data"], added)


def _given(shown_items: list[JSON], answer: JSON) -> Response:
    wall.give(gateway(), own_namespace(), [each["id"] for each in shown_items])
    return json_reply(answer)


@serve(blueprint, routes.READ_ITEM)
def item(session_id: str, item_id: str, query: IncludeQuery) -> Response:
    conversation_id = session_of(session_id).conversation_id
    speak_of(session_id, conversation_id)
    found = wall.found_or(
        wall.item_not_found(item_id),
        lambda: gateway().provider.retrieve_item(
            conversation_id, history.parse_item_id(item_id), include=query.include
        ),
    )
    return _given([found], found)


@serve(blueprint, routes.REMOVE_ITEM)
def remove(session_id: str, item_id: str) -> Response:
    """Removes one, and answers with the conversation."""
    session = session_of(session_id)
    speak_of(session_id, session.conversation_id)
    wall.found_or(
        wall.item_not_found(item_id),
        lambda: hosted.remove(gateway().sessions, gateway().provider, session.key, item_id),
    )
    return json_reply(shown(session))
