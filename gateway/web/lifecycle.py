"""POST /sessions/ID/reset, /fork and /rename."""

from __future__ import annotations

from dataclasses import asdict

from flask import Blueprint, Response

from gateway.errors import InvalidRequestError
from gateway.lifecycle.sessions import fork as fork_session
from gateway.lifecycle.sessions import rename as rename_session
from gateway.lifecycle.sessions import reset as reset_session
from gateway.model import JSON, new_session_id, parse_session_id
from gateway.web import fields, query
from gateway.web.access import audited, owner
from gateway.web.api import bodies
from gateway.web.lookup import erasing_budget, key_of
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
    done = reset_session(
        eraser(), key_of(session_id), keep_history=keep_history, erase_old=erase_old, budget=erasing_budget()
    )
    return session_reply(done.session, **asdict(done.copied), old_conversation=done.old_conversation)


@blueprint.post("/fork")
def fork(session_id: str) -> Response:
    """A second session with a copy of the history, of the data and of the metadata; another user's, if one is named."""
    query.parse_query()
    body = parse_body(required=False)
    fields.only(body, bodies.Fork)
    target_id = parse_session_id(body["session_id"]) if "session_id" in body else new_session_id()
    user_id = owner(fields.optional_text(body, "user_id"))
    made = fork_session(gateway().sessions, gateway().provider, key_of(session_id), target_id, user_id=user_id)
    audited("session_forked", session_id, made=target_id)
    return session_reply(made.session, 201, **asdict(made.copied))


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
    renamed = rename_session(gateway().sessions, key_of(session_id), new_id, user_id=user_id)
    audited("session_renamed", session_id, renamed=new_id, user_id=user_id)
    return session_reply(renamed)
