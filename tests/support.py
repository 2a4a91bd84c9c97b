"""Helpers that any test may use."""

import os
from typing import NoReturn

import pytest

from gateway.testing.waiting import eventually

__all__ = ["NOT_TESTED", "eventually", "not_tested"]

NOT_TESTED = "NOT TESTED: "


def not_tested(what: str, install: str) -> NoReturn:
    """End the test because `what` is not on this machine: on CI a failure, else a skip that the run's end repeats."""
    message = f"{NOT_TESTED}{what}, install with: {install}"
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)
