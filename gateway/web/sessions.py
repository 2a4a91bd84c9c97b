"""/sessions: the directory, and each session's own record from birth to erasure."""

from __future__ import annotations

from flask import Blueprint, Response
from msgspec import UNSET

from gateway.errors import TurnBusyError
from gateway.lifecycle.bulk import UserErasure, erase_user
from gateway.lifecycle.erasures import Receipt
from gateway.lifecycle.sessions import forget
from gateway.lifecycle.sessions import make as make_session
from gateway.model import JSON, Session, SessionKey, Status
from gateway.providers.retry import Patience
from gateway.sessions import Filter
from gateway.web.access import audited, own_namespace, owner
from gateway.web.bodies import EditSession, MakeSession
from gateway.web.fields import given
from gateway.web.lookup import erasing_budget, key_of, list_of, namespaces_of, session_of
from gateway.web.queries import EraseQuery, SessionsQuery, UserQuery, VersionHeaders
from gateway.web.reference import sessions as routes
from gateway.web.requests import application, gateway, json_reply
from gateway.web.routes import serve

blueprint = Blueprint("sessions", __name__)


def session_reply(session: Session, status: int = 200, **more: object) -> Response:
    """The session with its ETag."""
    reply = json_reply({**session.as_dict(), **more}, status)
    reply.set_etag(session.version)
    return reply


@serve(blueprint, routes.MAKE)
def make(body: MakeSession) -> Response:
    """Makes a session up front, or gives the one that is there; what is there already keeps its data."""
    key, user_id = SessionKey(own_namespace(), body.session_id), owner(body.user_id)
    made = make_session(
        gateway().sessions, gateway().provider, key, user_id=user_id, data=body.data, metadata=body.metadata
    )
    return session_reply(made.session, 201 if made.created else 200)


@serve(blueprint, routes.LIST)
def directory(query: SessionsQuery) -> Response:
    """Sessions, newest use first. A user's newest active one is `?user_id=U&status=active&limit=1`."""
    wanted = Filter(user_id=query.user_id, status=query.status, prefix=query.prefix, used_before=query.used_before_ms)
    page = list_of(wanted, limit=query.limit, after=query.after)
    return json_reply(
        {
            "object": "list",
            "data": [session.as_dict() for session in page.sessions],
            "has_more": page.next is not None,
            "next": page.next,
        }
    )


@serve(blueprint, routes.READ)
def read(session_id: str) -> Response:
    """503 when what clients keep with it cannot be read: nobody takes that for empty."""
    session = session_of(session_id)
    session.opened()
    return session_reply(session)


@serve(blueprint, routes.EDIT)
def edit(session_id: str, headers: VersionHeaders, body: EditSession) -> Response:
    """Changes what a client may edit; needs no turn, and no concurrent edit is lost."""
    key = key_of(session_id)
    expected = None
    if headers.if_match is not None:
        session = session_of(session_id)
        headers.check_version(session)
        expected = session.version
    edited = gateway().sessions.update(
        key,
        data=given(body.data),
        metadata=given(body.metadata),
        status=None if body.status is UNSET else Status(body.status),
        expected_version=expected,
    )
    return session_reply(edited)


@serve(blueprint, routes.ERASE)
def erase(session_id: str, query: EraseQuery, headers: VersionHeaders) -> Response:
    """200 with a receipt, or 202 when the provider failed or there is more than one attempt removes: then the session
    is `erasing`, takes no turns, and the sweeper finishes it. Another DELETE tries again at once."""
    if query.keep_conversation == "true":
        session = forget(gateway().sessions, key_of(session_id), check=headers.check_version)
        audited("session_forgotten", session_id)
        now = gateway().sessions.now()
        return json_reply(Receipt(session.session_id, session.conversation_id, 0, False, 0, now).as_dict())
    outcome = application().eraser.erase_session(
        session_of(session_id).key, check=headers.check_version, budget=erasing_budget()
    )
    done = isinstance(outcome, Receipt)
    audited("session_erased", session_id, outcome="done" if done else "begun")
    return json_reply(outcome.as_dict(), 200 if done else 202)


@serve(blueprint, routes.ERASE_OF_USER)
def erase_of_user(query: UserQuery) -> Response:
    """Erases every session of a user: 200 with the receipts, or 202 when some are still `erasing`. 409 when turns kept
    some in use: those are as they were, the others are erased or erasing, and the same request may be sent again."""
    user_id = query.user_id
    patience, budget = Patience(gateway().sessions.wait_seconds), erasing_budget()
    found = UserErasure()
    for namespace in namespaces_of(user_id):
        found += erase_user(application().eraser, namespace, user_id, patience=patience, budget=budget)
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
