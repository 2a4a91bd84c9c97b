"""What a request of /v1 asks for beside its body: query parameters and headers."""

from __future__ import annotations

import re
from collections.abc import Collection

from flask import request

from gateway.errors import InvalidRequestError, UnknownFieldError
from gateway.model import JSON
from gateway.web.access import asked_for

_INCLUDE = re.compile(r"include(\[\d*\])?\Z")


def parse_query(allowed: Collection[str] = ()) -> tuple[JSON, list[str]]:
    """The query's parameters as texts, and apart from them what is to be included. One that is not known is refused."""
    asked: JSON = {}
    include: list[str] = []
    for name, values in asked_for():
        if "include" in allowed and _INCLUDE.match(name):
            include += values
        elif name not in allowed:
            raise UnknownFieldError(f"Unknown query parameter: {name[:100]!r}.", param=name[:100])
        elif len(values) > 1:
            raise InvalidRequestError(f"{name} is given more than once.", param=name)
        else:
            asked[name] = values[0]
    return asked, include


def header_choice(name: str, words: tuple[str, ...]) -> str:
    """One of `words`, the first when the header is left out."""
    value = request.headers.get(name, words[0])
    if value not in words:
        raise InvalidRequestError(f"{name} must be {' or '.join(words)}.", param=name)
    return value


def is_blind_retry() -> bool:
    """Whether the client's library says that it sends this again by itself."""
    return request.headers.get("x-stainless-retry-count", "0") not in ("", "0")
