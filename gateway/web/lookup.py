"""The session that a request is about, or the sessions of a user: those are in the caller's own namespace by their
user_id, and for an admin in the user's own namespace too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway.auth import namespace
from gateway.errors import InvalidRequestError
from gateway.lifecycle.holding import existing, readable
from gateway.model import Session, SessionKey, parse_session_id
from gateway.providers.retry import Patience
from gateway.sessions import Filter, Page
from gateway.web.access import is_admin, own_namespace, principal
from gateway.web.requests import gateway

REQUEST_SECONDS = 15.0
"""How long a request erases at the provider before it leaves the rest to the sweeper."""


def erasing_budget() -> Patience:
    return Patience(REQUEST_SECONDS)


def key_of(session_id: str, *, param: str = "session_id") -> SessionKey:
    return SessionKey(own_namespace(), parse_session_id(session_id, param=param))


def session_of(session_id: str) -> Session:
    """The session as the directory has it, also one that is being erased."""
    return existing(gateway().sessions, key_of(session_id))


def readable_session_of(session_id: str) -> Session:
    """The session, if its history may be read."""
    return readable(gateway().sessions, key_of(session_id))


# --- The sessions of a user --------------------------------------------------------------------------------


def namespaces_of(user_id: str | None) -> list[str]:
    """Where to look for the sessions of this user (None: for every session), the user's own namespace first."""
    if user_id is None or not is_admin():
        return [own_namespace()]
    tenant = principal().tenant
    return [namespace(tenant, user_id), tenant]


def list_of(wanted: Filter, *, limit: int, after: str | None) -> Page:
    """One page of the sessions that the filter names, newest use first; with several namespaces one after the other."""
    lists = [replace(wanted, tenant=each) for each in namespaces_of(wanted.user_id)]
    if len(lists) == 1:
        return gateway().sessions.list(lists[0], limit=limit, after=after)
    return _list_in_turn(lists, limit, after)


def _list_in_turn(lists: Sequence[Filter], limit: int, after: str | None) -> Page:
    sessions = gateway().sessions
    index, inner = _parse_cursor(after, len(lists)) if after is not None else (0, None)
    found = sessions.list(lists[index], limit=limit, after=inner)
    page, rest = list(found.sessions), found.next
    while rest is None and index + 1 < len(lists):
        index += 1
        left = limit - len(page)
        # One at least, so that a page says that there is more only when there is.
        found = sessions.list(lists[index], limit=max(left, 1))
        if not left:
            return Page(page, f"{index}." if found.sessions else None)
        page += found.sessions
        rest = found.next
    return Page(page, f"{index}.{rest}" if rest is not None else None)


def _parse_cursor(after: str, count: int) -> tuple[int, str | None]:
    number, dot, inner = after.partition(".")
    if not dot or not number.isascii() or not number.isdigit() or len(number) > 2 or int(number) >= count:
        raise InvalidRequestError("This is not the cursor of a page.", param="after")
    return int(number), inner or None
