"""The session that something is done to, and the turn in which it is done: nothing mixes with a running reply. Who only
edits a session leaves no turn behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.errors import SessionExistsError, SessionNotFoundError
from gateway.model import Session, SessionKey, Status
from gateway.providers.retry import Patience
from gateway.sessions import SessionManager, Turn


def existing(sessions: SessionManager, key: SessionKey) -> Session:
    """The session as the directory has it, also one that is being erased; `SessionNotFoundError` when there is none."""
    session = sessions.get(key)
    if session is None:
        raise SessionNotFoundError()
    return session


def readable(sessions: SessionManager, key: SessionKey) -> Session:
    """The session, if its history may be read: what is being erased is not shown any more."""
    session = existing(sessions, key)
    if session.status is Status.ERASING:
        raise SessionNotFoundError("This session is being erased.")
    return session


@contextmanager
def holding(sessions: SessionManager, key: SessionKey, patience: Patience) -> Iterator[tuple[Turn, Session]]:
    """The session in its turn. Nobody waits for one that is not there."""
    existing(sessions, key)
    with sessions.turn(key, wait_seconds=patience.left_seconds) as turn:
        if turn.session is None:
            raise SessionNotFoundError()
        yield turn, turn.session


@contextmanager
def holding_both(
    sessions: SessionManager, key: SessionKey, target: SessionKey, patience: Patience
) -> Iterator[tuple[Session, Turn]]:
    """A session, and the turn of another name that is still free: both held, and waited for with one patience.
    `SessionExistsError` when it is not free."""
    if target == key:
        raise SessionExistsError(param="session_id")
    readable(sessions, key)
    with sessions.turns_of_both(key, target, wait_seconds=patience.left_seconds) as (source, free):
        if source.session is None:
            raise SessionNotFoundError()
        if free.session is not None:
            raise SessionExistsError(param="session_id")
        yield source.session, free
