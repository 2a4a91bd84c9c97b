"""The reader that never hangs up: the turn goes to its end at its own pace, whatever the client does."""

import itertools
import threading
import tracemalloc
from collections.abc import Iterator

import pytest

from gateway.errors import ProviderError, QueueFullError, StreamGoneError
from gateway.events import Delta, StreamEvent, TurnEvent
from gateway.turn import worker
from gateway.turn.worker import MOST_BEHIND, Readers, Reading
from tests.harness.support import eventually


def words(number: int) -> Iterator[TurnEvent]:
    return (Delta(f"{word} ") for word in range(number))


def heard(reading: Reading) -> str:
    text = ""
    while (events := reading.take()) is not None:
        text += "".join(event.text for event in events if isinstance(event, Delta))
    return text


def test_a_slow_client_gets_every_word_a_piece_at_a_time() -> None:
    reading = Reading(words(4_000))
    reading.run()
    pieces = list(iter(reading.take, None))
    assert len(pieces) > 10
    said = "".join(event.text for piece in pieces for event in piece if isinstance(event, Delta))
    assert said == "".join(f"{word} " for word in range(4_000))


@pytest.mark.parametrize("event", [Delta("word"), Delta("word" * 10_000), StreamEvent("x", b"{}" * 10_000)])
def test_one_who_is_too_far_behind_is_told_so_and_costs_no_more(
    event: TurnEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "PATIENCE_SECONDS", 0.01)
    ended = []

    def events() -> Iterator[TurnEvent]:
        for _ in range(20_000):
            yield event
        ended.append(True)

    reading = Reading(events())
    tracemalloc.start()
    reading.run()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert ended == [True]  # the turn went on
    assert most < 2 * MOST_BEHIND
    with pytest.raises(StreamGoneError):
        reading.take()


@pytest.mark.slow
def test_one_who_reads_is_waited_for() -> None:
    """Whatever it is that makes it slow: here nobody reads before all of it could have come."""
    reading = Readers().start(Delta("x" * 1000) for _ in range(20_000))
    eventually(lambda: reading._behind > MOST_BEHIND)
    assert len(heard(reading)) == 20_000_000


def test_one_event_may_be_as_long_as_it_is() -> None:
    reading = Reading(iter([Delta("x" * 2 * MOST_BEHIND)]))
    reading.run()
    assert len(heard(reading)) == 2 * MOST_BEHIND


def test_a_thread_that_cannot_be_started_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    readers = Readers()
    monkeypatch.setattr("_thread.start_new_thread", no_thread)
    with pytest.raises(QueueFullError):
        readers.start(words(1))
    assert readers.drain(0)


def test_a_turn_goes_on_when_its_client_has_left() -> None:
    left, ended = threading.Event(), threading.Event()

    def events() -> Iterator[TurnEvent]:
        yield Delta("first")
        left.wait(10)
        yield from words(100)
        ended.set()

    reading = Readers().start(events())
    assert reading.take() == [Delta("first")]
    reading.desert()
    left.set()
    assert ended.wait(10)
    assert eventually(lambda: reading.take(0) is None)


def test_the_turns_error_comes_after_its_words() -> None:
    def events() -> Iterator[TurnEvent]:
        yield Delta("first")
        raise ProviderError()

    reading = Readers().start(events())
    assert reading.take() == [Delta("first")]
    with pytest.raises(ProviderError):
        heard(reading)


def test_one_who_waits_in_vain_is_told_so() -> None:
    reading = Reading(iter(()))
    assert reading.take(0.01) == []


def test_a_stop_waits_for_every_turn() -> None:
    readers, go = Readers(), threading.Event()

    def events() -> Iterator[TurnEvent]:
        go.wait(10)
        yield Delta("late")

    readings = [readers.start(events()) for _ in range(3)]
    assert not readers.drain(0.01)
    go.set()
    assert readers.drain(10)
    assert [heard(reading) for reading in readings] == ["late"] * 3


def test_a_reader_on_another_thread_misses_nothing() -> None:
    numbers = itertools.count()
    reading = Readers().start(Delta(f"{next(numbers)} ") for _ in range(5_000))
    assert heard(reading) == "".join(f"{number} " for number in range(5_000))
