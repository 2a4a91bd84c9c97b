"""The session that a request is about."""

from __future__ import annotations

from gateway.lifecycle.holding import existing, readable
from gateway.model import Session, SessionKey, parse_session_id
from gateway.providers.retry import Patience
from gateway.web.access import own_namespace
from gateway.web.requests import gateway

REQUEST_SECONDS = 15.0
"""How long a request erases at the provider before it leaves the rest to the sweeper."""


def erasing_budget() -> Patience:
    return Patience(REQUEST_SECONDS)


def key_of(session_id: str) -> SessionKey:
    return SessionKey(own_namespace(), parse_session_id(session_id))


def session_of(session_id: str) -> Session:
    """The session as the directory has it, also one that is being erased."""
    return existing(gateway().sessions, key_of(session_id))


def readable_session_of(session_id: str) -> Session:
    """The session, if its history may be read."""
    return readable(gateway().sessions, key_of(session_id))
