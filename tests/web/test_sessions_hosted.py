"""The same before a hosted provider that fails on the wire."""

from tests.harness.app import texts, user
from tests.harness.upstream import UpstreamProcess
from tests.web.conftest import OpenHouse

ADD = "POST /v1/conversations/*/items"
WORDS = [user(f"word {number}") for number in range(45)]
UNHARMED = {"match": ADD, "fault": "none"}


def test_adding_says_how_far_it_came(open_house: OpenHouse, service: UpstreamProcess) -> None:
    house = open_house("sqlite", "hosted")
    house.make("ann")
    service.faults(UNHARMED, {"match": ADD, "fault": "status", "status": 400, "error": {"message": "Not this."}})
    error = house.error(400, "POST", "/sessions/ann/items", {"items": WORDS})
    assert (error["code"], error["message"], error["items_added"]) == ("provider_rejected", "Not this.", 20)
    assert "items_in_doubt" not in error
    assert len(house.items("ann")) == 20


def test_an_answer_that_was_lost_leaves_a_doubt_and_no_second_copy(
    open_house: OpenHouse, service: UpstreamProcess
) -> None:
    house = open_house("sqlite", "hosted")
    house.make("ann")
    service.faults(UNHARMED, {"match": ADD, "fault": "hangup", "after": True})
    error = house.error(502, "POST", "/sessions/ann/items", {"items": WORDS})
    assert (error["items_added"], error["items_in_doubt"]) == (20, 20)
    assert texts(house.items("ann")) == [f"word {number}" for number in range(40)]


def test_a_locked_conversation_is_waited_for(open_house: OpenHouse, service: UpstreamProcess) -> None:
    house = open_house("sqlite", "hosted")
    house.make("ann")
    service.faults({"match": ADD, "fault": "locked"}, {"match": "DELETE /v1/conversations/*", "fault": "locked"})
    house.add("ann", *WORDS)
    assert len(house.items("ann")) == 45
    assert house.delete("/sessions/ann")["items_deleted"] == 45


def test_an_erasure_that_hung_up_half_way_is_finished(open_house: OpenHouse, service: UpstreamProcess) -> None:
    house = open_house("sqlite", "hosted")
    house.make("ann")
    house.say("ann", "a word")
    for match in ("DELETE /v1/conversations/*/items/*", "DELETE /v1/conversations/*", "DELETE /v1/responses/*"):
        service.faults({"match": match, "times": None, "fault": "hangup", "after": True})
        assert house.delete("/sessions/ann", 202)["status"] == "erasing"
        service.withdraw()
    # All that is left was done, and nobody heard of it.
    receipt = house.delete("/sessions/ann")
    assert (receipt["items_deleted"], receipt["conversation_deleted"], receipt["responses_deleted"]) == (0, True, 0)
    assert house.ids() == []


def test_a_copy_skips_what_the_provider_refuses_and_keeps_pairs_together(
    open_house: OpenHouse, service: UpstreamProcess
) -> None:
    house = open_house("sqlite", "hosted")
    house.make("ann")
    call = {"type": "function_call", "call_id": "call_1", "name": "lookup", "arguments": "{}"}
    house.add(
        "ann", user("one"), call, {"type": "function_call_output", "call_id": "call_1", "output": "x"}, user("two")
    )
    no = {"match": ADD, "fault": "status", "status": 400}
    # The whole is refused; then one by one the message and the call are taken, the output is not.
    service.faults(no, UNHARMED, UNHARMED, no)
    copied = house.post("/sessions/ann/fork", {"session_id": "bob"}, 201)
    assert (copied["items_copied"], copied["items_skipped"]) == (2, 2)
    assert texts(house.items("bob")) == ["one", "two"]
    assert len(house.items("bob")) == 2
    house.say("bob", "goes on")
