"""The hosted history, changed in the provider's portions, with a provider that is not always of one mind."""

from typing import Any

import pytest

from gateway.errors import ConversationGoneError, NotFoundError
from gateway.history import items as history
from gateway.history.items import clear_items, each_removed, parse_item_id
from gateway.providers.base import ConversationLockedError
from gateway.providers.retry import Patience

JSON = dict[str, Any]


class Shelf:
    """Items at a provider whose listing lags behind by one call."""

    def __init__(self, count: int) -> None:
        self.there = [f"msg_{number}" for number in range(count)]
        self.listed = list(self.there)
        self.refusals: list[Exception] = []

    def list_items(self, conversation_id: str, *, limit: int, order: str) -> JSON:
        assert order == "desc"
        shown, self.listed = self.listed, list(self.there)
        return {"data": [{"id": item_id} for item_id in reversed(shown)][:limit]}

    def delete_item(self, conversation_id: str, item_id: str) -> JSON:
        if self.refusals:
            raise self.refusals.pop()
        if item_id not in self.there:
            raise NotFoundError()
        self.there.remove(item_id)
        return {}


def test_a_listing_that_lags_behind_ends_all_the_same() -> None:
    shelf = Shelf(5)
    assert list(each_removed(shelf, "conv_1")) == [f"msg_{number}" for number in (4, 3, 2, 1, 0)]
    assert not shelf.there


def test_what_somebody_else_removed_is_not_counted() -> None:
    shelf = Shelf(5)
    shelf.there.remove("msg_2")
    assert clear_items(shelf, "conv_1") == (4, True)


def test_clearing_ends_with_its_budget() -> None:
    shelf = Shelf(5)
    assert clear_items(shelf, "conv_1", Patience(0)) == (1, False)
    assert clear_items(shelf, "conv_1", Patience(30)) == (4, True)


def test_a_conversation_that_is_gone_is_not_taken_for_an_empty_one() -> None:
    shelf = Shelf(2)
    shelf.refusals = [ConversationGoneError()]
    with pytest.raises(ConversationGoneError) as gone:
        clear_items(shelf, "conv_1")
    assert gone.value.details["items_deleted"] == 0


def test_a_passing_refusal_is_waited_out_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf(1)
    shelf.refusals = [ConversationLockedError()]
    assert clear_items(shelf, "conv_1") == (1, True)
    monkeypatch.setattr(history, "RETRY_SECONDS", 0)
    shelf = Shelf(1)
    shelf.refusals = [ConversationLockedError()]
    with pytest.raises(ConversationLockedError):
        clear_items(shelf, "conv_1")


@pytest.mark.parametrize("value", ["", ".", "..", "a/b", "a%2Fb", "a b", "x" * 129, "msg_1\n"])
def test_what_could_be_another_address_is_no_item_id(value: str) -> None:
    with pytest.raises(NotFoundError):
        parse_item_id(value)
