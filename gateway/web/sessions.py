"""/sessions: the directory, and each session's own record from birth to erasure."""

from __future__ import annotations

from typing import cast

from flask import Blueprint, Response, current_app, request

from gateway.errors import InvalidRequestError, TurnBusyError, VersionMismatchError
from gateway.lifecycle.bulk import UserErasure, erase_user
from gateway.lifecycle.erasures import Eraser, Receipt
from gateway.lifecycle.sessions import forget
from gateway.lifecycle.sessions import make as make_session
from gateway.model import JSON, Session, SessionKey, Status, new_session_id, parse_session_id
from gateway.providers.retry import Patience
from gateway.sessions import Filter
from gateway.web import fields, query
from gateway.web.access import audited, own_namespace, owner
from gateway.web.api import bodies
from gateway.web.listing import list_of, namespaces_of
from gateway.web.lookup import erasing_budget, key_of, session_of
from gateway.web.requests import gateway, json_reply, parse_body

blueprint = Blueprint("sessions", __name__, url_prefix="/sessions")

_STATUSES = (Status.ACTIVE.value, Status.COMPLETED.value, Status.ABANDONED.value)


def eraser() -> Eraser:
    return cast(Eraser, current_app.eraser)  # type: ignore[attr-defined]


def session_reply(session: Session, status: int = 200, **more: object) -> Response:
    """The session with its ETag."""
    reply = json_reply({**session.as_dict(), **more}, status)
    reply.set_etag(session.version)
    return reply


@blueprint.post("")
def make() -> Response:
    """Makes a session up front, or gives the one that is there; what is there already keeps its data."""
    query.parse_query()
    body = parse_body(required=False)
    fields.only(body, bodies.MakeSession)
    session_id = parse_session_id(body["session_id"]) if "session_id" in body else new_session_id()
    key = SessionKey(own_namespace(), session_id)
    user_id = owner(fields.optional_text(body, "user_id"))
    data, metadata = fields.optional_object(body, "data"), fields.optional_metadata(body)
    made = make_session(gateway().sessions, gateway().provider, key, user_id=user_id, data=data, metadata=metadata)
    return session_reply(made.session, 201 if made.created else 200)


@blueprint.get("")
def directory() -> Response:
    """Sessions, newest use first. A user's newest active one is `?user_id=U&status=active&limit=1`."""
    asked = query.parse_query(("limit", "after", "user_id", "status", "prefix", "used_before"))
    prefix = asked.get("prefix", "")
    if len(prefix) > 200:
        raise InvalidRequestError("prefix must be the beginning of a session id.", param="prefix")
    wanted = Filter(
        user_id=fields.optional_text(asked, "user_id"),
        status=query.optional_status(asked),
        prefix=prefix,
        used_before=query.optional_time(asked, "used_before"),
    )
    page = list_of(wanted, limit=query.limit(asked), after=query.optional_cursor(asked))
    return json_reply(
        {
            "object": "list",
            "data": [session.as_dict() for session in page.sessions],
            "has_more": page.next is not None,
            "next": page.next,
        }
    )


@blueprint.get("/<session_id>")
def read(session_id: str) -> Response:
    query.parse_query()
    return session_reply(session_of(session_id))


@blueprint.patch("/<session_id>")
def edit(session_id: str) -> Response:
    """Changes what a client may edit; needs no turn, and no concurrent edit is lost."""
    query.parse_query()
    key = key_of(session_id)
    body = parse_body()
    fields.only(body, bodies.EditSession)
    for name, value in body.items():
        if value is None:
            raise InvalidRequestError(f"{name} cannot be null.", param=name)
    data, metadata = fields.optional_object(body, "data"), fields.optional_metadata(body)
    status = Status(fields.choice(body, "status", _STATUSES)) if "status" in body else None
    expected = None
    if "If-Match" in request.headers:
        session = session_of(session_id)
        check_version(session)
        expected = session.version
    edited = gateway().sessions.update(key, data=data, metadata=metadata, status=status, expected_version=expected)
    return session_reply(edited)


def check_version(session: Session) -> None:
    """`VersionMismatchError` when the request is only for another version of the session."""
    if "If-Match" in request.headers and not request.if_match.contains(session.version):
        raise VersionMismatchError()


@blueprint.delete("/<session_id>")
def erase(session_id: str) -> Response:
    """200 with a receipt, or 202 when the provider failed or there is more than one attempt removes: then the session
    is `erasing`, takes no turns, and the sweeper finishes it. Another DELETE tries again at once."""
    asked = query.parse_query(("keep_conversation",))
    if query.flag(asked, "keep_conversation"):
        session = forget(gateway().sessions, key_of(session_id), check=check_version)
        audited("session_forgotten", session_id)
        now = gateway().sessions.now()
        return json_reply(Receipt(session.session_id, session.conversation_id, 0, False, 0, now).as_dict())
    outcome = eraser().erase_session(session_of(session_id).key, check=check_version, budget=erasing_budget())
    done = isinstance(outcome, Receipt)
    audited("session_erased", session_id, outcome="done" if done else "begun")
    return json_reply(outcome.as_dict(), 200 if done else 202)


@blueprint.delete("")
def erase_of_user() -> Response:
    """Erases every session of a user: 200 with the receipts, or 202 when some are still `erasing`. 409 when turns kept
    some in use: those are as they were, the others are erased or erasing, and the same request may be sent again."""
    asked = query.parse_query(("user_id",))
    user_id = fields.optional_text(asked, "user_id")
    if user_id is None:
        raise InvalidRequestError("user_id is needed: there is no way to erase every session at once.", param="user_id")
    patience, budget = Patience(gateway().sessions.wait_seconds), erasing_budget()
    found = UserErasure()
    for namespace in namespaces_of(user_id):
        found += erase_user(eraser(), namespace, user_id, patience=patience, budget=budget)
    audited("user_erased", None, user_id=user_id, erased=len(found.receipts), erasing=found.erasing, busy=found.busy)
    counts: JSON = {"erased": len(found.receipts), "erasing": found.erasing}
    if found.busy:
        raise TurnBusyError(
            f"{found.busy} sessions of this user are in use, and were not erased.",
            retry_after=1,
            details={**counts, "busy": found.busy},
        )
    receipts = [receipt.as_dict() for receipt in found.receipts]
    return json_reply({"object": "list", "data": receipts, **counts}, 202 if found.erasing else 200)
