"""Ids of things that belong to the whole provider account: whoever names one reads it, whoever's it is.

The gateway knows of none of them whose it is, except of those that a caller was given by us. So a caller may name these
and no others, unless the operator says that all callers share the account (GATEWAY_V1_SHARED), or there is just one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.errors import NotFoundError
from gateway.web.access import own_namespace
from gateway.web.requests import gateway, settings

KINDS = {
    "prompt": "Prompt",
    "file_id": "File",
    "file_ids": "File",
    "vector_store_id": "Vector store",
    "vector_store_ids": "Vector store",
    "container": "Container",
    "container_id": "Container",
    "skill_id": "Skill",
}
"""Where such an id may stand, by the name of the member (a text, or a list of texts), and what it names. What waits for
an approval is an item, and checked as those are."""

_FREE = frozenset({"metadata", "parameters", "schema", "input_schema", "arguments"})
"""Members in which names are the caller's own."""


def check_ids(value: Any, param: str) -> None:
    """`NotFoundError` for the first id in this member of a body that the caller was not given."""
    if settings().auth == "none" or settings().v1_shared == "allow":
        return
    found = list(_named(value, param))
    given = gateway().sessions.remembered(own_namespace(), [each for _, each in found]) if found else set()
    for kind, each in found:
        if each not in given:
            raise NotFoundError(f"{kind} with id '{each[:200]}' not found.", param=param)


def ids_given(output: Any) -> list[str]:
    """Those in what the provider answered, to be remembered as the caller's."""
    return [each for _, each in _named(output, "output")]


def _named(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Kind and id of all that is named in `value`, which is the member `name`."""
    if name in _FREE:
        return
    if isinstance(value, list):
        for each in value:
            yield from _named(each, name)
    elif isinstance(value, dict):
        if name == "prompt" and isinstance(value.get("id"), str):
            yield KINDS[name], value["id"]
        for inner, each in value.items():
            yield from _named(each, inner)
    elif isinstance(value, str) and name in KINDS and name != "prompt":
        yield KINDS[name], value
