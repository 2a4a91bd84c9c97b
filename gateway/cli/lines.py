"""gateway export and import: the sessions as JSON lines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from gateway.cli.common import configured_store, counted, read_settings, say, store_option
from gateway.cli.outcome import tell_left_out, tell_outcome

if TYPE_CHECKING:
    from gateway.model import Session


@click.command()
@store_option
def export(store: str | None) -> None:
    """Write every session to stdout, one JSON object a line.

    What is written is which conversation a session is bound to, and what is kept with it: never a word of the
    conversation itself. Sessions that are being erased are left out, and those whose data no key here opens.

    Example: gateway export > sessions.jsonl
    """
    from gateway.cli.json_lines import encode_line
    from gateway.sessions import Filter
    from gateway.sessions.transfer import BATCH, Tally, movable

    with configured_store(read_settings(GATEWAY_STORE=store)) as sessions:
        output = sys.stdout.buffer
        tally, number = Tally(), 0
        for session in movable(sessions.walk(Filter(), page=BATCH), tally):
            output.write(encode_line(session))
            number += 1
        # Before the store is closed: a reader who left is noticed here, and not while Python ends.
        output.flush()
    if sys.stderr.isatty() and not sys.stdout.isatty():
        say(f"{counted(number)} written.")
    if not tell_left_out(tally):
        sys.exit(1)


@click.command("import")
@store_option
@click.option("--force", is_flag=True, help="Overwrite sessions that are bound to another conversation, or differ.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
def import_(store: str | None, force: bool, dry_run: bool) -> None:
    """Read sessions from stdin, one JSON object a line, as `gateway export` writes them.

    It can be run again: what is there already is left as it is. The first line that is no whole session ends it; what
    came before it is imported.

    Example: gateway import --store sqlite:///sessions.db < sessions.jsonl
    """
    from gateway.cli.json_lines import LineError, parse_lines
    from gateway.sessions.transfer import transfer

    stopped: LineError | None = None

    def readable() -> Iterator[Session]:
        nonlocal stopped
        try:
            yield from parse_lines(sys.stdin.buffer)
        except LineError as exc:
            stopped = exc

    with configured_store(read_settings(GATEWAY_STORE=store)) as sessions:
        tally = transfer(readable(), sessions, replace=force, dry_run=dry_run)
    well = tell_outcome(tally, done="would be imported" if dry_run else "imported")
    if stopped is not None:
        raise click.ClickException(f"{stopped}. Nothing from there on was read.")
    if not well:
        sys.exit(1)
