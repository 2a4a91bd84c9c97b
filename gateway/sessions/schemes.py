"""Which schemes of store URLs there are, and what is to be known of each before it is opened: one row a scheme."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import NamedTuple

from gateway.errors import ConfigurationError
from gateway.sessions.store import Store
from gateway.sessions.values import Terms

Opener = Callable[..., Store]
"""Called with the URL, `prefix` and `terms`."""

ENTRY_POINTS = "conversation_gateway.stores"
"""The entry-point group by which other packages add schemes: `scheme = package.module:opener`."""


class Scheme(NamedTuple):
    """A kind of store."""

    opener: str
    """`module:function`."""
    extra: str | None = None
    """The extra that brings its driver."""
    is_server: bool = False
    """Whether many hosts can share it, and its driver waits in sockets, which a gevent worker can bear. Of a store that
    another package adds nobody knows: it is taken for none."""


_SQL, _REDIS = "gateway.sessions.sql", "gateway.sessions.redis"
SCHEMES = {
    "memory": Scheme(f"{_SQL}:open_memory"),
    "json": Scheme("gateway.sessions.jsonfile:open_json"),
    "sqlite": Scheme(f"{_SQL}:open_sqlite"),
    "postgresql": Scheme(f"{_SQL}:open_server", "postgres", is_server=True),
    "postgres": Scheme(f"{_SQL}:open_server", "postgres", is_server=True),
    "mysql": Scheme(f"{_SQL}:open_server", "mysql", is_server=True),
    "mariadb": Scheme(f"{_SQL}:open_server", "mysql", is_server=True),
    "redis": Scheme(f"{_REDIS}:open_redis", "redis", is_server=True),
    "rediss": Scheme(f"{_REDIS}:open_redis", "redis", is_server=True),
    "redis+sentinel": Scheme(f"{_REDIS}:open_redis", "redis", is_server=True),
}


def scheme_of(url: str) -> str:
    return url.partition(":")[0].lower()


def is_server(url: str) -> bool:
    scheme = SCHEMES.get(scheme_of(url))
    return scheme is not None and scheme.is_server


def known_schemes() -> list[str]:
    """Every scheme that can be opened here, those of installed packages included."""
    return sorted({*SCHEMES, *(point.name for point in entry_points(group=ENTRY_POINTS))})


def open_store(url: str, *, prefix: str, terms: Terms) -> Store:
    """The store behind `url`; `ConfigurationError` says in one line what is wrong with one."""
    _, colon, rest = url.partition(":")
    if not colon:
        raise ConfigurationError(f"{url!r} is not a store URL: it needs a scheme, one of {', '.join(known_schemes())}.")
    scheme = scheme_of(url)
    return _opener(scheme)(f"{scheme}:{rest}", prefix=prefix, terms=terms)


def _opener(name: str) -> Opener:
    if (scheme := SCHEMES.get(name)) is not None:
        module, _, function = scheme.opener.partition(":")
        try:
            opener: Opener = getattr(importlib.import_module(module), function)
        except ModuleNotFoundError as exc:
            if scheme.extra is None or (exc.name or "").startswith("gateway"):
                raise
            raise ConfigurationError(
                f"{name}: needs the driver {exc.name!r}: install conversation-gateway[{scheme.extra}]."
            ) from exc
        return opener
    for point in entry_points(group=ENTRY_POINTS, name=name):
        loaded: Opener = point.load()
        return loaded
    # The URL itself may hold a password: only its scheme is named.
    raise ConfigurationError(f"No store is known for the scheme {name!r}; there are {', '.join(known_schemes())}.")
