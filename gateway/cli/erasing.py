"""gateway sessions erase and purge: at the provider, and then here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from gateway.cli.advice import describe_provider
from gateway.cli.common import (
    AGE,
    STATUSES,
    SessionId,
    ask,
    audited,
    configured_store,
    counted,
    json_option,
    moment_before,
    open_audit,
    read_settings,
    say,
    shown_key,
    shown_time,
    store_option,
    tenant_option,
    yes_option,
)
from gateway.model import SessionKey, Status

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.lifecycle.erasures import Eraser, Receipt, Unfinished


@click.command()
@click.argument("session_ids", metavar="ID…", nargs=-1, required=True, type=SessionId())
@store_option
@tenant_option
@yes_option
@json_option
def erase(session_ids: tuple[str, ...], store: str | None, tenant: str, yes: bool, as_json: bool) -> None:
    """Erase sessions: what they said at the provider, its stored responses, and then the session itself.

    With --json each receipt is a line. What the provider keeps from being finished stays `erasing` and takes no
    turns; a running gateway goes on with it, and so does the same command.

    Example: gateway sessions erase user_alice_session
    """
    from gateway.errors import SessionNotFoundError

    settings = read_settings(GATEWAY_STORE=store)
    open_audit(settings)
    tell_where(settings)
    ask(f"Erase {', '.join(session_ids)}, with everything that was said? It cannot be undone.", yes=yes)
    failed = 0
    with opened_eraser(settings) as eraser:
        for session_id in session_ids:
            key = SessionKey(tenant, session_id)
            try:
                outcome = eraser.erase_session(key)
            except SessionNotFoundError:
                say(f"There is no session {shown_key(key)}.")
                failed += 1
                continue
            unfinished = _tell(outcome, as_json)
            failed += unfinished
            audited(
                "session_erased", outcome="begun" if unfinished else "done", namespace=tenant, session_id=session_id
            )
    if failed:
        sys.exit(1)


@click.command()
@click.option("--older-than", type=AGE, required=True, help="Not used for so long, as in 30d.")
@click.option("--status", type=STATUSES, help="Only those of this status.")
@click.option("--tenant", metavar="NAME", help="Only this tenant's.  [every tenant's]")
@store_option
@yes_option
@json_option
def purge(
    older_than: float, status: str | None, tenant: str | None, store: str | None, yes: bool, as_json: bool
) -> None:
    """Erase the sessions that nobody has used for long. One that is used in between is left as it is.

    Example: gateway sessions purge --older-than 30d --status completed
    """
    from gateway.lifecycle.bulk import Skipped
    from gateway.lifecycle.bulk import purge as purged
    from gateway.sessions import Filter

    settings = read_settings(GATEWAY_STORE=store)
    open_audit(settings)
    with opened_eraser(settings) as eraser:
        before = moment_before(eraser.sessions.now(), older_than)
        wanted = Status(status) if status else None
        number = sum(1 for _ in eraser.sessions.walk(Filter(tenant=tenant, status=wanted, used_before=before)))
        if not number:
            say("No sessions to erase.")
            return
        since = shown_time(before)
        these = counted(number, f"{status} session" if status else "session")
        tell_where(settings)
        question = f"Erase {these} not used since {since} UTC, with everything that was said?"
        ask(f"{question} It cannot be undone.", yes=yes)
        erased = failed = skipped = 0
        for outcome in purged(eraser, used_before=before, status=wanted, tenant=tenant):
            if isinstance(outcome, Skipped):
                skipped += 1
                continue
            unfinished = _tell(outcome, as_json)
            failed += unfinished
            erased += not unfinished
    audited("sessions_purged", namespace=tenant, unused_since=since, erased=erased, erasing=failed)
    parts = [f"{counted(erased)} erased"]
    parts += [f"{failed:,} not finished"] if failed else []
    parts += [f"{skipped:,} used meanwhile"] if skipped else []
    say(", ".join(parts) + ".")
    if failed:
        sys.exit(1)


@contextmanager
def opened_eraser(settings: Settings) -> Iterator[Eraser]:
    """What erases in the store and at the provider of the settings."""
    from gateway.assembly import open_provider
    from gateway.lifecycle.erasures import Eraser

    with configured_store(settings) as opened:
        provider = open_provider(settings)
        try:
            # All of it in one attempt: no request waits for this.
            yield Eraser(opened, provider, at_once=sys.maxsize)
        finally:
            provider.close()


def tell_where(settings: Settings) -> None:
    """Says which provider is asked."""
    # Where another provider is asked, their conversations count as gone already, and stay where they are.
    say(f"Provider: {describe_provider(settings)}.")


def _tell(outcome: Receipt | Unfinished, as_json: bool) -> bool:
    """Says what became of one session; True when it is not finished."""
    import orjson

    from gateway.lifecycle.erasures import Receipt

    done = isinstance(outcome, Receipt)
    if as_json:
        click.echo(orjson.dumps(outcome.as_dict()))
    elif isinstance(outcome, Receipt):
        parts = (counted(outcome.items_deleted, "item"), counted(outcome.responses_deleted, "response"))
        click.echo(f"{outcome.session_id} is erased: {parts[0]}, the conversation, {parts[1]}.")
    else:
        say(f"{outcome.session_id} is not finished yet ({outcome.reason}): it stays `erasing`, and can be tried again.")
    return not done
