"""A reply on its way to the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from gateway.cli.common import say

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
    spoken = ""
    try:
        for name, data in client.turn(session_id, text):
            if name == "delta":
                spoken = data["text"] or spoken
                _write(data["text"])
            elif name == "done":
                reply: JSON = data
                return reply
    finally:
        # Whatever follows, an error or a prompt, begins on a line of its own.
        if spoken and not spoken.endswith("\n"):
            _write("\n")
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
    return "".join(letter for letter in text if letter in "\n\t" or letter.isprintable() or letter in _JOINERS)


_JOINERS = "\u200c\u200d"
"""Not printable by themselves, but parts of words and of emoji."""


def _write(text: str) -> None:
    click.echo(printable(text) if sys.stdout.isatty() else text, nl=False)
