"""Many sessions, and long histories: nothing of either is ever asked for, or held, at once."""

import re

import pytest

from gateway.erasing.eraser import Eraser, Unfinished
from gateway.model import SessionKey
from tests.web.conftest import OpenHouse
from tests.web.house import House, key, user

MANY = 1050


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_a_thousand_sessions_are_paged_each_once(store: str, open_house: OpenHouse) -> None:
    house = open_house(store)
    for number in range(MANY):
        with house.sessions.turn(SessionKey("", f"s-{number:04}")) as turn:
            turn.bind(f"conv_{number}", user_id="odd" if number % 2 else "even")
    seen: list[str] = []
    after = ""
    while True:
        page = house.get(f"/sessions?limit=100&user_id=odd{after}")
        seen += [session["session_id"] for session in page["data"]]
        if not seen[100:]:
            house.make("late", user_id="odd")
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert sorted(seen) == [f"s-{number:04}" for number in range(1, MANY, 2)]


@pytest.fixture
def long(house: House) -> House:
    """With a session of 250 items: three pages."""
    house.make("ann")
    house.add("ann", *(user(f"word-{number}.") for number in range(250)))
    house.provider.calls.clear()
    return house


@pytest.mark.parametrize("form", ["markdown", "text", "json"])
def test_a_transcript_is_read_and_written_page_by_page(long: House, form: str) -> None:
    answer = long.client.get(f"/sessions/ann/transcript?format={form}", buffered=False)
    chunks = answer.iter_encoded()
    heard = next(chunks) + next(chunks) + next(chunks)
    assert long.provider.calls == ["list_items"]
    whole = (heard + b"".join(chunks)).decode()
    assert long.provider.calls == ["list_items"] * 3
    assert re.findall(r"word-\d+\.", whole) == [f"word-{number}." for number in range(250)]


def test_a_transcript_that_cannot_be_read_is_an_error_and_no_empty_page(long: House) -> None:
    long.provider.fail("list_items")
    assert long.error(502, "GET", "/sessions/ann/transcript")["code"] == "provider_error"


def test_a_transcript_that_breaks_off_does_not_end_as_if_it_were_whole(long: House) -> None:
    long.provider.fail("list_items", first=1)
    answer = long.client.get("/sessions/ann/transcript?format=json", buffered=False)
    with pytest.raises(Exception, match="provider failed"):
        b"".join(answer.iter_encoded())


def test_a_long_history_is_copied_in_portions(long: House) -> None:
    copied = long.post("/sessions/ann/fork", {"session_id": "bob"}, 201)
    assert (copied["items_copied"], copied["items_skipped"]) == (250, 0)
    assert long.provider.calls.count("add_items") == 13
    assert [item["content"] for item in long.items("bob")] == [item["content"] for item in long.items("ann")]


def test_a_long_history_is_erased_bit_by_bit(long: House) -> None:
    eraser = Eraser(long.sessions, long.provider, items_at_once=100)  # type: ignore[arg-type]
    first = eraser.erase_session(key("ann"))
    assert isinstance(first, Unfinished)
    assert (first.items_deleted, first.failed) == (100, False)
    assert long.get("/sessions/ann")["status"] == "erasing"
    swept = long.sweeper.sweep()
    assert swept is not None
    assert (swept.erased, swept.items_deleted) == (1, 150)
    assert long.ids() == []


def test_clearing_says_how_far_it_came(long: House) -> None:
    long.provider.fail("delete_item", first=120)
    error = long.error(502, "DELETE", "/sessions/ann/items")
    assert (error["code"], error["items_deleted"]) == ("provider_error", 120)
    long.provider.heal()
    assert len(long.items("ann")) == 130
