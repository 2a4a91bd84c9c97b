"""Server-sent events, however their bytes come."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai._streaming import SSEDecoder

from gateway.sse import ServerEvent, UnreadableStreamError, parse_events


def pieces(said: bytes, size: int) -> list[bytes]:
    return [said[start : start + size] for start in range(0, len(said), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize(
    ("said", "events"),
    [
        # The examples of the standard.
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", [("", b"YHOO\n+2\n10", "")]),
        (
            b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
            [("", b"first event", "1"), ("", b"second event", ""), ("", b" third event", "")],
        ),
        (b"data\n\ndata\ndata\n\ndata:", [("", b"", ""), ("", b"\n", "")]),
        (b"data:test\n\ndata: test\n\n", [("", b"test", "")] * 2),
        # And what it says beside them.
        (b"event: one\ndata: {}\n\nevent: two\ndata: {}\n\n", [("one", b"{}", ""), ("two", b"{}", "")]),
        (b"event: one\ndata: 1\ndata: 2\n\n", [("one", b"1\n2", "")]),
        (b"data: {}\nevent: late\n\n", [("late", b"{}", "")]),
        (b"event:  a: b\ndata: c: d\n\n", [(" a: b", b"c: d", "")]),
        (b"id: 7\nevent: one\ndata: 1\n\nevent: two\ndata: 2\n\n", [("one", b"1", "7"), ("two", b"2", "7")]),
        (b"id: 7\n\nid: 8\0\ndata: 1\n\n", [("", b"1", "7")]),
        (b"event: nothing\n\nretry: 10\nrubbish\ndata: 1\nDATA: 2\n\n", [("", b"1", "")]),
        (b"\n\n\ndata: 1\n\n\n\ndata: 2\n\n", [("", b"1", ""), ("", b"2", "")]),
        (b"event: whole\ndata: 1\n\nevent: cut off\ndata: 2\n", [("whole", b"1", "")]),
        (b"\xef\xbb\xbfevent: one\ndata: \xef\xbb\xbf\n\n", [("one", b"\xef\xbb\xbf", "")]),
        (b"data: 1\n\n\xef\xbb\xbfdata: 2\n\n", [("", b"1", "")]),
        (b"event: caf\xc3\xa9\ndata: \xff\n\n", [("caf\N{LATIN SMALL LETTER E WITH ACUTE}", b"\xff", "")]),
        (b"data: [DONE]\n\n", [("", b"[DONE]", "")]),  # what it means is for others to know
    ],
)
def test_events_are_read_as_the_standard_has_them(
    said: bytes, events: list[tuple[str, bytes, str]], line_end: bytes, size: int
) -> None:
    chunks = [chunk for piece in pieces(said.replace(b"\n", line_end), size) for chunk in (piece, b"")]

    assert list(parse_events(chunks)) == events


def test_a_line_feed_belongs_to_the_return_that_it_follows_at_once() -> None:
    events = parse_events([b"data: 1\r", b"\ndata: 2\r", b"data: 3", b"\n", b"\n"])

    assert [event.data for event in events] == [b"1\n2\n3"]


LINES = st.one_of(
    st.sampled_from([b": comment", b"", b"retry: 5", b"event: a", b"event:b", b"id: 1", b"id:\0", b"no colon"]),
    st.text("ab:\N{EURO SIGN} ", min_size=1, max_size=9).map(lambda text: b"data:x" + text.encode()),
)


@settings(max_examples=200, deadline=None)
@given(
    lines=st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r\n", b"\r", b"\n\n", b"\r\n\r\n"])), max_size=20),
    places=st.lists(st.integers(0, 200), max_size=8).map(sorted),
)
def test_events_read_as_they_do_by_the_openai_sdk(lines: list[tuple[bytes, bytes]], places: list[int]) -> None:
    said = b"".join(line + end for line, end in lines)
    chunks = [said[start:end] for start, end in zip([0, *places], [*places, len(said)], strict=True)]

    found = [(event.type, event.data.decode(), event.id) for event in parse_events(chunks)]

    # It gives those without data, too.
    theirs = [event for event in SSEDecoder().iter_bytes(iter([said])) if event.data]
    assert found == [(event.event or "", event.data, event.id or "") for event in theirs]


def test_an_event_is_given_with_the_chunk_that_ends_it() -> None:
    given: list[bytes] = []

    def chunks() -> Iterator[bytes]:
        for chunk in [b"data: 1\n\nda", b"ta: 2\r", b"\n\r", b"\ndata: 3\n\n"]:
            given.append(chunk)
            yield chunk

    assert [(event.data, len(given)) for event in parse_events(chunks())] == [(b"1", 1), (b"2", 3), (b"3", 4)]


@pytest.mark.parametrize("field", [b"event: ", b"event:", b"id: "])
def test_a_name_that_cannot_be_read_is_an_error_after_the_events_before_it(field: bytes) -> None:
    events = parse_events([b"data: 1\n\n" + field + b"caf\xe9\ndata: 2\n\n"])

    assert next(events) == ServerEvent("", b"1", "")
    with pytest.raises(UnreadableStreamError) as caught:
        next(events)
    assert isinstance(caught.value.__cause__, UnicodeDecodeError)


@pytest.mark.parametrize(
    ("chunks", "events"),
    [
        (pieces(b"event: image\ndata: " + b"A" * 8_000_000 + b"\n\n", 100), 1),
        (pieces(b"data: A\n" * 1_000_000 + b"\n", 1400), 1),
        (pieces(b"data: A\r\n" * 1_000_000 + b"\r\n", 1400), 1),
        ([b"event: delta\ndata: A\n\n" * 300_000], 300_000),
    ],
    ids=["a large event", "one of many lines", "one of many CRLFs", "many in one chunk"],
)
def test_reading_takes_as_long_as_there_are_bytes(chunks: Iterable[bytes], events: int) -> None:
    started = time.thread_time()

    assert sum(1 for _ in parse_events(chunks)) == events
    # Some tenths of a second, and minutes if all that has come were copied or searched again with each chunk or event.
    assert time.thread_time() - started < 10.0
