"""A blind retry of a turn that a crash cut off: what became of it is looked up, as for a turn with a key."""

from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import pytest

from gateway.model import fingerprint, new_turn_id
from tests.harness.app import House, key

BODY: Any = {"model": "demo", "input": "Hello", "conversation": "ann"}
RETRY = {"x_stainless_retry_count": "2"}


@pytest.fixture
def house(open_house: Callable[..., House]) -> House:
    house = open_house("memory")
    house.make("ann")
    return house


@contextmanager
def cut_off(house: House, body: Any = BODY) -> Any:
    """A turn that nobody ends: gives the conversation that it ran in."""
    turn_id = new_turn_id()
    mark = fingerprint(turn_id, {"/v1/responses": body})
    with house.sessions.turn(key("ann"), turn_id=turn_id, fingerprint=mark) as turn:
        turn.begin()
        yield turn
        turn.leave()


@pytest.mark.parametrize("streamed", [False, True])
def test_it_gets_the_reply_if_there_was_one(house: House, streamed: bool) -> None:
    body = {**BODY, "stream": streamed}
    with cut_off(house, body) as turn:
        answered = house.provider.behind.create_response({**BODY, "conversation": turn.session.conversation_id})
        turn.note(answered["id"])
    again = house.ask("POST", "/v1/responses", body, **RETRY)
    assert again.status_code == 200
    assert answered["id"] in again.text
    assert len(house.items("ann")) == 2
    # The turn is settled now, and nobody's reply is missing.
    assert answered["id"] not in house.ask("POST", "/v1/responses", body, **RETRY).text


def test_it_runs_if_the_turn_surely_did_not(house: House) -> None:
    with cut_off(house) as turn:
        events = house.provider.behind.stream_response({**BODY, "conversation": turn.session.conversation_id})
        turn.note(next(events).json()["response"]["id"])
        events.close()
    assert house.ask("POST", "/v1/responses", BODY, **RETRY).status_code == 200
    assert len(house.items("ann")) == 2


def test_it_is_refused_if_nobody_can_tell(house: House) -> None:
    with cut_off(house):
        pass
    refused = house.ask("POST", "/v1/responses", BODY, **RETRY)
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (409, "turn_lost")
    assert refused.headers["x-should-retry"] == "false"
