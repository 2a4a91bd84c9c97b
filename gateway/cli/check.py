"""gateway check: what is configured, whether it answers, and what to do about each thing that does not."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

import click

from gateway.cli.advice import address, describe_auth, describe_provider, regrets
from gateway.cli.common import counted, read_settings, say, store_option
from gateway.config import Settings
from gateway.errors import ConfigurationError, GatewayError, UnauthorizedError
from gateway.model import SessionKey
from gateway.parsing import shown_url
from gateway.workers import worker_kind_of

CHECKERS_TURN = SessionKey("", "..")
"""The session whose turn is taken to see that the store can be written: one that no client can name."""


class Finding(NamedTuple):
    """What one look found."""

    mark: str
    subject: str
    words: str


GOOD, REGRET, WRONG = "✓", "!", "✗"
_COLOURS = {GOOD: "green", REGRET: "yellow", WRONG: "red"}


@click.command()
@store_option
def check(store: str | None) -> None:
    """Say what is configured, whether the store and the provider answer, and what to do about what is wrong.

    Exit code 1 when the gateway would not work like this. No secret is shown. The provider is asked for its models,
    which costs nothing.

    Example: gateway check
    """
    wrong = 0
    for finding in findings(store):
        mark = click.style(finding.mark, fg=_COLOURS[finding.mark])
        click.echo(f"{mark} {finding.subject:9} {finding.words}")
        wrong += finding.mark == WRONG
    if wrong:
        say(f"{counted(wrong, 'thing')} to mend.")
        sys.exit(1)


def findings(store: str | None) -> Iterator[Finding]:
    """One after the other, as they are found."""
    try:
        settings = read_settings(GATEWAY_STORE=store)
    except ConfigurationError as exc:
        yield Finding(WRONG, "settings", str(exc))
        return
    yield Finding(GOOD, "settings", f"to be served on {address(settings)}")
    for subject, look in _LOOKS.items():
        try:
            yield Finding(GOOD, subject, look(settings))
        except (ConfigurationError, GatewayError, OSError) as exc:
            words = _hint(subject, exc)
            # Some say themselves what they are about.
            about = "" if "cannot be used" in words else f"{_ABOUT[subject](settings)}: "
            yield Finding(WRONG, subject, about + words)
    for warning in regrets(settings):
        yield Finding(REGRET, "note", warning)


def _store(settings: Settings) -> str:
    from gateway.assembly import open_store

    with open_store(settings) as opened:
        opened.ping()
        began = time.monotonic()
        with opened.turn(CHECKERS_TURN):
            taken = time.monotonic() - began
    return f"{shown_url(settings.store)} can be read and written ({taken * 1000:.0f} ms)"


def _provider(settings: Settings) -> str:
    from gateway.assembly import open_provider

    provider = open_provider(settings)
    try:
        provider.check()
        models = {model.get("id") for model in provider.list_models()["data"]}
    finally:
        provider.close()
    if models and settings.model_name not in models and not settings.workflow:
        raise ConfigurationError(
            f"it answers, but has no model {settings.model_name!r}; GATEWAY_MODEL takes one of {_some(models)}"
        )
    return f"{describe_provider(settings)}, answers"


def _workflow(settings: Settings) -> str:
    from gateway.workflows import load_workflows

    load_workflows(settings.workflows)
    return settings.workflow or f"built-in, model {settings.model_name}"


def _worker(settings: Settings) -> str:
    import importlib.util

    kind = worker_kind_of(settings)
    if kind == "gevent" and importlib.util.find_spec("gevent") is None:
        raise ConfigurationError("gevent is not installed; install conversation-gateway[gevent] or set gthread")
    return f"{settings.workers} {kind}"


def _auth(settings: Settings) -> str:
    from gateway.assembly import open_auth, open_store

    if settings.auth == "keys":
        with open_store(settings) as opened:
            number = len(opened.store.owners.keys())
        if not number:
            raise ConfigurationError("there are none yet; make one with `gateway keys create NAME`")
        return f"{describe_auth(settings)}, {number} of them"
    if settings.auth == "jwt":
        # It is refused once the keys that it would be checked with are there.
        with suppress(UnauthorizedError):
            open_auth(settings, lambda name: None)(_NOBODYS_TOKEN)
    return describe_auth(settings)


_NOBODYS_TOKEN = "eyJhbGciOiJSUzI1NiJ9.e30.e30"  # noqa: S105 - opens nothing


def _hint(subject: str, exc: Exception) -> str:
    """The reason, and what to do about it where the reason does not say so."""
    words = str(exc).rstrip(".?")
    if isinstance(exc, GatewayError) and subject == "store":
        return f"{words}. Start it, or let GATEWAY_STORE name another."
    if isinstance(exc, GatewayError) and subject == "provider":
        if exc.details.get("provider_status") in (401, 403):
            return f"{words}. Set OPENAI_API_KEY to a valid key for OPENAI_BASE_URL."
        return f"{words}. Is it up, and is its address right?"
    return f"{words}."


def _some(models: set[object]) -> str:
    names = sorted(str(model) for model in models)
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


_LOOKS: dict[str, Callable[[Settings], str]] = {
    "store": _store,
    "provider": _provider,
    "workflow": _workflow,
    "worker": _worker,
    "auth": _auth,
}
_ABOUT: dict[str, Callable[[Settings], str]] = {
    "store": lambda settings: shown_url(settings.store),
    "provider": describe_provider,
    "workflow": lambda settings: settings.workflow or "built-in",
    "worker": lambda settings: settings.worker,
    "auth": describe_auth,
}
