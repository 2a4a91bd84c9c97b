"""A session's history under a new conversation, a second session, or a new name. Atomic from outside: at no moment has
the session no conversation, or two."""

from __future__ import annotations

from dataclasses import asdict

from flask import Blueprint, Response

from gateway.erasing.eraser import REQUEST_SECONDS, Receipt
from gateway.errors import SessionExistsError, SessionNotFoundError, UserMismatchError
from gateway.history.copying import Copied, copy_history
from gateway.model import SessionKey
from gateway.providers.retry import Patience
from gateway.sessions.base import Erasure
from gateway.web.access import audited, owner
from gateway.web.bodies import Fork, Rename, Reset
from gateway.web.handlers import serve
from gateway.web.lookup import held, key_of, queue_limit, readable_session_of
from gateway.web.reference import sessions as routes
from gateway.web.requests import gateway
from gateway.web.sessions import eraser, session_reply

blueprint = Blueprint("lifecycle", __name__)


@serve(blueprint, routes.RESET)
def reset(session_id: str, body: Reset) -> Response:
    """A new conversation, empty or with a copy of the history. `old_conversation` says what became of the old one:
    `erased`, `erasing` (the sweeper goes on) or `kept`."""
    copied = Copied()
    with held(session_id) as (turn, session):
        old_id = session.conversation_id

        def fill(made_id: str) -> None:
            nonlocal copied
            if body.keep_history:
                copied = copy_history(gateway().provider, old_id, made_id)

        patience = Patience(gateway().busy_wait_seconds)
        bound = gateway().bind_conversation(turn, patience, fill=fill, erase_old=body.erase_old)
    became = "kept"
    if body.erase_old:
        # The turn is free by now: the next one need not wait for this.
        old = Erasure(*session.key, old_id, requested_at=gateway().sessions.now(), whole=False)
        became = "erased" if isinstance(eraser().erase(old, Patience(REQUEST_SECONDS)), Receipt) else "erasing"
    # What clients edited meanwhile is not in what was bound.
    now = gateway().sessions.get(session.key) or bound
    return session_reply(now, **asdict(copied), old_conversation=became)


@serve(blueprint, routes.FORK)
def fork(session_id: str, body: Fork) -> Response:
    """A second session with a copy of the history, of the data and of the metadata; another user's, if one is named."""
    user_id = owner(body.user_id)
    source = readable_session_of(session_id).key
    target = SessionKey(source.tenant, body.session_id)
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
    audited("session_forked", session_id, made=body.session_id)
    return session_reply(made, 201, **asdict(copied))


@serve(blueprint, routes.RENAME)
def rename(session_id: str, body: Rename) -> Response:
    """Another id, and a user for a session that had none: the anonymous visitor logs in."""
    user_id = owner(body.user_id)
    session = readable_session_of(session_id)
    # A session's user changes here only, and only from none: what was read is still so in the turn.
    if None not in (user_id, session.user_id) and user_id != session.user_id:
        raise UserMismatchError(param="user_id")
    wait_seconds = gateway().busy_wait_seconds
    renamed = gateway().sessions.rename(key_of(session_id), body.session_id, user_id=user_id, wait_seconds=wait_seconds)
    audited("session_renamed", session_id, renamed=body.session_id, user_id=user_id)
    return session_reply(renamed)
