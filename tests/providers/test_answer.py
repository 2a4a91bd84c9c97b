"""The reading of an answer, without a connection: held against the standard library, and where we differ, why."""

from __future__ import annotations

import io
from collections.abc import Iterable
from http.client import HTTPException, HTTPResponse
from typing import NamedTuple

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.providers.answer import AnswerParser, BrokenAnswerError

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


class Read(NamedTuple):
    """What was found. None in its place: no answer, or not all of one."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def read(pieces: Iterable[bytes], method: str = "POST") -> tuple[Read | None, AnswerParser]:
    """By our parser, from a connection that ends after these pieces."""
    answer, body = AnswerParser(method), b""
    try:
        for piece in [*pieces, b""]:
            if not answer.whole:
                answer.feed(piece)
                body += answer.take()
    except BrokenAnswerError:
        return None, answer
    headers = [(name, b" ".join(value.split())) for name, value in answer.headers]
    return Read(answer.status, headers, body), answer


def read_by_the_standard_library(said: bytes, method: str = "POST") -> tuple[Read | None, HTTPResponse]:
    class Connection:
        def makefile(self, mode: str) -> io.BytesIO:
            return io.BytesIO(said)

    answer = HTTPResponse(Connection(), method=method)
    try:
        answer.begin()
        body = answer.read()
    except (HTTPException, ValueError):
        return None, answer
    # It leaves in a header the line breaks of its folds, and the blanks at its end.
    headers = [(name.encode(), b" ".join(value.encode("latin-1").split())) for name, value in answer.getheaders()]
    return Read(answer.status, headers, body), answer


# --- Answers, as servers say them ---------------------------------------------------------------------------------


class Said(NamedTuple):
    head: bytes
    body: bytes
    method: str
    until_the_end: bool
    """Whether it ends with the connection."""


def cut(said: bytes, places: Iterable[int]) -> list[bytes]:
    ends = sorted({place % (len(said) + 1) for place in places} | {len(said)})
    return [said[start:end] for start, end in zip([0, *ends], ends, strict=False) if end > start]


def one_of(*values: bytes) -> st.SearchStrategy[bytes]:
    return st.sampled_from(values)


def odd_case(name: str) -> st.SearchStrategy[bytes]:
    return st.lists(st.booleans(), min_size=len(name), max_size=len(name)).map(
        lambda big: "".join(c.upper() if up else c.lower() for c, up in zip(name, big, strict=True)).encode()
    )


PLACES = st.lists(st.integers(0, 1000), max_size=6)
TOKENS = st.text("abcdefXYZ0189-_", min_size=1, max_size=8).map(str.encode)
WORDS = st.text("abc XYZ,;=\"'()/\xe9", max_size=12).map(lambda text: text.strip().encode("latin-1"))
BODIES = st.one_of(st.binary(max_size=80), one_of(b"", b"\r\n", b"0\r\n\r\n", OK + b"\r\n"))


@st.composite
def other_headers(draw: st.DrawFn) -> list[bytes]:
    lines = []
    for _ in range(draw(st.integers(0, 4))):
        value, blank = draw(WORDS), draw(one_of(b"", b" ", b"\t "))
        if more := draw(WORDS):
            value += draw(one_of(b" ", b" ", b"\r\n ", b"\r\n\t", b"\n  ")) + more
        lines.append(b"X-" + draw(TOKENS) + b":" + blank + value + blank)
    return lines


@st.composite
def chunks(draw: st.DrawFn, body: bytes) -> bytes:
    said = b""
    for piece in cut(body, draw(PLACES)):
        size = draw(one_of(b"%x", b"%X", b"0%x", b"%x ")) % len(piece)
        extension = draw(one_of(b"", b"", b";a", b";a=b", b';a="b c";d=e'))
        said += size + extension + b"\r\n" + piece + b"\r\n"
    trailers = b"".join(line + b"\r\n" for line in draw(other_headers()))
    return said + draw(one_of(b"0", b"000", b"0;a=b")) + b"\r\n" + trailers + b"\r\n"


@st.composite
def answers(draw: st.DrawFn, wrong_by: tuple[int, ...] = (0, 0, 0, 0, -1, 1)) -> Said:
    body, method = draw(BODIES), draw(st.sampled_from(["GET", "POST", "POST", "HEAD"]))
    status = draw(st.sampled_from([200, 200, 201, 204, 304, 400, 404, 429, 500, 999]))
    framing = draw(st.sampled_from(["length", "chunks", "chunks and a length", "identity and a length", "the end"]))
    bodiless = method == "HEAD" or status in (204, 304)
    assume(not (bodiless and "chunks" in framing))  # the standard library waits for chunks after a 204, too
    length = len(body) + draw(st.sampled_from(wrong_by))
    assume(length >= 0)
    lines = draw(other_headers())
    if "length" in framing:
        lines.append(draw(odd_case("Content-Length")) + b": %d" % length)
    if "chunks" in framing:
        lines.append(draw(odd_case("Transfer-Encoding")) + b": " + draw(odd_case("chunked")))
    if "identity" in framing:
        lines.append(draw(odd_case("Transfer-Encoding")) + b": identity")
    if connection := draw(one_of(b"", b"", b"close", b"Keep-Alive", b"x, close")):
        lines.append(draw(odd_case("Connection")) + b": " + connection)
    first = draw(one_of(b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0")) + b" %d" % status
    first += draw(one_of(b"", b" ", b" OK", b" Not so \xe9"))
    before = draw(one_of(b"", b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100\r\nX-A: b\r\n\r\n"))
    line_end = draw(one_of(b"\r\n", b"\r\n", b"\r\n", b"\n"))
    head = before + line_end.join([first, *draw(st.permutations(lines)), b"", b""])
    if "chunks" in framing:
        body = draw(chunks(body))
    return Said(head, b"" if bodiless else body, method, framing == "the end" and not bodiless)


# --- Held against the standard library -----------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(said=answers(), places=PLACES)
def test_an_answer_reads_as_it_does_by_the_standard_library(said: Said, places: list[int]) -> None:
    expected, theirs = read_by_the_standard_library(said.head + said.body, said.method)

    found, ours = read(cut(said.head + said.body, places), said.method)

    assert found == expected
    if ours.whole and ours.reusable:
        assert not theirs.will_close


@settings(max_examples=300, deadline=None)
@given(said=answers(wrong_by=(0,)), place=st.integers(0, 1000), places=PLACES)
def test_an_answer_that_is_cut_off_is_never_taken_for_a_whole_one(said: Said, place: int, places: list[int]) -> None:
    """The standard library takes the connection's end for the end of a head, too, and for that of the last chunk."""
    whole = said.head + said.body
    left = whole[: place % len(whole)]

    found, _ = read(cut(left, places), said.method)

    assert found is None or (said.until_the_end and len(left) >= len(said.head))


@pytest.mark.parametrize(
    "said",
    [
        # The library that reads for us knows no other way, and no provider says it: a blank before the colon is how
        # one header is passed off as another, and two lengths, be they equal, are two opinions of where it ends.
        OK + b"X-A : b\r\nContent-Length: 2\r\n\r\n{}",
        OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        OK + b"Content-Length: 2, 2\r\n\r\n{}",
        OK + b"Content-Length: -2\r\n\r\n{}",
        OK + b"Content-Length: two\r\n\r\n{}",
        OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n{}",
        CHUNKED + b"+2\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"2;\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_what_the_standard_library_makes_the_best_of_is_refused(said: bytes) -> None:
    assert read_by_the_standard_library(said)[0] is not None
    assert read([said])[0] is None


@pytest.mark.parametrize(
    "before",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n" * 3,
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
        b"HTTP/1.1 199 Odd\r\nContent-Length: 4\r\n\r\nodd.",
    ],
)
def test_what_is_said_before_the_answer_is_passed_over(before: bytes) -> None:
    """By the standard library only a 100 is."""
    found, _ = read([before + OK + b"Content-Length: 2\r\n\r\n{}"])

    assert found == Read(200, [(b"Content-Length", b"2")], b"{}")


# --- What the transport relies on ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "method", "reusable"),
    [
        (OK + b"Content-Length: 2\r\n\r\n{}", "POST", True),
        (OK + b"Content-Length: 2\r\n\r\n{}\r\n", "POST", True),  # an empty line is no part of the next answer
        (OK + b"Content-Length: 2\r\n\r\n{}!", "POST", False),
        ((OK + b"Content-Length: 2\r\n\r\n{}") * 2, "POST", False),
        (OK + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}", "POST", False),
        (OK + b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}!", "POST", False),
        (CHUNKED + b"0\r\n\r\n", "POST", True),
        (CHUNKED + b"0\r\n\r\n0", "POST", False),
        (CHUNKED + b"2", "HEAD", False),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n", "DELETE", True),
        (b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", "GET", True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n.", "GET", False),
    ],
)
def test_a_connection_is_reusable_if_nothing_came_but_a_whole_answer(said: bytes, method: str, reusable: bool) -> None:
    answer = AnswerParser(method)
    answer.feed(said)

    assert answer.whole
    assert answer.reusable is reusable
    assert answer.take() == (b"{}" if b"{}" in said else b"")


def test_what_came_together_is_given_on_together() -> None:
    answer = AnswerParser("POST")

    answer.feed(CHUNKED + b"3\r\none\r\n5\r\n, two\r\n7\r\n, th")
    assert (answer.take(), answer.take()) == (b"one, two, th", b"")
    answer.feed(b"ree\r\n0\r\n\r\n")
    assert (answer.take(), answer.whole) == (b"ree", True)


def test_words_that_came_before_an_error_are_given_on_before_it() -> None:
    answer = AnswerParser("POST")
    answer.feed(CHUNKED + b"5\r\nwords\r\nnonsense\r\n")

    assert answer.take() == b"words"
    with pytest.raises(BrokenAnswerError):
        answer.take()


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (OK + b"X-A: ", b"b" * 1000),
        (OK, b"X-A: b\r\n" * 100),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 40),
        (b"HTTP/1.1 199 Odd\r\nContent-Length: 999999999\r\n\r\n", b"odd." * 250),
        (CHUNKED, b"0" * 1000),
        (CHUNKED + b"0;a=", b"b" * 1000),
        (CHUNKED + b"0\r\n", b"X-A: b\r\n" * 100),
    ],
    ids=["header", "headers", "100s", "body before it", "size of a chunk", "extension", "trailers"],
)
def test_what_never_comes_to_its_end_is_refused(start: bytes, more: bytes) -> None:
    answer = AnswerParser("POST")

    def go_on() -> None:
        for piece in [start + more, *[more] * 100]:
            answer.feed(piece)

    with pytest.raises(BrokenAnswerError):
        go_on()


def test_a_body_may_be_as_long_as_it_likes() -> None:
    answer, said = AnswerParser("POST"), 0
    answer.feed(CHUNKED)
    for _ in range(1000):
        answer.feed(b"3e8\r\n" + b"a" * 1000 + b"\r\n")
        said += len(answer.take())

    assert said == 1_000_000
