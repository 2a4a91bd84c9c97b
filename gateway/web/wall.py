"""Which ids of the provider's a caller may use: those of its own sessions and responses. What is another's is answered
word for word as what is not there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

from gateway.errors import ConversationGoneError, InvalidRequestError, NotFoundError
from gateway.history.items import parse_item_id
from gateway.model import Session, SessionKey, Status
from gateway.providers.base import all_items
from gateway.sessions.values import ResponseOwner
from gateway.turn import Gateway
from gateway.web import account_ids
from gateway.web.access import own_namespace
from gateway.web.lookup import key_of
from gateway.web.requests import gateway

T = TypeVar("T")

ONE_BY_ONE = 5
"""Up to so many items are asked for one by one; for more the history is read through."""

_MADE_HERE = re.compile(r"sess_[0-9a-f]{32}\Z")


def writable_key(session_id: str, *, restart: bool = False) -> SessionKey:
    """The session of that name, which the first write makes. Except one that the gateway itself had named: nobody else
    thinks of such a name, so that it must have been there, and is gone (`restart`: is made again all the same)."""
    key = SessionKey(own_namespace(), session_id)
    if not restart and _MADE_HERE.match(session_id) and gateway().sessions.get(key) is None:
        raise ConversationGoneError()
    return key


def session_now(session_id: str) -> Session | None:
    """The session, if it is there to be read: one that is being erased is not."""
    session = gateway().sessions.get(key_of(session_id, param="conversation"))
    return None if session is None or session.status is Status.ERASING else session


# --- Items -------------------------------------------------------------------------------------------------


def ids_in(items: object, param: str) -> list[str]:
    """The ids that these input items come with: of their own, by reference, or of the calls that they approve."""
    return [*_members(items, "id", param), *approvals_in(items, param)]


def approvals_in(items: object, param: str) -> list[str]:
    """The ids of the items that these allow, or refuse, to be carried out."""
    return _members(items, "approval_request_id", param)


def _members(items: object, name: str, param: str) -> list[str]:
    found = [item.get(name) for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    if not all(isinstance(each, str | None) for each in found):
        raise InvalidRequestError(f"An item's {name} must be a text.", param=param)
    return [each for each in found if each is not None]


def check_in_session(session_id: str, item_ids: Iterable[str], param: str) -> None:
    """`NotFoundError` unless each of these items is in the session's conversation."""
    wanted = dict.fromkeys(item_ids)
    if not wanted:
        return
    session = session_now(session_id)
    for item_id in wanted:
        if session is None or not _can_be(item_id):
            raise item_not_found(item_id, param)
    assert session is not None
    provider, conversation_id = gateway().provider, session.conversation_id
    if len(wanted) <= ONE_BY_ONE:
        for item_id in wanted:
            found_or(item_not_found(item_id, param), partial(provider.retrieve_item, conversation_id, item_id))
        return
    for item in all_items(provider, conversation_id, order="desc"):
        wanted.pop(item["id"], None)
        if not wanted:
            return
    raise item_not_found(next(iter(wanted)), param)


def give(gateway: Gateway, tenant: str, item_ids: Iterable[str]) -> None:
    """Notes that the caller has these items from us: it may send them again where no session says which it may name."""
    wanted = list(item_ids)
    new = set(wanted) - gateway.sessions.remembered(tenant, wanted)
    if new:
        gateway.sessions.remember(tenant, sorted(new))


def check_given(item_ids: list[str], param: str) -> None:
    """`NotFoundError` unless the caller was given each of these items: by a response, or out of a session."""
    known = gateway().sessions.remembered(own_namespace(), item_ids)
    for item_id in item_ids:
        if item_id not in known:
            raise item_not_found(item_id, param)


def found_or(missing: NotFoundError, look: Callable[[], T]) -> T:
    """What `look` finds; `missing` in place of whatever words the provider has for what it does not find."""
    try:
        return look()
    except NotFoundError as exc:
        raise missing from exc


def item_not_found(item_id: str, param: str | None = None) -> NotFoundError:
    return NotFoundError(f"Item with id '{item_id[:200]}' not found.", param=param)


def _can_be(item_id: str) -> bool:
    try:
        parse_item_id(item_id)
    except NotFoundError:
        return False
    return True


def ids_given_in(response: Mapping[str, Any]) -> list[str]:
    """What the caller may name again once it has this response: the items of the output, and what they name."""
    output = response.get("output") or ()
    return [*(item["id"] for item in output if item.get("id")), *account_ids.ids_given(output)]


# --- Responses ---------------------------------------------------------------------------------------------


def own_response(response_id: str) -> ResponseOwner:
    """Where a response of the caller's came from."""
    sessions = gateway().sessions
    owner = sessions.response_owner(own_namespace(), response_id)
    if owner is None:
        raise response_not_found(response_id)
    if owner.session_id is not None:
        session = sessions.get(SessionKey(own_namespace(), owner.session_id))
        if session is not None and session.status is Status.ERASING:
            raise response_not_found(response_id)
    return owner


def check_previous(response_id: str) -> None:
    """`NotFoundError` unless this is a response of the caller's own."""
    found_or(previous_not_found(response_id), lambda: own_response(response_id))


def response_not_found(response_id: str) -> NotFoundError:
    return NotFoundError(f"Response with id '{response_id[:200]}' not found.")


def previous_not_found(response_id: str) -> NotFoundError:
    return NotFoundError(f"Previous response with id '{response_id[:200]}' not found.", param="previous_response_id")
