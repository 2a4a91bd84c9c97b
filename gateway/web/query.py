"""How query parameters are read: each is known, is given once, and is checked."""

from __future__ import annotations

from collections.abc import Collection

from gateway.errors import InvalidRequestError, UnknownFieldError
from gateway.model import JSON, Status, parse_time
from gateway.web.access import asked_for


def parse_query(allowed: Collection[str] = ()) -> JSON:
    """The query's parameters as texts. Nothing is dropped silently: one that is not known is refused."""
    asked = asked_for()
    for name, values in asked:
        if name not in allowed:
            raise UnknownFieldError(f"Unknown query parameter: {name[:100]!r}.", param=name[:100])
        if len(values) > 1:
            raise InvalidRequestError(f"{name} is given more than once.", param=name)
    return {name: values[0] for name, values in asked}


def limit(query: JSON) -> int:
    """1 to 100, 20 when left out."""
    value = query.get("limit", "20")
    if not (value.isascii() and value.isdigit() and len(value) <= 3 and 1 <= int(value) <= 100):
        raise InvalidRequestError("limit must be a whole number from 1 to 100.", param="limit")
    return int(value)


def flag(query: JSON, name: str) -> bool:
    value = query.get(name, "false")
    if value not in ("true", "false"):
        raise InvalidRequestError(f"{name} must be true or false.", param=name)
    return bool(value == "true")


def optional_cursor(query: JSON) -> str | None:
    value: str | None = query.get("after")
    if value is not None and not 1 <= len(value) <= 1000:
        raise InvalidRequestError("after must be what the page before named.", param="after")
    return value


def optional_time(query: JSON, name: str) -> int | None:
    """Epoch milliseconds of an ISO 8601 time."""
    if name not in query:
        return None
    try:
        return parse_time(query[name])
    except (ValueError, OverflowError):
        raise InvalidRequestError(f"{name} must be a time such as 2025-10-26T10:00:00Z.", param=name) from None


def optional_status(query: JSON) -> Status | None:
    if "status" not in query:
        return None
    try:
        return Status(query["status"])
    except ValueError:
        raise InvalidRequestError(f"status must be one of {', '.join(Status)}.", param="status") from None
