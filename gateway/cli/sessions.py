"""gateway sessions: the directory, from where the store is."""

from __future__ import annotations

import sys
from itertools import islice
from typing import TYPE_CHECKING

import click

from gateway.cli.common import (
    AGE,
    STATUSES,
    SessionId,
    audited,
    configured_store,
    console,
    encode_session,
    json_option,
    moment_before,
    open_audit,
    print_json,
    read_settings,
    say,
    shown_key,
    shown_time,
    store_option,
    tenant_option,
)
from gateway.cli.erasing import erase, purge
from gateway.cli.lifecycle import fork, make, rename, reset
from gateway.model import SessionKey, Status

if TYPE_CHECKING:
    from gateway.model import Session

TURNS_SHOWN = 10


@click.group()
def sessions() -> None:
    """List, show, make, reset, fork, rename, forget and erase sessions.

    These work on the configured store and provider themselves, whether or not a gateway is running.
    """


@sessions.command("list")
@store_option
@click.option("--tenant", metavar="NAME", help="Only this tenant's.  [every tenant's]")
@click.option("--user", "user_id", metavar="ID", help="Only this user's.")
@click.option("--status", type=STATUSES, help="Only those of this status.")
@click.option("--prefix", metavar="TEXT", default="", help="Only those whose id begins with this.")
@click.option("--older-than", type=AGE, help="Only those not used for so long, as in 30d.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many at most.")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@json_option
def list_(
    store: str | None,
    tenant: str | None,
    user_id: str | None,
    status: str | None,
    prefix: str,
    older_than: float | None,
    limit: int,
    everything: bool,
    as_json: bool,
) -> None:
    """List sessions, the one used last first. With --json: a list of objects.

    Example: gateway sessions list --status active --older-than 7d
    """
    from gateway.sessions import Filter

    with configured_store(read_settings(GATEWAY_STORE=store)) as opened:
        wanted = Filter(
            tenant=tenant,
            user_id=user_id,
            status=Status(status) if status else None,
            prefix=prefix,
            used_before=None if older_than is None else moment_before(opened.now(), older_than),
        )
        # One more than is shown tells whether there are more.
        found = list(islice(opened.walk(wanted, page=500), None if everything else limit + 1))
    shown = found if everything else found[:limit]
    if as_json:
        print_json([encode_session(session) for session in shown])
    elif shown:
        _print_table(shown)
    else:
        say("No sessions.")
    if len(found) > len(shown):
        say(f"There are more than {limit}: --all lists them.")


@sessions.command()
@click.argument("session_id", metavar="ID", type=SessionId())
@store_option
@tenant_option
@json_option
def show(session_id: str, store: str | None, tenant: str, as_json: bool) -> None:
    """Show one session and its latest turns: ids and times, never texts.

    Example: gateway sessions show user_alice_session
    """
    key = SessionKey(tenant, session_id)
    with configured_store(read_settings(GATEWAY_STORE=store)) as opened:
        session = opened.get(key)
        if session is None:
            raise click.ClickException(f"There is no session {shown_key(key)}.")
        turns = [turn.as_dict() for turn in opened.turns(key, limit=TURNS_SHOWN)]
    if as_json:
        print_json({**encode_session(session), "latest_turns": turns})
        return
    for name, value in encode_session(session).items():
        click.echo(f"{name:16} {_plain(value)}")
    for turn in turns:
        click.echo(f"{'turn':16} {turn['turn_id']}  {turn['state']}  {turn['started_at']}  {turn['response_id'] or ''}")


@sessions.command()
@click.argument("session_ids", metavar="ID…", nargs=-1, required=True, type=SessionId())
@store_option
@tenant_option
def forget(session_ids: tuple[str, ...], store: str | None, tenant: str) -> None:
    """Forget sessions, and leave their conversations at the provider as they are.

    The next message under such an id begins a new conversation; the old one's id is printed.

    Example: gateway sessions forget user_alice_session
    """
    from gateway.errors import SessionNotFoundError
    from gateway.lifecycle.sessions import forget as drop

    settings = read_settings(GATEWAY_STORE=store)
    open_audit(settings)
    missing = 0
    with configured_store(settings) as opened:
        for session_id in session_ids:
            key = SessionKey(tenant, session_id)
            try:
                forgotten = drop(opened, key)
            except SessionNotFoundError:
                say(f"There is no session {shown_key(key)}.")
                missing += 1
                continue
            audited("session_forgotten", namespace=tenant, session_id=session_id)
            click.echo(f"{shown_key(key)} is forgotten; {forgotten.conversation_id} is still there.")
    if missing:
        sys.exit(1)


for command in (make, reset, fork, rename, erase, purge):
    sessions.add_command(command)


def _print_table(found: list[Session]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in ("SESSION", "USER", "STATUS", "TURNS", "LAST USED", "CONVERSATION"):
        table.add_column(name, justify="right" if name == "TURNS" else "left", overflow="fold")
    for session in found:
        last_used = shown_time(session.last_used)
        cells = (shown_key(session.key), session.user_id or "", session.status.value, str(session.turns), last_used)
        # As text, not as markup: these are the clients' words.
        table.add_row(*(Text(cell) for cell in (*cells, session.conversation_id)))
    console().print(table)


def _plain(value: object) -> str:
    import orjson

    if isinstance(value, dict):
        return orjson.dumps(value).decode()
    return "-" if value is None else str(value)
