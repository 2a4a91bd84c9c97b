"""The hosted history of a session, changed in the provider's portions. Whoever calls holds the session's turn."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TypeVar

from gateway.errors import GatewayError, NotFoundError
from gateway.model import JSON
from gateway.providers.base import ITEMS_A_CALL, PAGE_LIMIT, Provider
from gateway.providers.retry import Patience

T = TypeVar("T")

RETRY_SECONDS = 10.0
"""How long one call of a longer piece of work is tried again while the provider refuses it for a passing reason."""

_ITEM_ID = re.compile(r"[A-Za-z0-9_-]{1,128}\Z")


def parse_item_id(value: str) -> str:
    """`value` if it can be an item's id; `NotFoundError` otherwise. It becomes a part of an upstream path, and `..` in
    there would be another address."""
    if not _ITEM_ID.match(value):
        raise NotFoundError("There is no such item in this session.")
    return value


def portions(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """As many at a time as the provider takes in one call."""
    for start in range(0, len(items), ITEMS_A_CALL):
        yield items[start : start + ITEMS_A_CALL]


def add_items(provider: Provider, conversation_id: str, items: Sequence[JSON]) -> list[JSON]:
    """Adds any number of items and returns them as the provider keeps them.

    It stops at the first portion that fails, and the error says how far it came: `items_added` are surely there, and
    so may be the `items_in_doubt` after them, if the provider's answer was lost.
    """
    added: list[JSON] = []
    for portion in portions(items):
        try:
            added += add_portion(provider, conversation_id, portion)
        except GatewayError as exc:
            exc.details["items_added"] = len(added)
            if exc.in_doubt:
                exc.details["items_in_doubt"] = len(portion)
            raise
    return added


def add_portion(provider: Provider, conversation_id: str, portion: Sequence[JSON]) -> list[JSON]:
    """Adds what fits into one call: all of it or nothing."""
    added: list[JSON] = Patience(RETRY_SECONDS).call(lambda: provider.add_items(conversation_id, portion))["data"]
    return added


def pop_item(provider: Provider, conversation_id: str) -> JSON:
    """Removes the newest item and returns it; `NotFoundError` when there is none."""
    newest: list[JSON] = provider.list_items(conversation_id, limit=1, order="desc")["data"]
    if not newest:
        raise NotFoundError("The session's history is empty.")
    remove_item(provider, conversation_id, newest[0]["id"])
    return newest[0]


def remove_item(provider: Provider, conversation_id: str, item_id: str) -> None:
    Patience(RETRY_SECONDS).call(lambda: provider.delete_item(conversation_id, item_id))


def clear_items(provider: Provider, conversation_id: str, budget: Patience | None = None) -> tuple[int, bool]:
    """Removes every item, as far as it comes within the budget; tells how many, and whether that was all. So does an
    error, in `items_deleted`."""
    count = 0
    try:
        for _ in each_removed(provider, conversation_id):
            count += 1
            if budget is not None and not budget.left_seconds:
                return count, False
    except GatewayError as exc:
        exc.details["items_deleted"] = count
        raise
    return count, True


def each_removed(provider: Provider, conversation_id: str) -> Iterator[str]:
    """Removes the items one by one, newest first, so that what is left is a history at any moment; yields the id of
    each that it removed. What somebody else removed meanwhile is none of them."""
    gone: set[str] = set()
    while True:
        page = provider.list_items(conversation_id, limit=PAGE_LIMIT, order="desc")["data"]
        # A listing that lags behind shows what was removed already.
        left = [item["id"] for item in page if item["id"] not in gone]
        if not left:
            return
        for item_id in left:
            gone.add(item_id)
            try:
                remove_item(provider, conversation_id, item_id)
            except NotFoundError:
                continue
            yield item_id
