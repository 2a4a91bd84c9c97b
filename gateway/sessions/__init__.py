"""Session stores: `open_sessions(url)` gives the `SessionManager` that the URL's scheme names."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from gateway.errors import ConfigurationError
from gateway.sessions.base import Filter, Lifetime, Page, SessionManager, Turn
from gateway.sessions.placing import Placing, place

__all__ = ["Filter", "Lifetime", "Page", "Placing", "SessionManager", "Turn", "open_sessions", "place"]

ENTRY_POINTS = "conversation_gateway.stores"
"""The entry-point group by which other packages add schemes: `scheme = package.module:open_function`."""

# scheme → (module, function, the extra that brings its driver)
_BACKENDS = {
    "memory": ("gateway.sessions.sql", "open_memory", None),
    "json": ("gateway.sessions.jsonfile", "open_json", None),
    "sqlite": ("gateway.sessions.sql", "open_sqlite", None),
    "postgresql": ("gateway.sessions.sql", "open_server", "postgres"),
    "postgres": ("gateway.sessions.sql", "open_server", "postgres"),
    "mysql": ("gateway.sessions.sql", "open_server", "mysql"),
    "mariadb": ("gateway.sessions.sql", "open_server", "mysql"),
    "redis": ("gateway.sessions.redis", "open_redis", "redis"),
    "rediss": ("gateway.sessions.redis", "open_redis", "redis"),
    "redis+sentinel": ("gateway.sessions.redis", "open_redis", "redis"),
}


def open_sessions(url: str, *, prefix: str = "gateway", **options: Any) -> SessionManager:
    """The store behind `url`. `prefix` begins table names and Redis keys; `options` are those of `SessionManager`
    (`lease_seconds`, `lifetime`, `erase_expired`, `encryption_keys`, `clock`). `ConfigurationError` says in one line
    what is wrong."""
    scheme, colon, rest = url.partition(":")
    scheme = scheme.lower()
    if not colon:
        raise ConfigurationError(f"{url!r} is not a store URL: it needs a scheme, one of {', '.join(schemes())}.")
    return _opener(scheme)(f"{scheme}:{rest}", prefix=prefix, **options)


def schemes() -> list[str]:
    """Every scheme that can be opened here, those of installed packages included."""
    return sorted({*_BACKENDS, *(point.name for point in entry_points(group=ENTRY_POINTS))})


def _opener(scheme: str) -> Callable[..., SessionManager]:
    if scheme in _BACKENDS:
        module, function, extra = _BACKENDS[scheme]
        try:
            opener: Callable[..., SessionManager] = getattr(importlib.import_module(module), function)
        except ModuleNotFoundError as exc:
            if extra is None or (exc.name or "").startswith("gateway"):
                raise
            raise ConfigurationError(
                f"{scheme}: needs the driver {exc.name!r}: install conversation-gateway[{extra}]."
            ) from exc
        return opener
    for point in entry_points(group=ENTRY_POINTS, name=scheme):
        loaded: Callable[..., SessionManager] = point.load()
        return loaded
    # The URL itself may hold a password: only its scheme is named.
    raise ConfigurationError(f"No store is known for the scheme {scheme!r}; there are {', '.join(schemes())}.")
