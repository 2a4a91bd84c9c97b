"""From a URL to a client, and from a refusal to one line that says what to do."""

from __future__ import annotations

import re
import socket
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError

from gateway.errors import ConfigurationError
from gateway.sessions.redis import sentinel
from gateway.sockets import is_quiet

_FORM = "redis://[user:password@]host:port[/DB][?option=value]"
# Refusals of the moment: a server that is full, busy, failing over or cannot save.
_PASSING = {"BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "OOM", "TRYAGAIN", "UNKILLABLE"}


def _defaults() -> dict[str, Any]:
    """What a URL's query may say otherwise."""
    return {
        "decode_responses": True,
        "protocol": 2,  # costs a fifth less CPU than RESP3, whose types nothing here needs
        "max_connections": 16,
        "socket_connect_timeout": 2,
        "socket_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 30,
    }


def _retry() -> Retry:
    """Once, at once, when a connection breaks; a server that does not answer is not asked again."""
    return Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,))


class _Connection(redis.Connection):
    """One whose look at itself, which precedes every use, costs no wait: under gevent redis-py's own is one."""

    def can_read(self, timeout: float = 0) -> bool:
        connection = cast("socket.socket | None", self._sock)
        if timeout == 0 and connection is not None and is_quiet(connection):
            return False
        return bool(super().can_read(timeout))


def open_client(url: str) -> redis.Redis:
    """A client that has not connected yet. `ConfigurationError` never shows the URL, which may hold a password."""
    scheme, colon, rest = url.partition(":")
    url = scheme.lower() + colon + rest
    behind_sentinels = url.startswith(sentinel.SCHEME)
    try:
        if behind_sentinels:
            pool = sentinel.open_sentinel_pool(url, _defaults(), _retry)
        else:
            plain: dict[str, Any] = {"connection_class": _Connection} if url.startswith("redis://") else {}
            pool = redis.ConnectionPool.from_url(url, **plain, **_defaults(), retry=_retry())
        pool.connection_class(**pool.connection_kwargs)
    except TypeError as exc:
        # The only thing it can be about is a name in the query.
        option = str(exc).rpartition("argument ")[2]
        raise ConfigurationError(f"The Redis URL has an option that redis-py does not know: {option}.") from None
    except (ValueError, RedisError):
        form = sentinel.FORM if behind_sentinels else _FORM
        raise ConfigurationError(
            f"The Redis URL is not valid: it has the form {form}, special characters percent-encoded."
        ) from None
    return redis.Redis(connection_pool=pool)


def explain_server(info: dict[str, Any]) -> str | None:
    """What keeps us from working with this server at all, in one line."""
    version = str(info.get("redis_version", ""))
    # Valkey names the Redis that it stands for.
    if version and tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < (6, 2):
        return f"This Redis is {version}: 6.2 or later is needed."
    if info.get("cluster_enabled"):
        return "This Redis is a node of a Cluster, which is not supported yet."
    return None


def explain_refusal(client: redis.Redis, exc: RedisError) -> str | None:
    """What is wrong with the settings, in one line, when it is they that keep the server from serving us."""
    pool = client.connection_pool
    if isinstance(exc, AuthenticationError):
        return "Redis refuses the user or the password of the URL."
    if isinstance(exc, MasterNotFoundError) and isinstance(pool, sentinel.FollowedMaster):
        return sentinel.explain_missing_master(pool)
    passing = isinstance(exc, (ReadOnlyError, OutOfMemoryError)) or str(exc).partition(" ")[0] in _PASSING
    if isinstance(exc, ResponseError) and not passing:
        return f"Redis refuses to serve: {exc}."
    return None


# --- Which layout the keys under a prefix have: written by whoever opens it first, checked by all who come after ----

VERSION = 2
"""The layout that is written here."""

READABLE_FROM = 2
"""The oldest layout whose gateways can work on what is written here."""

OLDEST = 2
"""The oldest layout that this gateway can work on."""

STATEMENT = f"{VERSION} readable_from {READABLE_FROM}"


def explain_layout(found: str) -> str | None:
    """Why what somebody else wrote there cannot be worked on, in one line."""
    stated = re.fullmatch(r"(\d+) readable_from (\d+)", found)
    if stated is None:
        return f"This Redis says of its sessions what is not understood: {found!r}."
    version, readable_from = int(stated[1]), int(stated[2])
    if version < OLDEST:
        return (
            f"This Redis holds sessions of version {version}, and this gateway works on those from {OLDEST} on: export "
            "them with the old one, and import them under another prefix."
        )
    if readable_from > VERSION:
        return f"This Redis holds sessions of version {version}, and this gateway knows {VERSION}."
    return None
