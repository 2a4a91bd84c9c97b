"""/v1/conversations: sessions under another name, seen from both sides."""

from collections.abc import Callable
from typing import Any

import pytest

from gateway.errors import ProviderError
from tests.harness.app import House, key, user


@pytest.fixture
def house(open_house: Callable[..., House]) -> House:
    return open_house("memory", settings={"busy_wait_seconds": 0.2})


def pages(house: House, limit: int) -> list[list[str]]:
    found: list[list[str]] = []
    after = ""
    while True:
        page = house.get(f"/v1/conversations?limit={limit}{after}")
        ids = [each["id"] for each in page["data"]]
        assert (page["first_id"], page["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))
        found.append(ids)
        if not page["has_more"]:
            return found
        after = f"&after={page['last_id']}"


@pytest.mark.parametrize("store", ["memory", "json", "valkey"])
def test_the_callers_sessions_are_listed_in_pages(open_house: Callable[..., House], store: str) -> None:
    # All of one moment: what comes after one of them is not to be told by time alone.
    house = open_house(store, clock=lambda: 1_800_000_000.0)
    assert pages(house, 5) == [[]]
    for number in range(7):
        house.make(f"s{number}")
    whole = house.ids("?limit=100")
    assert [each for page in pages(house, 3) for each in page] == whole
    assert [len(page) for page in pages(house, 3)] == [3, 3, 1]
    assert pages(house, 7) == [whole]
    assert house.error(404, "GET", "/v1/conversations?after=never")["param"] == "after"
    assert house.error(400, "GET", "/v1/conversations?limit=0")["param"] == "limit"


def test_pages_repeat_none_and_miss_none_while_sessions_are_used(open_house: Callable[..., House]) -> None:
    now = 1_800_000_000.0
    house = open_house("memory", clock=lambda: now)
    for number in range(11):
        house.make(f"s{number:02}")
        now += 1
    seen: list[str] = []
    after = ""
    while True:
        page = house.get(f"/v1/conversations?limit=3{after}")
        seen += [each["id"] for each in page["data"]]
        for each in page["data"]:  # the last one too, by which the next page goes on
            house.say(each["id"], "hello")
        now += 1
        if not page["has_more"]:
            break
        after = f"&after={page['last_id']}"
    assert seen == [f"s{number:02}" for number in range(10, -1, -1)]


def test_a_conversation_is_a_session(house: House) -> None:
    made = house.post(
        "/v1/conversations", {"metadata": {"session_id": "ann", "topic": "tea"}, "items": [user("hello")]}
    )
    session = house.get("/sessions/ann")
    assert session["metadata"] == made["metadata"] == {"session_id": "ann", "topic": "tea"}
    assert made == house.get("/v1/conversations/ann")
    assert len(house.items("ann")) == 1
    house.post("/v1/conversations/ann", {"metadata": {"topic": "coffee"}})
    assert house.get("/sessions/ann")["metadata"] == {"topic": "coffee"}
    assert house.delete("/v1/conversations/ann") == {
        "id": "ann",
        "object": "conversation.deleted",
        "deleted": True,
    }
    assert not house.exists_at_provider(session["conversation_id"])
    house.error(404, "GET", "/sessions/ann")


def test_a_name_is_made_once(house: House) -> None:
    body: Any = {"metadata": {"session_id": "ann"}, "items": [user("hello")]}
    first = house.post("/v1/conversations", body)
    assert house.error(409, "POST", "/v1/conversations", body)["code"] == "session_exists"
    assert house.post("/v1/conversations", {"metadata": {"session_id": "ann", "more": "x"}}) == first
    assert len(house.items("ann")) == 1


def test_items_that_are_refused_leave_no_session_and_no_conversation(house: House) -> None:
    for path, body in (
        ("/v1/conversations", {"metadata": {"session_id": "ann"}, "items": [user("hello")] * 21}),
        ("/v1/conversations", {"metadata": {"session_id": "ann"}, "items": [{"type": "nonsense"}]}),
        ("/v1/conversations/ann/items", {"items": [user("hello")] * 21}),
        ("/v1/conversations/ann/items", {"items": "hello"}),
        ("/v1/conversations/ann/items", {}),
        ("/v1/conversations", {"metadata": {"session_id": "a/b"}}),
        ("/v1/conversations", {"metadata": {"n": 1}}),
        ("/v1/conversations", {"unknown": 1}),
    ):
        assert house.error(400, "POST", path, body)["type"] == "invalid_request_error"
    assert house.ids() == []
    made = house.provider.calls.count("create_conversation")
    assert house.provider.calls.count("delete_conversation") == made


def test_metadata_is_asked_for(house: House) -> None:
    house.make("ann")
    assert house.error(400, "POST", "/v1/conversations/ann", {})["param"] == "metadata"
    assert house.post("/v1/conversations/ann", {"metadata": None})["metadata"] == {}
    house.error(404, "POST", "/v1/conversations/bob", {"metadata": {}})


def test_reading_makes_nothing(house: House) -> None:
    empty = {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    assert house.get("/v1/conversations/ann/items") == empty
    house.error(404, "GET", "/v1/conversations/ann/items/msg_1")
    house.error(404, "DELETE", "/v1/conversations/ann")
    assert house.ids() == []
    assert "create_conversation" not in house.provider.calls


def test_what_is_to_be_included_reaches_the_provider(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    house.post("/v1/conversations/ann/items", {"items": [user("hello")]})
    list_items = house.provider.behind.list_items

    def listed(*args: Any, **options: Any) -> Any:
        asked.append(list(options.pop("include")))
        return list_items(*args, **options)

    monkeypatch.setattr(house.provider.behind, "list_items", listed)
    house.get("/v1/conversations/ann/items?include=a&include=b")
    house.get("/v1/conversations/ann/items?include[]=a&include[]=b")
    assert asked == [["a", "b"], ["a", "b"]]
    assert house.error(400, "GET", "/v1/conversations/ann/items?future=1")["code"] == "unknown_field"


def test_a_change_waits_for_the_sessions_turn(house: House) -> None:
    (item,) = house.post("/v1/conversations/ann/items", {"items": [user("hello")]})["data"]
    with house.sessions.turn(key("ann")):
        for method, path, body in (
            ("POST", "/v1/conversations/ann/items", {"items": [user("more")]}),
            ("DELETE", f"/v1/conversations/ann/items/{item['id']}", None),
            ("POST", "/v1/responses", {"conversation": "ann", "input": "hello"}),
            ("DELETE", "/v1/conversations/ann", None),
        ):
            assert house.error(409, method, path, body)["code"] == "turn_busy"
        assert len(house.get("/v1/conversations/ann/items")["data"]) == 1


def test_an_erasure_that_the_provider_fails_is_finished_later(house: House) -> None:
    house.post("/v1/conversations/ann/items", {"items": [user("hello")]})
    reply = house.post("/v1/responses", {"model": "demo", "conversation": "ann", "input": "more"})
    house.provider.fail("delete_conversation", ProviderError(), times=1)
    assert house.delete("/v1/conversations/ann", 202)["deleted"] is False
    # It is not there any more for anybody, and nothing can be added to it.
    house.error(404, "GET", "/v1/conversations/ann")
    house.error(404, "GET", f"/v1/responses/{reply['id']}")
    assert house.get("/v1/conversations/ann/items")["data"] == []
    house.error(409, "POST", "/v1/conversations/ann/items", {"items": [user("more")]})
    assert house.delete("/v1/conversations/ann")["deleted"] is True
