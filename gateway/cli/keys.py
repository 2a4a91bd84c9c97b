"""gateway keys: who may come in where the gateway runs with GATEWAY_AUTH=keys."""

from __future__ import annotations

from collections.abc import Sequence

import click

from gateway.auth.keys import new_key
from gateway.auth.principals import parse_tenant, parse_user
from gateway.cli.common import (
    ask,
    audited,
    checked,
    configured_store,
    console,
    json_option,
    open_audit,
    print_json,
    read_settings,
    say,
    shown_time,
    store_option,
    yes_option,
)
from gateway.model import JSON, ApiKey, Role, encode_time


@click.group()
def keys() -> None:
    """Make, list and revoke API keys.

    They are kept in the configured store, as hashes. A gateway with GATEWAY_AUTH=keys takes them from the moment they
    are made, and no longer from the moment they are revoked.
    """


@keys.command()
@click.argument("name", metavar="NAME")
@click.option("--tenant", metavar="TENANT", callback=checked(parse_tenant), help="Whose sessions it opens.  [none]")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default=Role.USER.value,
    show_default=True,
    help="An admin also reaches every user's sessions of the tenant, and sees how the gateway fares.",
)
@click.option(
    "--user", "user_id", metavar="ID", callback=checked(parse_user), help="Only this user's sessions.  [none]"
)
@store_option
@json_option
def create(name: str, tenant: str | None, role: str, user_id: str | None, store: str | None, as_json: bool) -> None:
    """Make a key and show it, once: only its hash is kept.

    The key is all that goes to stdout.

    Example: KEY=$(gateway keys create ci --tenant acme)
    """
    try:
        secret, digest = new_key(name)
    except ValueError as exc:
        raise click.BadParameter(f"{name!r} cannot be used: it takes {exc}.", param_hint="NAME") from exc
    settings = read_settings(GATEWAY_STORE=store)
    open_audit(settings)
    with configured_store(settings) as opened:
        key = ApiKey(name, digest, tenant or "", Role(role), user_id, opened.now())
        if not opened.store.owners.add_key(key):
            raise click.ClickException(f"There is a key {name} already; `gateway keys revoke {name}` frees the name.")
    _audit("key_created", key)
    if as_json:
        print_json({"key": secret, **_encode(key)})
    else:
        click.echo(secret)
    say("This is the only time that the key is shown. It opens a gateway on this store with GATEWAY_AUTH=keys.")


@keys.command("list")
@store_option
@json_option
def list_(store: str | None, as_json: bool) -> None:
    """List the keys by name, without what opens anything. With --json: a list of objects.

    Example: gateway keys list
    """
    with configured_store(read_settings(GATEWAY_STORE=store)) as opened:
        found = sorted(opened.store.owners.keys(), key=lambda key: key.name)
    if as_json:
        print_json([_encode(key) for key in found])
    elif found:
        _print_table(found)
    else:
        say("No keys.")


@keys.command()
@click.argument("name", metavar="NAME")
@store_option
@yes_option
def revoke(name: str, store: str | None, yes: bool) -> None:
    """Revoke a key: from then on it opens nothing, in any process.

    Example: gateway keys revoke ci
    """
    settings = read_settings(GATEWAY_STORE=store)
    open_audit(settings)
    with configured_store(settings) as opened:
        key = opened.store.owners.find_key(name)
        if key is None:
            raise click.ClickException(f"There is no key {name}.")
        ask(f"Revoke {name}? Whoever uses it is refused from then on.", yes=yes)
        opened.store.owners.remove_key(name)
    _audit("key_revoked", key)
    click.echo(f"{name} is revoked.")


def _audit(act: str, key: ApiKey) -> None:
    audited(act, key=key.name, tenant=key.tenant, role=key.role.value, user_id=key.user_id)


def _encode(key: ApiKey) -> JSON:
    return {
        "name": key.name,
        "tenant": key.tenant,
        "role": key.role.value,
        "user_id": key.user_id,
        "created_at": encode_time(key.created_at),
    }


def _print_table(found: Sequence[ApiKey]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in ("KEY", "TENANT", "USER", "ROLE", "CREATED"):
        table.add_column(name, overflow="fold")
    for key in found:
        cells = (key.name, key.tenant, key.user_id or "", key.role.value, shown_time(key.created_at))
        # As text, not as markup.
        table.add_row(*(Text(cell) for cell in cells))
    console().print(table)
