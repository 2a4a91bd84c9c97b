"""Types of the fields that requests have, and replies too: every limit stands here, once. A request is checked by it,
an error says it, and /openapi.json shows it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from msgspec import Meta, Struct, UnsetType

from gateway.errors import InvalidRequestError
from gateway.model import SESSION_ID

T = TypeVar("T")

MOST_ITEMS = 2000
"""How many items one request may bring."""


class Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """What a request may ask for, in its body, its query or its headers: nothing is dropped silently."""


def given(value: T | UnsetType) -> T | None:
    """None for what was left out, where null could not be said."""
    return None if isinstance(value, UnsetType) else value


def reference(name: str) -> dict[str, str]:
    """Where the document describes the type of this name."""
    return {"$ref": f"#/components/schemas/{name}"}


def check_printable(value: str | None, name: str) -> None:
    """What no JSON Schema can say: every character of the text can be shown."""
    if value is not None and not value.isprintable():
        raise InvalidRequestError(f"{name} must be a text of printable characters.", param=name)


# --- Names -------------------------------------------------------------------------------------------------

SessionId = Annotated[str, Meta(pattern=SESSION_ID, examples=["user_alice_session"])]
"""A client's own word for its conversation."""

UserId = Annotated[str, Meta(min_length=1, max_length=200, examples=["alice"], extra={"characters": "printable"})]

IdempotencyKey = Annotated[
    str, Meta(min_length=1, max_length=255, pattern=r"^[!-~]+$", extra={"characters": "visible"})
]

# --- What is kept with a session ---------------------------------------------------------------------------

Data = Annotated[dict[str, Any], Meta(examples=[{"cart": 3}])]
"""Any JSON object."""

Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]],
    Meta(max_length=16, examples=[{"plan": "pro"}]),
]
"""What the provider's metadata takes, too."""

# --- What is said in a session -----------------------------------------------------------------------------

Text = Annotated[str, Meta(min_length=1)]

Items = Annotated[
    list[Any], Meta(min_length=1, max_length=MOST_ITEMS, extra_json_schema={"items": reference("InputItem")})
]
"""Each item is looked into by `posted_items`, which knows its place in the list."""

# --- What is to be done when -------------------------------------------------------------------------------

OnBusy = Literal["wait", "reject"]
OnLost = Literal["error", "restart"]

# --- Pages -------------------------------------------------------------------------------------------------

Limit = Annotated[int, Meta(ge=1, le=100)]
Cursor = Annotated[str, Meta(min_length=1, max_length=1000)]
Prefix = Annotated[str, Meta(max_length=200)]

# --- Times and counts --------------------------------------------------------------------------------------

Time = Annotated[str, Meta(examples=["2025-10-26T10:05:00.000Z"], extra_json_schema={"format": "date-time"})]
Count = Annotated[int, Meta(ge=0)]
Generation = Annotated[int, Meta(ge=1)]
