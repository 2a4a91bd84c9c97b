"""Sentinel: `redis+sentinel://` URLs, for which redis-py has none, and following the master more closely than it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

import redis
from redis.connection import parse_url
from redis.exceptions import AuthenticationError, RedisError
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool

SCHEME = "redis+sentinel://"
FORM = "redis+sentinel://[user:password@]host:port[,host:port…]/MASTER[/DB][?option=value]"

LOOK_SECONDS = 1.0
"""How old the news of who is the master may be when a connection is used."""

_PORT = 26379


class FollowedMaster(SentinelConnectionPool):
    """Connections to whom the Sentinels call the master, also when the old one has not noticed yet.

    After an orderly failover, or cut off from everybody else, an old master goes on answering for some ten seconds, and
    what it is told then is lost. redis-py asks the Sentinels for new connections only.
    """

    _next_look = 0.0

    def get_connection(self, *args: Any, **options: Any) -> Any:
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            # Without news the master stays who it was.
            with suppress(RedisError):
                self.get_master_address()  # type: ignore[no-untyped-call]
            # Sentinels that answer slowly or not at all are asked more rarely.
            ended = time.monotonic()
            self._next_look = ended + LOOK_SECONDS + 10 * (ended - now)
        return super().get_connection(*args, **options)


class Sentinels(Sentinel):
    """Asks for the address that Sentinels give to clients: it names the new master sooner than what redis-py reads."""

    def discover_master(self, service_name: str) -> tuple[str, int]:
        for number, sentinel in enumerate(self.sentinels):
            with suppress(RedisError):
                ask: Callable[..., Any] = sentinel.execute_command
                answer = ask("SENTINEL GET-MASTER-ADDR-BY-NAME", service_name)
                if answer:
                    self.sentinels.insert(0, self.sentinels.pop(number))  # who answered is asked first
                    return str(answer[0]), int(answer[1])
        raise MasterNotFoundError(f"No master found for {service_name!r}")


def open_sentinel_pool(url: str, defaults: dict[str, Any], retry: Callable[[], Retry]) -> redis.ConnectionPool:
    """A pool that has not connected yet. `ValueError` for a URL of another form."""
    parts = urlsplit(url)
    credentials, at, hosts = parts.netloc.rpartition("@")
    service, _, database = parts.path.strip("/").partition("/")
    if not service or (database and not database.isdigit()):
        raise ValueError("no master, or no number of a database")
    sentinels = [_parse_host(host) for host in hosts.split(",")]
    # User, password, database and options mean what they mean in any other Redis URL.
    given: dict[str, Any] = parse_url(f"redis://{credentials}{at}host/{database}?{parts.query}")  # type: ignore[no-untyped-call]
    options = defaults | given
    del options["host"]
    tls = str(options.pop("ssl", "")).lower() in {"1", "true", "yes"}
    of_sentinels: dict[str, Any] = {"decode_responses": True, "ssl": tls, "retry": retry()}
    for name in options:
        if name.startswith("socket_") or (tls and name.startswith("ssl_")):
            of_sentinels[name] = options[name]
    for name in ("username", "password"):
        if (value := options.pop(f"sentinel_{name}", None)) is not None:
            of_sentinels[name] = value
    manager = Sentinels(sentinels, sentinel_kwargs=of_sentinels)  # type: ignore[no-untyped-call]
    return FollowedMaster(unquote(service), manager, ssl=tls, retry=retry(), **options)  # type: ignore[no-untyped-call]


def explain_missing_master(pool: SentinelConnectionPool) -> str | None:
    """What is wrong with the settings when no master is found, in one line; None when the Sentinels are just away."""
    for sentinel in pool.sentinel_manager.sentinels:
        try:
            known = sorted(str(name) for name in sentinel.sentinel_masters())
        except AuthenticationError:
            return "The Sentinels refuse sentinel_username or sentinel_password of the Redis URL."
        except RedisError:
            continue
        if pool.service_name not in known:
            return f"The Sentinels know no master {pool.service_name!r}; they know {', '.join(known) or 'none'}."
    return None


def _parse_host(text: str) -> tuple[str, int]:
    host = urlsplit(f"//{text}")
    if not host.hostname:
        raise ValueError("no host")
    return host.hostname, host.port or _PORT
