"""/v1/conversations: the caller's sessions as OpenAI's clients know conversations, by their session ids."""

from __future__ import annotations

from flask import Blueprint, Response

from gateway.errors import InvalidRequestError, NotFoundError, SessionExistsError, SessionNotFoundError
from gateway.lifecycle.erasures import Receipt
from gateway.lifecycle.sessions import make
from gateway.model import JSON, Session, SessionKey, new_session_id, parse_session_id
from gateway.web import fields, query, wall
from gateway.web.access import audited, own_namespace, owner
from gateway.web.api import bodies
from gateway.web.lookup import erasing_budget
from gateway.web.requests import gateway, json_reply, parse_body
from gateway.web.sessions import eraser
from gateway.web.v1.asked import parse_query

blueprint = Blueprint("conversations", __name__, url_prefix="/conversations")


@blueprint.post("")
def create() -> Response:
    """A new session with these items, or the one that `metadata.session_id` names: what is there already is given as
    it is."""
    parse_query()
    body = parse_body(required=False)
    fields.only(body, bodies.CreateConversation)
    metadata = fields.optional_metadata(body) or {}
    items = wall.posted_items(body.get("items") or [], "items")
    named = metadata.get("session_id")
    session_id = new_session_id() if named is None else parse_session_id(named, param="metadata.session_id")
    for item_id in wall.ids_in(items, "items"):
        # No item can be in a conversation that is only about to be made.
        raise wall.item_not_found(item_id, "items")
    key = SessionKey(own_namespace(), session_id)
    try:
        made = make(gateway().sessions, gateway().provider, key, user_id=owner(), metadata=metadata, items=items)
    except SessionExistsError as exc:
        raise SessionExistsError("There is a conversation of that name already.", param="metadata.session_id") from exc
    return json_reply(shown(made.session))


@blueprint.get("")
def directory() -> Response:
    """The caller's sessions, newest first; `after` is the last id of the page before."""
    asked, _ = parse_query(("limit", "after"))
    most, after = query.limit(asked), query.optional_cursor(asked)
    last = None
    if after is not None:
        last = gateway().sessions.get(SessionKey(own_namespace(), parse_session_id(after, param="after")))
        if last is None:
            raise NotFoundError(f"No conversation found with id '{after}'", param="after")
    found = gateway().sessions.made(own_namespace(), limit=most + 1, before=last)
    page, more = found[:most], len(found) > most
    return json_reply(envelope([shown(session) for session in page], has_more=more))


@blueprint.get("/<session_id>")
def read(session_id: str) -> Response:
    parse_query()
    return json_reply(shown(session_of(session_id)))


@blueprint.post("/<session_id>")
def edit(session_id: str) -> Response:
    parse_query()
    body = parse_body()
    fields.only(body, bodies.EditConversation)
    if "metadata" not in body:
        raise InvalidRequestError("metadata is needed.", param="metadata")
    metadata = fields.optional_metadata(body) or {}
    return json_reply(shown(gateway().sessions.update(session_of(session_id).key, metadata=metadata)))


@blueprint.delete("/<session_id>")
def erase(session_id: str) -> Response:
    """Erases the session: its items, its conversation, the stored responses of its turns. 202 when the provider failed
    or there is more than one attempt removes: then it takes no turns any more, and the sweeper finishes the job."""
    parse_query()
    key = SessionKey(own_namespace(), parse_session_id(session_id, param="conversation"))
    if gateway().sessions.get(key) is None:
        raise SessionNotFoundError()
    outcome = eraser().erase_session(key, budget=erasing_budget())
    done = isinstance(outcome, Receipt)
    audited("session_erased", session_id, outcome="done" if done else "begun")
    deleted = {"id": session_id, "object": "conversation.deleted", "deleted": done}
    return json_reply(deleted, 200 if done else 202)


def session_of(session_id: str) -> Session:
    session = wall.session_now(session_id)
    if session is None:
        raise SessionNotFoundError()
    return session


def envelope(data: list[JSON], *, has_more: bool) -> JSON:
    ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
    return {"object": "list", "data": data, **ends, "has_more": has_more}


def shown(session: Session) -> JSON:
    return {
        "id": session.session_id,
        "object": "conversation",
        "created_at": session.created_at // 1000,
        "metadata": session.metadata,
    }
