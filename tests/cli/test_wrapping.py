"""Lines of words that are still arriving, held against what the whole text must look like."""

import random
from collections.abc import Iterator
from itertools import pairwise

import pytest
from rich.cells import cell_len

from gateway.cli.words import printable
from gateway.cli.wrapping import Lines


def shown(pieces: list[str], width: int) -> list[str]:
    """Each piece's part of what is shown, and at last what was held back."""
    lines = Lines(lambda: width)
    return [*map(lines.take, pieces), lines.rest()]


def cut(text: str) -> Iterator[list[str]]:
    """The text in one piece, letter by letter, and cut anywhere."""
    yield [text]
    yield list(text)
    dice = random.Random(5)
    for _ in range(20):
        places = sorted(dice.sample(range(1, len(text)), min(len(text) - 1, dice.randint(1, 9))))
        yield [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one two three", ["one two", "three"]),
        ("12345 7890", ["12345 7890"]),
        ("12345 78901", ["12345", "78901"]),
        ("1234567890 a", ["1234567890", "a"]),
        ("a  b   c     d", ["a  b   c", "d"]),
        ("one\ntwo\n\nthree", ["one", "two", "", "three"]),
        ("one   \ntwo", ["one", "two"]),
        ("one two   \nthree", ["one two", "three"]),
        ("    kept so", ["    kept", "so"]),
        ("    indented so", ["indented", "so"]),
        ("if so:\n    that\n\ttb", ["if so:", "    that", "\ttb"]),
        ("a\tb c", ["a\tb", "c"]),
        # As wide as their cells: two of each of these.
        ("日本 日本語 日", ["日本", "日本語 日"]),
        ("ab 🙂🙂🙂 c", ["ab 🙂🙂🙂", "c"]),
        ("abc 🙂🙂🙂🙂", ["abc", "🙂🙂🙂🙂"]),
        ("ee\u0301e\u0301e e\u0301e\u0301e\u0301e\u0301e", ["ee\u0301e\u0301e e\u0301e\u0301e\u0301e\u0301e"]),
        # Spaces that do not break.
        ("about 10\u00a0%", ["about 10\u00a0%"]),
        ("about 100\u00a0%", ["about", "100\u00a0%"]),
        # Wider than a line: on a line of its own, which the terminal breaks.
        ("see http://a.example/ of", ["see", "http://a.example/ of"]),
        ("see http://a.example/b of", ["see", "http://a.example/b", "of"]),
        ("http://a.example/b often", ["http://a.example/b", "often"]),
        ("日本語日本語日本 日", ["日本語日本語日本 日"]),
        ("日本語日本語日本語 日", ["日本語日本語日本語", "日"]),
    ],
)
def test_lines_are_broken_between_words_however_the_text_comes(text: str, lines: list[str]) -> None:
    for pieces in cut(text):
        assert "".join(shown(pieces, 10)).split("\n") == lines, pieces


def test_no_line_is_wider_than_the_terminal_and_no_word_is_broken() -> None:
    dice = random.Random(7)
    letters = "abcdefgh日本🙂é"
    for width in (12, 13, 40, 80):
        words = ["".join(dice.choices(letters, k=dice.randint(1, 6))) for _ in range(300)]
        for pieces in cut(" ".join(words)):
            lines = "".join(shown(pieces, width)).split("\n")
            assert " ".join(lines).split() == words
            assert max(map(cell_len, lines)) <= width
            # Each line's first word would not have fitted on the line before it.
            for line, after in pairwise(lines):
                assert cell_len(f"{line} {after.split()[0]}") > width


def test_words_are_shown_as_soon_as_they_are_known_to_fit() -> None:
    # Of a line's first word every letter at once; of any other when it has ended, or cannot fit any more.
    assert shown(["He", "llo", " wor", "ld", " and", "more", "over"], 12) == [
        "He",
        "llo",
        "",
        "",
        " world\nand",
        "more",
        "over",
        "",
    ]
    # A language without blanks does not wait for them.
    assert shown(["这是", "一个", "很长", "的句", "子"], 10) == ["这是", "一个", "很长", "的句", "子", ""]


def test_a_terminal_that_changes_its_width_is_asked_again() -> None:
    width = 20
    lines = Lines(lambda: width)
    said = lines.take("one two three four ")
    width = 10
    said += lines.take("five six seven") + lines.rest()
    assert said.split("\n") == ["one two three four", "five six", "seven"]


def test_one_endless_word_is_no_work_without_end() -> None:
    assert len("".join(shown(["ab"] * 50_000 + [" c"], 80))) == 100_002


def test_only_what_would_command_the_terminal_is_left_out() -> None:
    assert printable("a\x1b[2Jb\r\n\tc\u00a0d\u3000e\u202ef\x07\u200d") == "a[2Jb\n\tc\u00a0d\u3000ef\u200d"
