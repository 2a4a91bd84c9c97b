"""Helpers that any test may use."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from gateway.testing.waiting import eventually

__all__ = ["NOT_TESTED", "eventually", "not_tested", "run_script"]

NOT_TESTED = "NOT TESTED: "


def not_tested(what: str, install: str) -> NoReturn:
    """End the test because `what` is not on this machine: on CI a failure, else a skip that the run's end repeats."""
    message = f"{NOT_TESTED}{what}, install with: {install}"
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def run_script(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs Python code in a process that has nothing of this one's, in `folder`."""
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
