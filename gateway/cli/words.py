"""A reply on its way to the terminal."""

from __future__ import annotations

import sys
import unicodedata
from typing import TYPE_CHECKING

import click

from gateway.cli.common import say
from gateway.cli.wrapping import Lines, terminal_width

if TYPE_CHECKING:
    from gateway.cli.client import ClientError, GatewayClient
    from gateway.model import JSON


LATER = "The turn goes on: /history shows its reply later."
NO_LONGER_WAITING = f"\nNo longer waiting. {LATER}"


def explain(exc: ClientError) -> str:
    """What went wrong, and what becomes of the turn."""
    return printable(f"{exc} {LATER}" if exc.may_run else str(exc))


def speak(client: GatewayClient, session_id: str, text: str) -> JSON:
    """Sends one message, writes the words of the reply as they come, and returns the whole of it."""
    spoken, lines = "", Lines(terminal_width) if sys.stdout.isatty() else None
    try:
        for name, data in client.turn(session_id, text):
            if name == "delta":
                spoken = data["text"] or spoken
                click.echo(lines.take(printable(data["text"])) if lines else data["text"], nl=False)
            elif name == "done":
                reply: JSON = data
                return reply
    finally:
        if lines:
            click.echo(lines.rest(), nl=False)
        # Whatever follows, an error or a prompt, begins on a line of its own.
        if spoken and not spoken.endswith("\n"):
            click.echo()
    raise AssertionError("a turn ends with its reply or with an error")


def tell_rest(reply: JSON) -> None:
    """Says what the words alone do not."""
    if reply["status"] == "incomplete":
        say(f"(The reply was cut short: {reply.get('incomplete_reason')}.)")
    for call in reply["pending_calls"]:
        name = printable(str(call["name"]))
        say(f"(The model calls {name}, which a chat cannot answer: send its output, or cancel it.)")
    if reply["recovered"]:
        say("(The conversation was lost at the provider; this is a new one.)")


def printable(text: str) -> str:
    """Without what a terminal would take as a command: the words are a model's, or anybody's."""
    return "".join(letter for letter in text if letter.isprintable() or letter in _KEPT or _is_space(letter))


_KEPT = "\n\t\u200c\u200d"
"""Not printable by themselves; the last two are parts of words and of emoji."""


def _is_space(letter: str) -> bool:
    return unicodedata.category(letter) == "Zs"  # also one that does not break, or is as wide as an ideograph
