"""How the fields of request bodies are read: each returns a checked value or raises what is wrong with it."""

from __future__ import annotations

from typing import Any

from gateway.errors import InvalidRequestError, UnknownFieldError
from gateway.model import JSON


def only(body: JSON, kind: type) -> None:
    """Nothing is dropped silently: a field that this type of body does not have is refused."""
    for name in body:
        if name not in kind.__annotations__:
            raise UnknownFieldError(f"Unknown field: {name!r}.", param=name[:100])


def optional_text(body: JSON, name: str, *, longest: int = 200) -> str | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= longest or not value.isprintable():
        raise InvalidRequestError(f"{name} must be a text of 1 to {longest} printable characters.", param=name)
    return value


def optional_object(body: JSON, name: str) -> JSON | None:
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise InvalidRequestError(f"{name} must be a JSON object.", param=name)
    return value


def optional_metadata(body: JSON, name: str = "metadata") -> JSON | None:
    """At most 16 pairs, keys up to 64 and values up to 512 characters: what the provider's metadata takes too."""
    value = optional_object(body, name)
    if value is None:
        return None
    fits = len(value) <= 16 and all(len(k) <= 64 and isinstance(v, str) and len(v) <= 512 for k, v in value.items())
    if not fits:
        raise InvalidRequestError(
            f"{name} must have at most 16 pairs, with keys of up to 64 and texts of up to 512 characters.", param=name
        )
    return value


def flag(body: JSON, name: str, default: bool) -> bool:
    value = body.get(name, default)
    if not isinstance(value, bool):
        raise InvalidRequestError(f"{name} must be true or false.", param=name)
    return value


def choice(body: JSON, name: str, words: tuple[str, ...]) -> str:
    """One of `words`, the first when left out."""
    value: Any = body.get(name, words[0])
    if value not in words:
        raise InvalidRequestError(f"{name} must be {' or '.join(words)}.", param=name)
    return str(value)
