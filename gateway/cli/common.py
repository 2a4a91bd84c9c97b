"""What several commands need: the settings, the store they name, and how things are shown."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gateway.audit import audit, write_to
from gateway.config import Settings
from gateway.errors import InvalidSessionIdError
from gateway.model import JSON, Session, SessionKey, Status, encode_time, parse_session_id
from gateway.parsing import parse_duration, shown_url

if TYPE_CHECKING:
    from rich.console import Console

    from gateway.sessions import SessionManager

F = TypeVar("F", bound=Callable[..., Any])

INTERRUPTED = 130
"""The exit code that shells give to what Ctrl-C ended."""

STATUSES = click.Choice([status.value for status in Status])

store_option = click.option("--store", metavar="URL", help="Where sessions live.  [GATEWAY_STORE, json:sessions.json]")
tenant_option = click.option("--tenant", metavar="NAME", default="", help="Whose session it is, with auth.  [none]")
json_option = click.option("--json", "as_json", is_flag=True, help="JSON, for scripts.")
yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask.")


class SessionId(click.ParamType[str]):
    """A session id as the gateway takes it."""

    name = "ID"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return parse_session_id(value)
        except InvalidSessionIdError as exc:
            self.fail(str(exc), param, ctx)


def read_settings(**flags: str | None) -> Settings:
    """The settings of the environment; flags, by the names of the variables, go before it."""
    return Settings.from_env({**os.environ, **{name: value for name, value in flags.items() if value is not None}})


def checked(parse: Callable[[object], str]) -> Callable[[click.Context, click.Parameter, str | None], str | None]:
    """What `parse` makes of an option, or what it takes."""

    def convert(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
        try:
            return None if value is None else parse(value)
        except ValueError as exc:
            raise click.BadParameter(f"{value!r} cannot be used: it takes {exc}.") from exc

    return convert


@contextmanager
def configured_store(settings: Settings) -> Iterator[SessionManager]:
    """The store of the settings, opened. One that lives in each process alone cannot be looked into from here."""
    from gateway.assembly import open_store

    with open_store(settings) as store:
        if not store.shared:
            raise click.ClickException(f"{shown_url(settings.store)} lives inside the gateway's process alone.")
        yield store


def ask(question: str, *, yes: bool) -> None:
    """Returns when the answer is yes. Where nobody can be asked, `--yes` must say so."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("There is nobody to ask here: give --yes if it is meant.")
    click.confirm(question, abort=True, err=True)


def open_audit(settings: Settings) -> None:
    """Where the lines about security go, before anything is done: what cannot be written down does not happen."""
    write_to(settings.audit_log or sys.stderr)


def audited(act: str, *, outcome: str = "done", **target: object) -> None:
    """Leaves a line about what the operator did."""
    # Not what the environment says: it is the operator's own to set.
    try:
        who = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        who = str(os.getuid())
    audit(act, principal=f"operator:{who}", request_id=None, outcome=outcome, **target)


def say(message: str) -> None:
    """To whoever is watching: stdout is for results."""
    click.echo(message, err=True)


def console(*, stderr: bool = False) -> Console:
    """As wide as the terminal; where none is, as wide as its content."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else 1000, highlight=False)


def shown_key(key: SessionKey) -> str:
    return f"{key.tenant}/{key.session_id}" if key.tenant else key.session_id


def shown_time(at: int) -> str:
    """Epoch milliseconds as people read them, in UTC."""
    return (encode_time(at) or "")[:19].replace("T", " ")


def counted(number: int, what: str = "session") -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def encode_session(session: Session) -> JSON:
    """As the API shows it, with its tenant."""
    tenant = {"tenant": session.tenant} if session.tenant else {}
    return {**tenant, **session.as_dict()}


def print_json(value: object) -> None:
    import orjson

    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2))


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
