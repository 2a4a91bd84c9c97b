"""A session of which no key opens what clients keep with it: it costs just that, and is never taken for empty."""

import base64
from collections.abc import Callable

import pytest

from gateway.workflows.function import FunctionWorkflow
from tests.conftest import StoreAddress
from tests.harness.app import JSON, House, key
from tests.web.conftest import OpenHouse
from tests.web.test_openapi import Held

KEY = base64.urlsafe_b64encode(bytes(32)).decode()


@pytest.fixture
def address(make_store_address: Callable[[str], StoreAddress]) -> StoreAddress:
    return make_store_address("sqlite")


@pytest.fixture
def keyed(open_house: OpenHouse, address: StoreAddress) -> House:
    """The gateway that has the key."""
    return open_house("sqlite", address=address, encryption_keys=[KEY])


@pytest.fixture
def made(keyed: House) -> JSON:
    return keyed.make("ann", user_id="u", data={"cart": 3}, metadata={"plan": "gold"})


@pytest.fixture
def held(made: JSON, open_house: OpenHouse, address: StoreAddress) -> Held:
    """A gateway without the key, on the same store."""
    house = open_house("sqlite", address=address)
    return Held(house, house.get("/openapi.json"))


def test_it_is_unavailable_to_one_who_asks_for_it_and_is_not_written_over(held: Held, keyed: House, made: JSON) -> None:
    etag = keyed.ask("GET", "/sessions/ann").headers["ETag"]
    for method, path, body, headers in (
        ("GET", "/sessions/ann", None, {}),
        ("PATCH", "/sessions/ann", {"data": {"cart": 4}}, {}),
        ("PATCH", "/sessions/ann", {"status": "completed"}, {"If_Match": etag}),
        ("PATCH", "/sessions/ann", {"status": "completed"}, {"If_Match": '"another"'}),
        ("DELETE", "/sessions/ann", None, {"If_Match": etag}),
        ("POST", "/sessions/ann/fork", {"session_id": "bob"}, {}),
        ("POST", "/sessions/ann/rename", {"session_id": "bob"}, {}),
        ("GET", "/v1/conversations/ann", None, {}),
        ("POST", "/v1/conversations/ann", {"metadata": {"plan": "none"}}, {}),
    ):
        error = held.expect(503, method, path, body, **headers)["error"]
        assert (error["code"], "ann" in error["message"], "encrypted" in error["message"]) == (
            "store_unavailable",
            True,
            True,
        )
    assert keyed.get("/sessions/ann") == made


def test_a_listing_shows_it_and_says_so(held: Held, keyed: House, made: JSON) -> None:
    plain = keyed.make("bob", user_id="u")
    unreadable = {**made, "data": None, "metadata": None, "unreadable": True}
    for query in ("", "?user_id=u"):
        assert held.expect(200, "GET", f"/sessions{query}")["data"] == [plain, unreadable]
    shown = held.expect(200, "GET", "/v1/conversations")["data"]
    assert [(each["id"], each["metadata"]) for each in shown] == [("bob", {}), ("ann", None)]


def test_its_turns_go_on(held: Held, keyed: House, made: JSON) -> None:
    reply = held.expect(200, "POST", "/workflow", {"session_id": "ann", "input_as_text": "hello"})
    assert reply["conversation_id"] == made["conversation_id"]
    held.expect(200, "POST", "/v1/responses", {"conversation": "ann", "input": "again"})
    assert len(held.expect(200, "GET", "/sessions/ann/items")["data"]) == 4
    with_it = keyed.get("/sessions/ann")
    assert (with_it["data"], with_it["metadata"], with_it["turns"]) == (made["data"], made["metadata"], 2)


def test_a_reset_leaves_it_as_it_is(held: Held, keyed: House, made: JSON) -> None:
    shown = held.expect(200, "POST", "/sessions/ann/reset", {})
    assert (shown["generation"], shown["data"], shown["unreadable"]) == (2, None, True)
    assert keyed.get("/sessions/ann")["data"] == made["data"]


def test_it_can_be_erased(held: Held, keyed: House) -> None:
    assert held.expect(200, "DELETE", "/sessions/ann")["conversation_deleted"]
    assert keyed.sessions.get(key("ann")) is None


def test_a_turn_that_was_answered_before_its_workflow_asked_for_it_is_not_to_be_sent_again(held: Held) -> None:
    house = held.house
    house.app.gateway.workflows["late"] = FunctionWorkflow(lambda turn: turn.respond().output_text + str(turn.data))
    answer = house.ask("POST", "/workflow/late", {"session_id": "ann", "input_as_text": "Hi"})
    assert (answer.status_code, answer.headers["x-should-retry"]) == (503, "false")
