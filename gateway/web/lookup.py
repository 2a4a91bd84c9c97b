"""The session that a request is about: looked up, or held in a turn of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.errors import SessionNotFoundError
from gateway.model import Session, SessionKey, Status, parse_session_id
from gateway.sessions import Turn
from gateway.web.access import own_namespace
from gateway.web.requests import gateway, settings


def key_of(session_id: str) -> SessionKey:
    return SessionKey(own_namespace(), parse_session_id(session_id))


def queue_limit() -> int:
    return settings().queue_limit


def session_of(session_id: str) -> Session:
    """The session as the directory has it, also one that is being erased."""
    session = gateway().sessions.get(key_of(session_id))
    if session is None:
        raise SessionNotFoundError()
    return session


def readable_session_of(session_id: str) -> Session:
    """The session, if its history may be read: what is being erased is not shown any more."""
    session = session_of(session_id)
    if session.status is Status.ERASING:
        raise SessionNotFoundError("This session is being erased.")
    return session


@contextmanager
def held(session_id: str) -> Iterator[tuple[Turn, Session]]:
    """The session in its turn, so that nothing mixes with a running reply. Who only edits it leaves no turn behind."""
    key = session_of(session_id).key
    wait_seconds = gateway().busy_wait_seconds
    with gateway().sessions.turn(key, wait_seconds=wait_seconds, queue_limit=queue_limit()) as turn:
        if turn.session is None:
            raise SessionNotFoundError()
        yield turn, turn.session
