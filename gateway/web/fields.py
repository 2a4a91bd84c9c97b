"""Types of the fields that requests have, and replies too: every limit stands here, once. A request is checked by it,
an error says it, and /openapi.json shows it. `checked` leads from what came to what can be trusted: a body, a query or
some headers as one frozen object, or what is wrong.

msgspec checks, because it costs a turn less than checks by hand did (a POST /workflow body: 0.5 µs, 0.9 by hand, 1.2
with pydantic) and a start 4 ms and 1 MiB, where pydantic with the same types costs 100 ms and 8 MiB. What it does not
have is an error that knows its field; that is found out here, when there is one.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct, UnsetType, inspect
from msgspec.structs import FieldInfo

from gateway.errors import InvalidRequestError, UnknownFieldError
from gateway.model import JSON, SESSION_ID, parse_session_id

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

# --- Checking ----------------------------------------------------------------------------------------------

Something = TypeVar("Something", bound=Asked)


def checked(kind: type[Something], given: JSON, *, member: str = "field") -> Something:
    """`given` as an object of this kind. An error names what is wrong as its `param`: what is not known first, then the
    first of the fields that is missing or is not as it must be."""
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as exc:
        raise _error(kind, given, member) from exc


def _error(kind: type[Asked], given: JSON, member: str) -> InvalidRequestError:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    if kind.__struct_config__.forbid_unknown_fields:
        for name in given:
            if name not in fields:
                return UnknownFieldError(f"Unknown {member}: {name[:100]!r}.", param=name[:100])
    for name, field in fields.items():
        if name in given:
            try:
                msgspec.convert(given[name], field.type)
            except msgspec.ValidationError:
                return _wrong(field, given[name])
        elif field.required:
            return InvalidRequestError(f"{name} is needed. {kind.__doc__}", param=name)
    raise AssertionError(f"{kind.__name__} is refused, but none of its fields")


def _wrong(field: FieldInfo, value: Any) -> InvalidRequestError:
    name = field.encode_name
    if SessionId in (field.type, *getattr(field.type, "__args__", ())):
        try:
            parse_session_id(value, param=name)
        except InvalidRequestError as error:
            return error
    return InvalidRequestError(f"{name} must be {_words(inspect.type_info(field.type))}.", param=name)


def _words(kind: inspect.Type, characters: str = "") -> str:
    """What a value of this type is, in words for people."""
    match kind:
        case inspect.Metadata(type=inner, extra=extra):
            return _words(inner, **(extra or {}))
        case inspect.UnionType(types=types):
            return " or ".join(_words(each) for each in types if not isinstance(each, inspect.NoneType))
        case inspect.StrType(min_length=1, max_length=None):
            return "a text that is not empty"
        case inspect.StrType(max_length=None):
            return "a text"
        case inspect.StrType(min_length=least, max_length=most):
            return f"a text of {_range(least, most)} {characters} characters".replace("  ", " ")
        case inspect.IntType(ge=least, le=most):
            return f"a whole number from {least} to {most}"
        case inspect.LiteralType(values=values):
            return " or ".join(map(str, values))
        case inspect.EnumType(cls=cls):
            return f"one of {', '.join(cls)}"
        case inspect.BoolType():
            return "true or false"
        case inspect.ListType(item_type=inspect.DictType(), min_length=least, max_length=most):
            return f"a list of {_range(least, most)} objects"
        case inspect.ListType(min_length=least, max_length=most):
            return f"a list of {_range(least, most)} items"
        case inspect.DictType(inspect.StrType(max_length=key), inspect.StrType(max_length=text), max_length=int(most)):
            return f"an object of at most {most} pairs, with keys of up to {key} and texts of up to {text} characters"
        case _:
            return "a JSON object"


def _range(least: int | None, most: int | None) -> str:
    return f"{least} to {most:,}" if least else f"at most {most:,}"
