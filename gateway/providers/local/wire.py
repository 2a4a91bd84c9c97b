"""The words of the wire that everything here shares: ids, the list envelope, and errors as the service writes them."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence

from gateway.model import JSON as JSON

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class WireError(Exception):
    """An error answer, word for word as it goes over the wire."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        type: str = "invalid_request_error",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        self.error: JSON = {"message": message, "type": type, "param": param, "code": code}

    def body(self) -> JSON:
        return {"error": self.error}


def new_id(prefix: str) -> str:
    """An id of the documented length: 48 hex digits for conversations, 24 for calls, 50 for the rest."""
    return f"{prefix}_{secrets.token_hex({'conv': 24, 'call': 12}.get(prefix, 25))}"


def is_id(text: str) -> bool:
    """Whether this can be an id at all; no database is asked for anything else."""
    return _ID.fullmatch(text) is not None


def envelope(items: Sequence[JSON], *, has_more: bool = False) -> JSON:
    """The list envelope; an empty list has null ids."""
    return {
        "object": "list",
        "data": list(items),
        "first_id": items[0]["id"] if items else None,
        "has_more": has_more,
        "last_id": items[-1]["id"] if items else None,
    }


# --- Things that are not there -----------------------------------------------------------------------------


def conversation_not_found(conversation_id: str) -> WireError:
    return WireError(404, f"Conversation with id '{conversation_id}' not found.")


def item_not_found(item_id: str) -> WireError:
    return WireError(404, f"Item with id '{item_id}' not found in conversation.")


def cursor_not_found(item_id: str) -> WireError:
    return WireError(404, f"No item found with id '{item_id}'", param="after")


def reference_not_found(item_id: str) -> WireError:
    return WireError(404, f"Item with id '{item_id}' not found.", param="input")


def response_not_found(response_id: str) -> WireError:
    return WireError(404, f"Response with id '{response_id}' not found.")


def previous_response_not_found(response_id: str) -> WireError:
    return WireError(
        400,
        f"Previous response with id '{response_id}' not found.",
        code="previous_response_not_found",
        param="previous_response_id",
    )


# --- Things that do not fit the state of the conversation --------------------------------------------------


def conversation_locked() -> WireError:
    return WireError(
        400,
        "Another process is currently operating on this conversation. Please retry in a few seconds.",
        code="conversation_locked",
        param="conversation",
    )


def item_already_in_conversation() -> WireError:
    return WireError(400, "Item already in conversation", code="item_already_in_conversation", param="items")


def duplicate_item(item_id: str) -> WireError:
    return WireError(
        400,
        f"Duplicate item found with id {item_id}. Remove duplicate items from your input and try again.",
        param="input",
    )


# --- Values that are wrong ---------------------------------------------------------------------------------


def invalid_value(param: str, message: str) -> WireError:
    return WireError(400, message, code="invalid_value", param=param)


def missing_parameter(param: str) -> WireError:
    return WireError(400, f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param)


_KINDS: dict[type, str] = {bool: "a boolean", int: "an integer", float: "a decimal", str: "a string", list: "an array"}


def invalid_type(param: str, expected: str, value: object) -> WireError:
    got = "null" if value is None else _KINDS.get(type(value), "an object")
    return WireError(
        400,
        f"Invalid type for '{param}': expected {expected}, but got {got} instead.",
        code="invalid_type",
        param=param,
    )


# --- Failures of our own -----------------------------------------------------------------------------------


def server_error(message: str | None = None, *, status: int = 500, code: str | None = None) -> WireError:
    return WireError(
        status,
        message or "The server had an error processing your request. Sorry about that!",
        code=code,
        type="server_error",
    )
