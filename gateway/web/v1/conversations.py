"""/v1/conversations: the caller's sessions as OpenAI's clients know conversations, by their session ids."""

from __future__ import annotations

from flask import Blueprint, Response

from gateway.errors import NotFoundError, SessionExistsError
from gateway.lifecycle.erasures import Receipt
from gateway.lifecycle.holding import existing, readable
from gateway.lifecycle.sessions import make
from gateway.model import Session, SessionKey, new_session_id, parse_session_id
from gateway.web import account_ids, wall
from gateway.web.access import audited, own_namespace, owner
from gateway.web.bodies import CreateConversation, EditConversation
from gateway.web.lookup import erasing_budget, key_of
from gateway.web.openai_objects import Conversation, ConversationList, DeletedConversation
from gateway.web.queries import ConversationsQuery
from gateway.web.reference import v1 as routes
from gateway.web.requests import application, gateway, json_reply
from gateway.web.routes import serve

blueprint = Blueprint("conversations", __name__)


@serve(blueprint, routes.CREATE_CONVERSATION)
def create(body: CreateConversation) -> Response:
    """A new session with these items, or the one that `metadata.session_id` names: what is there already is given as
    it is."""
    metadata = body.metadata or {}
    items = body.items or []
    account_ids.check_ids(items, "items")
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


@serve(blueprint, routes.LIST_CONVERSATIONS)
def directory(query: ConversationsQuery) -> Response:
    """The caller's sessions, newest first; `after` is the last id of the page before."""
    last = None
    if query.after is not None:
        last = gateway().sessions.get(SessionKey(own_namespace(), query.after))
        if last is None:
            raise NotFoundError(f"No conversation found with id '{query.after}'", param="after")
    found = gateway().sessions.made(own_namespace(), limit=query.limit + 1, before=last)
    page, more = found[: query.limit], len(found) > query.limit
    return json_reply(
        ConversationList(
            object="list",
            data=[shown(session) for session in page],
            first_id=page[0].session_id if page else None,
            last_id=page[-1].session_id if page else None,
            has_more=more,
        )
    )


@serve(blueprint, routes.READ_CONVERSATION)
def read(session_id: str) -> Response:
    session = session_of(session_id)
    session.opened()
    return json_reply(shown(session))


@serve(blueprint, routes.EDIT_CONVERSATION)
def edit(session_id: str, body: EditConversation) -> Response:
    return json_reply(shown(gateway().sessions.update(session_of(session_id).key, metadata=body.metadata or {})))


@serve(blueprint, routes.ERASE_CONVERSATION)
def erase(session_id: str) -> Response:
    """Erases the session: its items, its conversation, the stored responses of its turns. 202 when the provider failed
    or there is more than one attempt removes: then it takes no turns any more, and the sweeper finishes the job."""
    key = existing(gateway().sessions, key_of(session_id, param="conversation")).key
    outcome = application().eraser.erase_session(key, budget=erasing_budget())
    done = isinstance(outcome, Receipt)
    audited("session_erased", session_id, outcome="done" if done else "begun")
    deleted = DeletedConversation(id=session_id, object="conversation.deleted", deleted=done)
    return json_reply(deleted, 200 if done else 202)


def session_of(session_id: str) -> Session:
    return readable(gateway().sessions, key_of(session_id, param="conversation"))


def shown(session: Session) -> Conversation:
    return Conversation(
        id=session.session_id,
        object="conversation",
        created_at=session.created_at // 1000,
        metadata=session.metadata,
    )
