"""The reader that never hangs up: the turn goes to its end at its own pace, whatever the client does."""

import itertools
import threading
from collections.abc import Iterator

import pytest

from gateway.errors import ProviderError
from gateway.model import Delta, TurnEvent
from gateway.reader import Readers, Reading
from tests.support import eventually


def words(number: int) -> Iterator[TurnEvent]:
    return (Delta(f"{word} ") for word in range(number))


def heard(reading: Reading) -> str:
    text = ""
    while (events := reading.take()) is not None:
        text += "".join(event.text for event in events if isinstance(event, Delta))
    return text


def test_a_slow_client_gets_every_word_out_of_bounded_memory() -> None:
    reading = Reading(words(10_000))
    reading.run()
    events = reading.take()
    assert events is not None
    assert len(events) <= 65
    assert "".join(event.text for event in events if isinstance(event, Delta)) == "".join(
        f"{word} " for word in range(10_000)
    )
    assert reading.take() is None


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
