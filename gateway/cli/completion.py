"""gateway completion: what a shell needs to complete commands, options and their values."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    Example: eval "$(gateway completion bash)"       in ~/.bashrc, and so for zsh
             gateway completion fish | source        in config.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None, f"click does not know {shell}"
    click.echo(kind(ctx.find_root().command, {}, "gateway", "_GATEWAY_COMPLETE").source())
