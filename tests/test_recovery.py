"""What became of a turn that was cut off: found out, never guessed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.assembly import assemble
from gateway.config import Settings
from gateway.model import Reply, SessionKey, TurnRecord, TurnRequest, TurnState
from gateway.sessions import open_sessions
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
    assert state(gateway, turn_id) == (TurnState.LOST, False)


@pytest.mark.parametrize("asked", [None, "are you there?"], ids=["not asked", "asked"])
def test_the_words_of_a_turn_in_doubt_before_it_are_not_taken_for_it(gateway: Gateway, asked: str | None) -> None:
    say(gateway, "hello")
    cut_off(gateway, asked="who is there?")
    assert state(gateway, cut_off(gateway, asked=asked)) == (TurnState.LOST, False)


@pytest.mark.parametrize("asked", [None, "are you there?"], ids=["not asked", "asked"])
def test_what_somebody_else_added_is_not_taken_for_it(gateway: Gateway, asked: str | None) -> None:
    added = [{"role": "assistant", "content": "said by somebody else"}]
    gateway.provider.add_items(say(gateway, "hello").conversation_id, added)
    assert state(gateway, cut_off(gateway, asked=asked)) == (TurnState.LOST, False)


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
    assert state(gateway, cut_off(gateway)) == (TurnState.LOST, False)


def test_what_is_not_there_yet_may_still_come(gateway: Gateway) -> None:
    say(gateway, "hello")
    assert state(gateway, cut_off(gateway)) == (TurnState.RUNNING, True)


# --- For one who only reads ----------------------------------------------------------------------------------


class Looks:
    """The provider's calls, counted."""

    def __init__(self, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
        self.number = 0
        provider = gateway.provider
        for name in ("list_items", "retrieve_response", "retrieve_item"):
            monkeypatch.setattr(provider, name, self._counted(getattr(provider, name)))

    def _counted(self, call: Any) -> Any:
        def counted(*args: Any, **options: Any) -> Any:
            self.number += 1
            return call(*args, **options)

        return counted


def glance(gateway: Gateway, turn_id: str) -> TurnRecord:
    record = gateway.sessions.turn_record(ANN, turn_id)
    assert record is not None
    return gateway.settler.glance(record).record


def test_who_reads_takes_no_turn_of_the_sessions(gateway: Gateway) -> None:
    say(gateway, "hello")
    turn_id = cut_off(gateway, asked="are you there?")
    with gateway.sessions.turn(ANN):
        assert glance(gateway, turn_id).state is TurnState.COMPLETED
    record = gateway.sessions.turn_record(ANN, turn_id)
    assert record is not None
    assert (record.state, record.in_doubt) == (TurnState.COMPLETED, False)


def test_what_cannot_be_told_is_asked_for_once_and_once_more_when_it_must_be_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_800_000_000.0
    sessions = open_sessions("memory:", clock=lambda: now)
    settings = Settings.from_env({"GATEWAY_LOCAL_DB": f"{tmp_path}/provider.db"})
    gateway = assemble(settings, sessions=sessions)
    try:
        say(gateway, "hello")
        turn_id = cut_off(gateway)
        looks = Looks(gateway, monkeypatch)
        for _ in range(10):
            assert glance(gateway, turn_id).state is TurnState.RUNNING
        first = looks.number
        assert first > 0
        glance(gateway, turn_id)
        assert looks.number == first
        now += settings.provider_timeout_seconds + 1
        for _ in range(10):
            assert glance(gateway, turn_id).state is TurnState.FAILED
        assert looks.number == 2 * first
    finally:
        gateway.close()


def test_what_can_never_be_told_is_lost_once(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    say(gateway, "hello")
    turn_id = cut_off(gateway)
    say(gateway, "are you there?")
    looks = Looks(gateway, monkeypatch)
    for _ in range(10):
        assert glance(gateway, turn_id).state is TurnState.LOST
    assert looks.number == 0
    record = gateway.sessions.turn_record(ANN, turn_id)
    assert record is not None
    assert (record.state, record.error_code) == (TurnState.LOST, "turn_lost")
    assert record.finished_at is not None


def test_a_turn_that_begins_while_somebody_looks_is_not_taken_for_the_one_before(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(gateway, "hello")
    turn_id = cut_off(gateway)
    list_items = gateway.provider.list_items

    def meanwhile(*args: Any, **options: Any) -> Any:
        monkeypatch.undo()
        say(gateway, "are you there?")
        return list_items(*args, **options)

    monkeypatch.setattr(gateway.provider, "list_items", meanwhile)
    assert glance(gateway, turn_id).state is TurnState.LOST
