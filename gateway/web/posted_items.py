"""Items that a caller posts: what it may say in them, and what it may name."""

from __future__ import annotations

from typing import Any

from gateway.errors import ForbiddenError, InvalidRequestError
from gateway.model import JSON
from gateway.web import account_ids
from gateway.web.access import principal
from gateway.web.wall import approvals_in, check_in_session


def parse_items(items: list[Any], name: str, session_id: str) -> list[JSON]:
    """Input items for a session. An item's id would read another conversation's item at the provider, so none is taken
    in; and one user's key or token speaks as the user."""
    for index, item in enumerate(items):
        place = f"{name}[{index}]"
        if not isinstance(item, dict):
            raise InvalidRequestError(f"{place} must be an object.", param=place)
        if "id" in item:
            raise InvalidRequestError("An item cannot be given an id.", param=f"{place}.id")
        if item.get("type") == "item_reference":
            raise InvalidRequestError("Items cannot be given by reference.", param=f"{place}.type")
        if principal().user_id is not None and not _is_said_by_a_user(item):
            raise ForbiddenError(
                "A user's key or token may post messages of the user and tool outputs only.", param=place
            )
        account_ids.check_ids(item, place)
    check_in_session(session_id, approvals_in(items, name), name)
    return items


def _is_said_by_a_user(item: JSON) -> bool:
    kind = item.get("type", "message")
    if kind == "message":
        return item.get("role") == "user"
    return isinstance(kind, str) and kind.endswith(("_call_output", "_approval_response"))
