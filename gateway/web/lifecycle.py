"""POST /sessions/ID/reset, /fork and /rename."""

from __future__ import annotations

from dataclasses import asdict

from flask import Blueprint, Response

from gateway.lifecycle.sessions import fork as fork_session
from gateway.lifecycle.sessions import rename as rename_session
from gateway.lifecycle.sessions import reset as reset_session
from gateway.web.access import audited, owner
from gateway.web.bodies import Fork, Rename, Reset
from gateway.web.lookup import erasing_budget, key_of
from gateway.web.reference import sessions as routes
from gateway.web.requests import application, gateway
from gateway.web.routes import serve
from gateway.web.sessions import session_reply

blueprint = Blueprint("lifecycle", __name__)


@serve(blueprint, routes.RESET)
def reset(session_id: str, body: Reset) -> Response:
    """A new conversation, empty or with a copy of the history. `old_conversation` says what became of the old one:
    `erased`, `erasing` (the sweeper goes on) or `kept`."""
    done = reset_session(
        application().eraser,
        key_of(session_id),
        keep_history=body.keep_history,
        erase_old=body.erase_old,
        budget=erasing_budget(),
    )
    audited("session_reset", session_id, old_conversation=done.old_conversation)
    return session_reply(done.session, **asdict(done.copied), old_conversation=done.old_conversation)


@serve(blueprint, routes.FORK)
def fork(session_id: str, body: Fork) -> Response:
    """A second session with a copy of the history, of the data and of the metadata; another user's, if one is named."""
    user_id = owner(body.user_id)
    made = fork_session(gateway().sessions, gateway().provider, key_of(session_id), body.session_id, user_id=user_id)
    audited("session_forked", session_id, made=body.session_id)
    return session_reply(made.session, 201, **asdict(made.copied))


@serve(blueprint, routes.RENAME)
def rename(session_id: str, body: Rename) -> Response:
    """Another id, and a user for a session that had none: the anonymous visitor logs in."""
    user_id = owner(body.user_id)
    renamed = rename_session(gateway().sessions, key_of(session_id), body.session_id, user_id=user_id)
    audited("session_renamed", session_id, renamed=body.session_id, user_id=user_id)
    return session_reply(renamed)
