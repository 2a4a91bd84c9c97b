"""Many sessions, and long histories: nothing of either is ever asked for, or held, at once."""

import re

import pytest

from gateway.lifecycle.erasures import Eraser, Receipt, Unfinished
from gateway.model import SessionKey
from gateway.providers.retry import Patience
from gateway.sessions.values import Erasure
from tests.harness.app import House, key, user
from tests.web.conftest import OpenHouse

MANY = 1050


@pytest.mark.slow
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
    eraser = Eraser(long.sessions, long.provider, at_once=100)
    first = eraser.erase_session(key("ann"))
    assert isinstance(first, Unfinished)
    assert (first.items_deleted, first.failed) == (100, False)
    assert long.get("/sessions/ann")["status"] == "erasing"
    swept = long.sweeper.sweep()
    assert (swept.erased, swept.items_deleted) == (1, 150)
    assert long.ids() == []


def test_clearing_says_how_far_it_came(long: House) -> None:
    long.provider.fail("delete_item", first=120)
    error = long.error(502, "DELETE", "/sessions/ann/items")
    assert (error["code"], error["items_deleted"]) == ("provider_error", 120)
    long.provider.heal()
    assert len(long.items("ann")) == 130


# --- What takes longer than somebody waits --------------------------------------------------------------------


@pytest.fixture
def hasty(long: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """The same where a request has no time at all for it."""
    monkeypatch.setattr("gateway.web.lookup.REQUEST_SECONDS", 0.0)
    return long


def test_a_history_that_takes_long_to_clear_is_left_behind(hasty: House) -> None:
    before = hasty.get("/sessions/ann")
    hasty.say("ann", "hello")
    cleared = hasty.delete("/sessions/ann/items", 202)
    assert cleared == {"session_id": "ann", "items_deleted": 1}
    after = hasty.get("/sessions/ann")
    assert hasty.items("ann") == []
    assert (after["generation"], after["turns"], after["status"]) == (2, 1, "active")
    assert hasty.exists_at_provider(before["conversation_id"])
    assert hasty.sweeper.sweep()
    assert not hasty.exists_at_provider(before["conversation_id"])
    assert "I remember" not in hasty.say("ann", "Do you remember?")["output_text"]


@pytest.mark.parametrize("path", ["/sessions/ann", "/v1/conversations/ann", "/sessions?user_id=u"])
def test_a_session_that_takes_long_to_erase_is_left_to_the_sweeper(hasty: House, path: str) -> None:
    hasty.post("/sessions/ann/rename", {"session_id": "bob", "user_id": "u"})
    hasty.post("/sessions/bob/rename", {"session_id": "ann"})
    hasty.delete(path, 202)
    assert hasty.get("/sessions/ann")["status"] == "erasing"
    assert hasty.provider.calls.count("delete_item") <= 1
    assert hasty.sweeper.sweep()
    assert hasty.ids() == []


def test_a_conversation_that_takes_long_to_erase_holds_no_reset_up(hasty: House) -> None:
    assert hasty.post("/sessions/ann/reset")["old_conversation"] == "erasing"
    swept = hasty.sweeper.sweep()
    assert (swept.erased, swept.items_deleted) == (1, 250)


def test_many_stored_responses_are_deleted_bit_by_bit(house: House) -> None:
    """Each takes a call, and there may be thousands."""
    for _ in range(3):
        house.say("ann", "hello")
    erasure = Erasure(*key("ann"), house.get("/sessions/ann")["conversation_id"], 0, whole=False)
    house.delete("/sessions/ann/items")
    budget = Patience(30)
    house.provider.refuse("delete_conversation", lambda _: setattr(budget, "_until", 0.0))
    assert isinstance(house.eraser.erase(erasure, budget), Unfinished)
    assert "delete_response" not in house.provider.calls
    done = house.eraser.erase(erasure)
    assert isinstance(done, Receipt)
    assert done.responses_deleted == 3
