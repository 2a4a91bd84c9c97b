"""Which kind of gunicorn worker serves these settings."""

from __future__ import annotations

import importlib.util

from gateway.config import Settings
from gateway.errors import ConfigurationError


def worker_class_of(settings: Settings) -> str:
    """`gevent` or `gthread`: what `auto` comes to, or `ConfigurationError` where gevent would freeze."""
    blocking = _blocks(settings)
    if settings.worker == "gevent" and blocking:
        raise ConfigurationError(f"GATEWAY_WORKER='gevent' cannot be used: it takes gthread or auto with {blocking}.")
    if settings.worker != "auto":
        return settings.worker
    return "gthread" if blocking or importlib.util.find_spec("gevent") is None else "gevent"


def _blocks(settings: Settings) -> str | None:
    """What would block a gevent worker in C, in words."""
    if settings.store.partition(":")[0] in ("memory", "json", "sqlite"):
        return "a store on this host's disk"
    if settings.workflow:
        return "a workflow of your own"
    if settings.provider_name == "local" and settings.local_db.partition("://")[0] not in _SERVERS:
        return "the local provider's SQLite file"
    return None


_SERVERS = ("postgresql", "postgres", "mysql", "mariadb")
