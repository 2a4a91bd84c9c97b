"""What became of a turn that was cut off: found out, never guessed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.assembly import assemble
from gateway.config import Settings
from gateway.model import Reply, SessionKey, TurnRequest, TurnState
from gateway.turn import Gateway

ANN = SessionKey("", "ann")


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    gateway = assemble(Settings.from_env({"GATEWAY_STORE": "memory:", "GATEWAY_LOCAL_DB": f"{tmp_path}/provider.db"}))
    yield gateway
    gateway.close()


def say(gateway: Gateway, words: str) -> Reply:
    return gateway.run_turn("", TurnRequest(input=words, session_id="ann", body={"input": words}))


def cut_off(gateway: Gateway, *, asked: str | None = None) -> str:
    """A turn that ends after the provider may have been asked; `asked`: it was, and its answer never arrived."""
    with gateway.sessions.turn(ANN) as turn:
        created = turn.session is None
        if turn.session is None:
            turn.bind(gateway.provider.create_conversation(metadata={})["id"])
        assert turn.session is not None
        turn.begin(created=created)
        if asked is not None:
            body = {"model": "demo", "input": asked, "conversation": turn.session.conversation_id}
            gateway.provider.create_response(body)
    return turn.record.turn_id


def state(gateway: Gateway, turn_id: str) -> tuple[TurnState, bool]:
    found = gateway.settler.settled(ANN, turn_id)
    assert found is not None
    return found.record.state, found.record.in_doubt


def test_what_came_after_the_turn_before_is_its_answer(gateway: Gateway) -> None:
    say(gateway, "hello")
    turn_id = cut_off(gateway, asked="are you there?")
    found = gateway.settler.settled(ANN, turn_id)
    assert found is not None
    assert found.record.state is TurnState.COMPLETED
    assert "are you there?" in gateway.settler.fetch_reply(found)[0].output_text


def test_in_the_first_turn_everything_is_its_answer(gateway: Gateway) -> None:
    assert state(gateway, cut_off(gateway, asked="hello")) == (TurnState.COMPLETED, False)


def test_a_later_turns_words_are_not_taken_for_it(gateway: Gateway) -> None:
    say(gateway, "hello")
    turn_id = cut_off(gateway)
    say(gateway, "are you there?")
    assert state(gateway, turn_id) == (TurnState.RUNNING, True)


@pytest.mark.parametrize("asked", [None, "are you there?"], ids=["not asked", "asked"])
def test_the_words_of_a_turn_in_doubt_before_it_are_not_taken_for_it(gateway: Gateway, asked: str | None) -> None:
    say(gateway, "hello")
    cut_off(gateway, asked="who is there?")
    assert state(gateway, cut_off(gateway, asked=asked)) == (TurnState.RUNNING, True)


@pytest.mark.parametrize("asked", [None, "are you there?"], ids=["not asked", "asked"])
def test_what_somebody_else_added_is_not_taken_for_it(gateway: Gateway, asked: str | None) -> None:
    added = [{"role": "assistant", "content": "said by somebody else"}]
    gateway.provider.add_items(say(gateway, "hello").conversation_id, added)
    assert state(gateway, cut_off(gateway, asked=asked)) == (TurnState.RUNNING, True)


def test_a_turn_that_failed_before_it_left_nothing_and_does_not_stand_in_its_way(gateway: Gateway) -> None:
    say(gateway, "hello")
    with gateway.sessions.turn(ANN) as turn:
        turn.begin()
        turn.finish(TurnState.FAILED, error_code="provider_rejected")
    assert state(gateway, cut_off(gateway, asked="are you there?")) == (TurnState.COMPLETED, False)


def test_where_no_turn_before_is_known_nothing_is_guessed(gateway: Gateway) -> None:
    with gateway.sessions.turn(ANN) as turn:
        item = {"role": "assistant", "content": "said by somebody else"}
        turn.bind(gateway.provider.create_conversation(metadata={}, items=[item])["id"])
    assert state(gateway, cut_off(gateway)) == (TurnState.RUNNING, True)


def test_what_is_not_there_yet_may_still_come(gateway: Gateway) -> None:
    say(gateway, "hello")
    assert state(gateway, cut_off(gateway)) == (TurnState.RUNNING, True)
