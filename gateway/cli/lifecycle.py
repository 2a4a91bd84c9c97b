"""gateway sessions make, reset, fork and rename: what a gateway does with whole sessions, from where the store is."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from gateway.auth.principals import parse_user
from gateway.cli.common import (
    SessionId,
    ask,
    audited,
    checked,
    configured_store,
    counted,
    encode_session,
    json_option,
    open_audit,
    print_json,
    read_settings,
    shown_key,
    store_option,
    tenant_option,
    yes_option,
)
from gateway.cli.erasing import opened_eraser, tell_where
from gateway.model import SessionKey, new_session_id

if TYPE_CHECKING:
    from gateway.history.copying import Copied

user_option = click.option(
    "--user", "user_id", metavar="ID", callback=checked(parse_user), help="Whose session it is from then on."
)


@click.command()
@click.argument("session_id", metavar="[ID]", required=False, type=SessionId())
@user_option
@store_option
@tenant_option
@json_option
def make(session_id: str | None, user_id: str | None, store: str | None, tenant: str, as_json: bool) -> None:
    """Make a session with an empty conversation, or show the one that is there.

    Example: gateway sessions make user_alice_session --user alice
    """
    from gateway.lifecycle.sessions import make as made

    key = SessionKey(tenant, session_id or new_session_id())
    with opened_eraser(read_settings(GATEWAY_STORE=store)) as eraser:
        session, created = made(eraser.sessions, eraser.provider, key, user_id=user_id)
    if as_json:
        print_json({**encode_session(session), "created": created})
    else:
        click.echo(f"{shown_key(key)} is {'made' if created else 'there'}: {session.conversation_id}.")


@click.command()
@click.argument("session_id", metavar="ID", type=SessionId())
@click.option("--keep-history", is_flag=True, help="Copy the history into the new conversation.")
@click.option("--keep-old", is_flag=True, help="Leave the old conversation at the provider as it is.")
@store_option
@tenant_option
@yes_option
@json_option
def reset(
    session_id: str, keep_history: bool, keep_old: bool, store: str | None, tenant: str, yes: bool, as_json: bool
) -> None:
    """Give a session a new conversation, and erase the old one.

    Example: gateway sessions reset user_alice_session --keep-history
    """
    from gateway.lifecycle.sessions import reset as done

    settings = read_settings(GATEWAY_STORE=store)
    open_audit(settings)
    if not keep_old:
        tell_where(settings)
        ask(f"Erase what was said in {session_id} so far? It cannot be undone.", yes=yes)
    key = SessionKey(tenant, session_id)
    with opened_eraser(settings) as eraser:
        session, copied, became = done(eraser, key, keep_history=keep_history, erase_old=not keep_old)
    audited("session_reset", namespace=tenant, session_id=session_id, old_conversation=became)
    if as_json:
        print_json({**encode_session(session), **asdict(copied), "old_conversation": became})
        return
    went_over = f" with {_told(copied)}" if keep_history else ""
    click.echo(
        f"{shown_key(key)} has a new conversation{went_over}: {session.conversation_id}. The old one is {became}."
    )


@click.command()
@click.argument("session_id", metavar="ID", type=SessionId())
@click.argument("new_id", metavar="[NEW_ID]", required=False, type=SessionId())
@user_option
@store_option
@tenant_option
@json_option
def fork(
    session_id: str, new_id: str | None, user_id: str | None, store: str | None, tenant: str, as_json: bool
) -> None:
    """Make a second session with a copy of the history, the data and the metadata.

    Example: gateway sessions fork user_alice_session what_if
    """
    from gateway.lifecycle.sessions import fork as forked

    settings = read_settings(GATEWAY_STORE=store)
    open_audit(settings)
    key = SessionKey(tenant, session_id)
    with opened_eraser(settings) as eraser:
        session, copied = forked(eraser.sessions, eraser.provider, key, new_id or new_session_id(), user_id=user_id)
    audited("session_forked", namespace=tenant, session_id=session_id, made=session.session_id)
    if as_json:
        print_json({**encode_session(session), **asdict(copied)})
    else:
        click.echo(f"{shown_key(session.key)} is made with {_told(copied)}: {session.conversation_id}.")


@click.command()
@click.argument("session_id", metavar="ID", type=SessionId())
@click.argument("new_id", metavar="NEW_ID", type=SessionId())
@user_option
@store_option
@tenant_option
@json_option
def rename(session_id: str, new_id: str, user_id: str | None, store: str | None, tenant: str, as_json: bool) -> None:
    """Give a session another id, and a user if it has none; its turns go with it.

    Example: gateway sessions rename visitor_17 alice_session --user alice
    """
    from gateway.lifecycle.sessions import rename as renamed

    settings = read_settings(GATEWAY_STORE=store)
    open_audit(settings)
    key = SessionKey(tenant, session_id)
    with configured_store(settings) as opened:
        session = renamed(opened, key, new_id, user_id=user_id)
    audited("session_renamed", namespace=tenant, session_id=session_id, renamed=new_id, user_id=user_id)
    if as_json:
        print_json(encode_session(session))
    else:
        click.echo(f"{shown_key(key)} is {shown_key(session.key)} from now on.")


def _told(copied: Copied) -> str:
    skipped = f" ({copied.items_skipped:,} could not be copied)" if copied.items_skipped else ""
    return counted(copied.items_copied, "item") + skipped
