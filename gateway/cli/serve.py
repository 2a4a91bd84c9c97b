"""gateway serve: the service, on gunicorn."""

from __future__ import annotations

import os
import sys

import click

from gateway.cli.advice import address, describe, regrets
from gateway.cli.common import say
from gateway.config import Settings


@click.command()
@click.option("--host", metavar="ADDRESS", help="Address to listen on.  [HOST, 127.0.0.1]")
@click.option("--port", metavar="PORT", help="Port to listen on.  [PORT, 8080]")
@click.option("--store", metavar="URL", help="Where sessions live.  [GATEWAY_STORE, json:sessions.json]")
@click.option("--provider", metavar="NAME", help="Who hosts conversations.  [GATEWAY_PROVIDER, auto]")
@click.option("--workers", metavar="N", help="Worker processes.  [WEB_CONCURRENCY, 2]")
def serve(host: str | None, port: str | None, store: str | None, provider: str | None, workers: str | None) -> None:
    """Serve the gateway. Flags go before the environment, which has every setting.

    Example: gateway serve --store redis://127.0.0.1:6379/0 --workers 4
    """
    flags = {
        "HOST": host,
        "PORT": port,
        "GATEWAY_STORE": store,
        "GATEWAY_PROVIDER": provider,
        "WEB_CONCURRENCY": workers,
    }
    os.environ.update({name: value for name, value in flags.items() if value is not None})
    settings = Settings.from_env(os.environ)
    say(f"The conversation gateway, on {address(settings)}")
    for name, value in describe(settings):
        say(f"  {name:9} {value}")
    for warning in regrets(settings):
        say(f"  Warning: {warning}")
    arguments = ["--config", "python:gateway.serving", "gateway:create_app()"]
    # gunicorn takes this process's place: it must be able to patch sockets before anything is imported.
    os.execv(sys.executable, [sys.executable, "-m", "gunicorn", *arguments])  # noqa: S606
