"""What a transfer came to, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from gateway.cli.common import counted, say, shown_key

if TYPE_CHECKING:
    from gateway.model import SessionKey
    from gateway.sessions.transfer import Tally


def tell_outcome(tally: Tally, *, done: str) -> bool:
    """Says what was done on stdout and what was not on stderr; False when something stands in the way."""
    parts = [f"{counted(tally.made + tally.updated)} {done}"]
    if tally.updated:
        parts.append(f"{tally.updated:,} of them over an older state")
    if tally.same:
        parts.append(f"{tally.same:,} there already")
    click.echo(", ".join(parts) + ".")
    whole = tell_left_out(tally)
    if tally.refused:
        say(f"{counted(tally.refused)} refused, another mapping is there (--force overwrites it):")
        name_keys(tally.refused_keys, tally.refused)
    return whole and not tally.refused


def tell_left_out(tally: Tally) -> bool:
    """Says on stderr what did not move, and why; False when that is more than what is being erased."""
    if tally.erasing:
        say(
            f"{counted(tally.erasing)} left out, being erased: let the gateway finish that where they are, "
            "or run `gateway sessions erase` there."
        )
    if tally.unreadable:
        say(
            f"{counted(tally.unreadable)} left out: damaged, or encrypted with a key that is not here "
            "(GATEWAY_ENCRYPTION_KEY)."
        )
    if tally.unusable:
        say(f"{counted(tally.unusable)} left out: no client could name them (see the README for what an id may be).")
    return not tally.unreadable and not tally.unusable


def name_keys(keys: Sequence[SessionKey], number: int) -> None:
    for key in keys:
        say(f"  {shown_key(key)}")
    if number > len(keys):
        say(f"  … and {number - len(keys):,} more")
