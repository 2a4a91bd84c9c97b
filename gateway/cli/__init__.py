"""`gateway`: one module a command."""

from __future__ import annotations

import sys

import click

from gateway.cli.chat import chat
from gateway.cli.check import check
from gateway.cli.completion import completion
from gateway.cli.copy import copy
from gateway.cli.keys import keys
from gateway.cli.lines import export, import_
from gateway.cli.serve import serve
from gateway.cli.sessions import sessions
from gateway.errors import ConfigurationError, GatewayError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="conversation-gateway")
def cli() -> None:
    """Your own session ids in front of provider-hosted conversations.

    Settings come from the environment; `gateway check` says what they come to.
    """


for command in (serve, check, chat, sessions, keys, copy, export, import_, completion):
    cli.add_command(command)


def main() -> None:
    """The console script: what is wrong is one line on stderr, with exit code 1 (2 for a wrong command line)."""
    try:
        cli(prog_name="gateway")
    except (ConfigurationError, GatewayError, OSError) as exc:
        sys.exit(f"gateway: {exc}")
