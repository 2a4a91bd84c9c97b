"""Lines of a text at the terminal's width, broken between words, also while its words are still arriving."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable


def wrapped(text: str) -> str:
    """The whole of a text in lines for the terminal; as it is where there is none."""
    if not sys.stdout.isatty():
        return text
    lines = Lines(terminal_width)
    return lines.take(text) + lines.rest()


def terminal_width() -> int:
    """The terminal's own, by now: COLUMNS in the environment may be another one's, and is for one that tells none."""
    return os.get_terminal_size(sys.stdout.fileno()).columns or shutil.get_terminal_size().columns


class Lines:
    """Breaks a text that comes in pieces, which may end anywhere, into lines of at most `width` cells, between words.

    A word behind blanks is held back until it is known to fit with them. One at the beginning of a line is not, and
    where it is wider than the line the terminal breaks it.
    """

    def __init__(self, width: Callable[[], int]) -> None:
        self._width = width
        self._line = ""
        """What is shown of the line by now."""
        self._held = ""
        """Blanks, and the beginning of the word behind them."""

    def take(self, piece: str) -> str:
        """What can be shown by now."""
        return "".join(map(self._add, _PARTS.findall(piece)))

    def rest(self) -> str:
        """What is held back at the end of a line. Blanks there might only begin another."""
        held = self._held if self._held.strip(_BLANKS) else ""
        self._line = self._held = ""
        return held

    def _add(self, part: str) -> str:
        if part == "\n":
            return self.rest() + part
        if part[0] in _BLANKS:
            shown, self._held = (self._held, part) if self._held.strip(_BLANKS) else ("", self._held + part)
            self._line += shown
            return shown
        word, broken = self._held + part, ""
        if self._held:
            if _cells(self._line + word) <= self._width():
                self._held = word
                return ""
            word, broken = word.lstrip(_BLANKS), "\n" if self._line else ""
            self._line = self._held = ""
        self._line = _last_row(self._line + word, self._width())
        return broken + word


_BLANKS = " \t"
_PARTS = re.compile(r"\n|[ \t]+|[^ \t\n]+")


def _cells(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text.expandtabs())


def _last_row(text: str, width: int) -> str:
    """What stands on the last row of a line that the terminal breaks."""
    from rich.cells import chop_cells

    return text if _cells(text) <= width else chop_cells(text, width)[-1]
