"""Ages on the command line: `90`, `30m`, `12h`, `30d`."""

from __future__ import annotations

from typing import Any

import click

from gateway.parsing import parse_duration


class Age(click.ParamType[float]):
    """Seconds, in the words of the settings."""

    name = "AGE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return parse_duration(str(value))
        except ValueError as exc:
            self.fail(f"{value!r} is not {exc}", param, ctx)


AGE = Age()


def moment_before(now: int, seconds: float) -> int:
    """Epoch milliseconds of `seconds` ago."""
    return now - round(seconds * 1000)
