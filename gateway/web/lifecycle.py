"""A session's history under a new conversation, a second session, or a new name. Atomic from outside: at no moment has
the session no conversation, or two."""

from __future__ import annotations

from dataclasses import asdict

from flask import Blueprint, Response

from gateway.errors import InvalidRequestError, SessionExistsError, SessionNotFoundError, UserMismatchError
from gateway.history.copying import Copied, copy_history
from gateway.lifecycle.erasures import REQUEST_SECONDS, Receipt
from gateway.model import JSON, SessionKey, new_session_id, parse_session_id
from gateway.providers.retry import Patience
from gateway.sessions.base import Erasure
from gateway.web import fields, query
from gateway.web.access import audited, owner
from gateway.web.api import bodies
from gateway.web.lookup import held, key_of, queue_limit, readable_session_of
from gateway.web.requests import gateway, parse_body
from gateway.web.sessions import eraser, session_reply

blueprint = Blueprint("moving", __name__, url_prefix="/sessions/<session_id>")


@blueprint.post("/reset")
def reset(session_id: str) -> Response:
    """A new conversation, empty or with a copy of the history. `old_conversation` says what became of the old one:
    `erased`, `erasing` (the sweeper goes on) or `kept`."""
    query.parse_query()
    body = parse_body(required=False)
    fields.only(body, bodies.Reset)
    keep_history = fields.flag(body, "keep_history", False)
    erase_old = fields.flag(body, "erase_old", True)
    copied = Copied()
    with held(session_id) as (turn, session):
        old_id = session.conversation_id

        def fill(made_id: str) -> None:
            nonlocal copied
            if keep_history:
                copied = copy_history(gateway().provider, old_id, made_id)

        patience = Patience(gateway().busy_wait_seconds)
        bound = gateway().bind_conversation(turn, patience, fill=fill, erase_old=erase_old)
    became = "kept"
    if erase_old:
        # The turn is free by now: the next one need not wait for this.
        old = Erasure(*session.key, old_id, requested_at=gateway().sessions.now(), whole=False)
        became = "erased" if isinstance(eraser().erase(old, Patience(REQUEST_SECONDS)), Receipt) else "erasing"
    # What clients edited meanwhile is not in what was bound.
    now = gateway().sessions.get(session.key) or bound
    return session_reply(now, **asdict(copied), old_conversation=became)


@blueprint.post("/fork")
def fork(session_id: str) -> Response:
    """A second session with a copy of the history, of the data and of the metadata; another user's, if one is named."""
    query.parse_query()
    body = parse_body(required=False)
    fields.only(body, bodies.Fork)
    target_id = parse_session_id(body["session_id"]) if "session_id" in body else new_session_id()
    user_id = owner(fields.optional_text(body, "user_id"))
    source = readable_session_of(session_id).key
    target = SessionKey(source.tenant, target_id)
    if target == source:
        raise SessionExistsError(param="session_id")
    copied = Copied()
    patience = Patience(gateway().busy_wait_seconds)
    sessions = gateway().sessions
    # Both are held, always in the same order: two forks that cross do not wait for each other for ever.
    first, second = sorted((source, target))
    with (
        sessions.turn(first, wait_seconds=patience.left_seconds, queue_limit=queue_limit()) as one,
        sessions.turn(second, wait_seconds=patience.left_seconds, queue_limit=queue_limit()) as other,
    ):
        origin, copy = (one, other) if first == source else (other, one)
        session = origin.session
        if session is None:
            raise SessionNotFoundError()
        if copy.session is not None:
            raise SessionExistsError(param="session_id")

        def fill(made_id: str) -> None:
            nonlocal copied
            copied = copy_history(gateway().provider, session.conversation_id, made_id)

        made = gateway().bind_conversation(
            copy,
            patience,
            user_id=user_id or session.user_id,
            data=session.data,
            metadata=session.metadata,
            fill=fill,
        )
    audited("session_forked", session_id, made=target_id)
    return session_reply(made, 201, **asdict(copied))


@blueprint.post("/rename")
def rename(session_id: str) -> Response:
    """Another id, and a user for a session that had none: the anonymous visitor logs in."""
    query.parse_query()
    body: JSON = parse_body()
    fields.only(body, bodies.Rename)
    if "session_id" not in body:
        raise InvalidRequestError("session_id is needed: the session's new id.", param="session_id")
    new_id = parse_session_id(body["session_id"])
    user_id = owner(fields.optional_text(body, "user_id"))
    session = readable_session_of(session_id)
    # A session's user changes here only, and only from none: what was read is still so in the turn.
    if None not in (user_id, session.user_id) and user_id != session.user_id:
        raise UserMismatchError(param="user_id")
    wait_seconds = gateway().busy_wait_seconds
    renamed = gateway().sessions.rename(key_of(session_id), new_id, user_id=user_id, wait_seconds=wait_seconds)
    audited("session_renamed", session_id, renamed=new_id, user_id=user_id)
    return session_reply(renamed)
