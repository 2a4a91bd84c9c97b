"""gateway chat: a conversation in the terminal, with a running gateway."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.common import INTERRUPTED, SessionId, say
from gateway.model import new_session_id
from gateway.parsing import parse_http_url, parse_text

if TYPE_CHECKING:
    from gateway.cli.client import GatewayClient


class Checked(click.ParamType[str]):
    """A value that one of the settings' parsers takes."""

    def __init__(self, name: str, parse: Any) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return str(self._parse(value))
        except ValueError as exc:
            self.fail(f"it takes {exc}", param, ctx)


@click.command()
@click.option("--session", "session_id", type=SessionId(), metavar="ID", help="Go on with this session.  [a new one]")
@click.option(
    "--url",
    type=Checked("URL", parse_http_url),
    default="http://127.0.0.1:8080",
    show_default=True,
    help="The gateway.",
)
@click.option("--key", type=Checked("KEY", parse_text), help="Your key, sent as a bearer token; @path reads a file.")
def chat(session_id: str | None, url: str, key: str | None) -> None:
    """Talk with a running gateway. /help tells the commands.

    Through a pipe, stdin is one message and stdout gets just the reply.

    \b
    Example: gateway chat --session user_alice_session
             echo "What did I say yesterday?" | gateway chat --session user_alice_session
    """
    from gateway.cli.client import ClientError, GatewayClient
    from gateway.cli.words import explain

    client = GatewayClient(url, key=key.strip() if key else None)
    try:
        if sys.stdin.isatty():
            from gateway.cli.conversation import Conversation

            Conversation(client, session_id).run()
        else:
            _pipe(client, session_id)
    except ClientError as exc:
        raise click.ClickException(explain(exc)) from exc


def _pipe(client: GatewayClient, session_id: str | None) -> None:
    from gateway.cli.words import NO_LONGER_WAITING, speak, tell_rest

    # Not in the locale's encoding, which a cron job may not have.
    text = sys.stdin.buffer.read().decode("utf-8", errors="replace").strip()
    if not text:
        raise click.UsageError("There is no message: stdin is empty.")
    if session_id is None:
        session_id = new_session_id()
        say(f"session: {session_id}")
    try:
        tell_rest(speak(client, session_id, text))
    except KeyboardInterrupt:
        say(NO_LONGER_WAITING)
        sys.exit(INTERRUPTED)
