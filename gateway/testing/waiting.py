"""Time in the contract: waiting for what must come, and a clock that tests set forward."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_SECONDS = 30.0
"""How long anything may take that must happen: a deadline on a busy machine, not a promise of speed."""


def eventually(predicate: Callable[[], T | None], seconds: float = PATIENCE_SECONDS, *, every: float = 0.01) -> T:
    """Waits until `predicate` returns something true and returns it; an AssertionError when `seconds` have passed.

    An AssertionError of the predicate means "not yet"; any other exception is its own defect and passed on at once.
    """
    deadline = time.monotonic() + seconds
    while True:
        cause: AssertionError | None = None
        try:
            value = predicate()
        except AssertionError as exc:
            cause = exc
        else:
            if value:
                return value
        if time.monotonic() >= deadline:
            seen = cause if cause is not None else f"still {value!r}"
            raise AssertionError(f"not within {seconds} s: {seen}") from cause
        time.sleep(every)


def outlast(seconds: float) -> None:
    """Returns when `seconds` have passed on every clock that matters: for what must still hold after a lease."""
    ends = time.monotonic() + seconds
    eventually(lambda: time.monotonic() >= ends, seconds + PATIENCE_SECONDS)


class Clock:
    """Stands in for `time.time` where a test needs days to pass."""

    def __init__(self) -> None:
        self.seconds = float(int(time.time()))

    def __call__(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
