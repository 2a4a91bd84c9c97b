"""gateway copy: every session of one store into another."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.common import INTERRUPTED, audited, console, counted, open_audit, read_settings, say
from gateway.cli.outcome import name_keys, tell_outcome
from gateway.parsing import shown_url

if TYPE_CHECKING:
    from gateway.sessions import SessionManager
    from gateway.sessions.transfer import Comparison, Tally


@click.command()
@click.argument("from_store", metavar="FROM")
@click.argument("to_store", metavar="TO")
@click.option("--from-prefix", metavar="NAME", help="GATEWAY_STORE_PREFIX on FROM's side.  [the configured one]")
@click.option("--to-prefix", metavar="NAME", help="GATEWAY_STORE_PREFIX on TO's side.  [the configured one]")
@click.option("--force", is_flag=True, help="Overwrite sessions that are bound to another conversation, or differ.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
def copy(
    from_store: str, to_store: str, from_prefix: str | None, to_prefix: str | None, force: bool, dry_run: bool
) -> None:
    """Copy every session from one store to another, and compare both sides at the end.

    FROM and TO are store URLs as in GATEWAY_STORE; FROM may be a sessions.json of the original, too. It can be stopped
    at any time and run again: what is there already is left as it is, and a session that was used since is brought up
    to date. A session that TO binds to another conversation is refused, unless --force is given.

    Turn records stay behind: the provider's stored responses of earlier turns are erased from where they were made.

    Example: gateway copy json:sessions.json redis://127.0.0.1:6379/0
    """
    settings = read_settings()
    open_audit(settings)
    source_prefix, target_prefix = from_prefix or settings.store_prefix, to_prefix or settings.store_prefix
    if (from_store, source_prefix) == (to_store, target_prefix):
        raise click.UsageError("FROM and TO are the same store.")
    _must_exist(from_store)
    from gateway.sessions import open_sessions

    with (
        open_sessions(from_store, prefix=source_prefix, encryption_keys=settings.encryption_keys) as source,
        open_sessions(to_store, prefix=target_prefix, encryption_keys=settings.encryption_keys) as target,
    ):
        if not source.shared or not target.shared:
            raise click.UsageError("memory: lives inside a gateway's process alone, and cannot be copied.")
        say(f"From {shown_url(from_store)} to {shown_url(to_store)}.")
        say("A session that a running gateway binds or changes in FROM from now on may be missed: run this again then.")
        well = _copied(source, target, force=force, dry_run=dry_run)
        if not dry_run:
            audited("store_copied", source=shown_url(from_store), made=shown_url(to_store))
            from gateway.sessions.transfer import compare

            well = _tell_comparison(compare(source, target)) and well
    if not well:
        sys.exit(1)


def _copied(source: SessionManager, target: SessionManager, *, force: bool, dry_run: bool) -> bool:
    from gateway.sessions import Filter
    from gateway.sessions.transfer import BATCH, Tally, transfer

    latest = Tally()

    with _progress(source) as show:

        def told(tally: Tally) -> None:
            nonlocal latest
            latest = tally
            show(tally)

        try:
            transfer(source.walk(Filter(), page=BATCH), target, replace=force, dry_run=dry_run, told=told)
        except KeyboardInterrupt:
            done = latest.made + latest.updated
            say(f"\nStopped after {counted(done)}. Run the same command again to go on.")
            sys.exit(INTERRUPTED)
    return tell_outcome(latest, done="would be copied" if dry_run else "copied")


def _tell_comparison(comparison: Comparison) -> bool:
    from gateway.sessions.transfer import NAMED

    beyond = f" TO has {counted(comparison.beyond)} more." if comparison.beyond else ""
    if comparison.equal:
        click.echo(f"Compared: {counted(comparison.same)} the same on both sides.{beyond}")
        return True
    for keys, what in ((comparison.missing, "missing in TO"), (comparison.different, "different in TO")):
        if keys:
            say(f"{counted(len(keys))} {what}:")
            name_keys(keys[:NAMED], len(keys))
    say(f"Both sides differ: {counted(comparison.same)} the same.{beyond}")
    return False


@contextmanager
def _progress(source: SessionManager) -> Iterator[Callable[[Tally], None]]:
    """A bar with a rate, on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda tally: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from gateway.sessions import Filter

    total = sum(1 for _ in source.walk(Filter()))
    columns = (TextColumn("copying"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total, rate="")

        def show(tally: Tally) -> None:
            speed = progress.tasks[0].finished_speed or progress.tasks[0].speed
            progress.update(task, completed=tally.seen, rate=f"{speed:,.0f}/s" if speed else "")

        yield show


def _must_exist(url: str) -> None:
    """A mistyped file is not an empty store. Only files: a server's tables are made on first use."""
    scheme, _, rest = url.partition(":")
    name = {"json": rest, "sqlite": rest.removeprefix("///").partition("?")[0]}.get(scheme.lower())
    if name and not Path(name).expanduser().exists():
        raise click.ClickException(f"FROM: there is no file {name}.")
