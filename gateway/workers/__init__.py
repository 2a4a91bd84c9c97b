"""The kinds of gunicorn workers, and which one serves which settings."""

from __future__ import annotations

import importlib.util

from gateway.config import Settings
from gateway.errors import ConfigurationError
from gateway.sessions.schemes import is_server

WORKER_CLASSES = {
    "gevent": "gateway.workers.greenlets.GreenletWorker",
    "gthread": "gateway.workers.threads.ThreadWorker",
}


def worker_kind_of(settings: Settings) -> str:
    """`gevent` or `gthread`: what `auto` comes to, or `ConfigurationError` where gevent would freeze."""
    blocking = _blocks(settings)
    installed = importlib.util.find_spec("gevent") is not None
    if settings.worker == "gevent" and blocking:
        raise ConfigurationError(f"GATEWAY_WORKER='gevent' cannot be used: it takes gthread or auto with {blocking}.")
    if settings.worker == "gevent" and not installed:
        raise ConfigurationError("GATEWAY_WORKER='gevent' cannot be used: install conversation-gateway[gevent].")
    if settings.worker != "auto":
        return settings.worker
    return "gthread" if blocking or not installed else "gevent"


def _blocks(settings: Settings) -> str | None:
    """What would block a gevent worker in C, in words."""
    if not is_server(settings.store):
        return "a store that is no server"
    if settings.workflow:
        return "a workflow of your own"
    if settings.provider_name == "local" and not is_server(settings.local_db):
        return "the local provider's SQLite file"
    return None
