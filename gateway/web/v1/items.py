"""/v1/conversations/SESSION/items: the hosted history. A session never seen has none; the first write makes it."""

from __future__ import annotations

from flask import Blueprint, Response

from gateway.errors import (
    InvalidRequestError,
    NotFoundError,
)
from gateway.history import items as history
from gateway.lifecycle import items as hosted
from gateway.model import JSON, parse_session_id
from gateway.providers.retry import Patience
from gateway.web import fields, query, wall
from gateway.web.access import own_namespace, owner
from gateway.web.api import bodies
from gateway.web.requests import gateway, json_reply, parse_body
from gateway.web.v1.asked import header_choice, parse_query
from gateway.web.v1.conversations import envelope, session_of, shown
from gateway.web.v1.naming import speak_of

blueprint = Blueprint("items", __name__, url_prefix="/conversations/<session_id>/items")


@blueprint.get("")
def items(session_id: str) -> Response:
    asked, include = parse_query(("limit", "order", "after", "include"))
    limit, order = query.limit(asked), fields.choice(asked, "order", ("desc", "asc"))
    after = query.optional_cursor(asked)
    session = wall.session_now(session_id)
    missing = NotFoundError(f"No item found with id '{(after or '')[:200]}'", param="after")
    if session is None:
        if after is not None:
            raise missing
        return json_reply(envelope([], has_more=False))
    speak_of(session_id, session.conversation_id)
    provider, conversation_id = gateway().provider, session.conversation_id
    try:
        page = provider.list_items(conversation_id, limit=limit, order=order, after=after, include=include)
    except InvalidRequestError as exc:
        raise (missing if exc.param == "after" else exc) from exc
    return _given(page["data"], page)


@blueprint.post("")
def add(session_id: str) -> Response:
    """At most 20 items; the list of those that were added."""
    _, include = parse_query(("include",))
    parse_session_id(session_id, param="conversation")
    body = parse_body()
    fields.only(body, bodies.AddConversationItems)
    posted = wall.posted_items(body.get("items"), "items")
    restart = header_choice("X-On-Lost", ("error", "restart")) == "restart"
    key = wall.writable_key(session_id, restart=restart)
    wall.check_in_session(session_id, wall.ids_in(posted, "items"), "items")
    patience = Patience(gateway().sessions.wait_seconds)
    names = speak_of(session_id)
    added: JSON = {}

    def fill(conversation_id: str) -> None:
        nonlocal added
        names.learn(conversation_id)
        added = patience.call(lambda: gateway().provider.add_items(conversation_id, posted, include=include))

    hosted.write(gateway().sessions, gateway().provider, key, fill, patience, user_id=owner(), restart=restart)
    return _given(added["data"], added)


def _given(shown_items: list[JSON], answer: JSON) -> Response:
    wall.give(gateway(), own_namespace(), [each["id"] for each in shown_items])
    return json_reply(answer)


@blueprint.get("/<item_id>")
def item(session_id: str, item_id: str) -> Response:
    _, include = parse_query(("include",))
    conversation_id = session_of(session_id).conversation_id
    speak_of(session_id, conversation_id)
    found = wall.found_or(
        wall.item_not_found(item_id),
        lambda: gateway().provider.retrieve_item(conversation_id, history.parse_item_id(item_id), include=include),
    )
    return _given([found], found)


@blueprint.delete("/<item_id>")
def remove(session_id: str, item_id: str) -> Response:
    """Removes one, and answers with the conversation."""
    parse_query()
    session = session_of(session_id)
    speak_of(session_id, session.conversation_id)
    wall.found_or(
        wall.item_not_found(item_id),
        lambda: hosted.remove(gateway().sessions, gateway().provider, session.key, item_id),
    )
    return json_reply(shown(session))
