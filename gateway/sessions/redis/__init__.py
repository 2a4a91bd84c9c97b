"""Sessions in Redis or Valkey (6.2 or later), also behind Sentinels: `redis://`, `rediss://`, `redis+sentinel://`.

Each step of a turn is one Lua script and one round trip; a turn takes five. Leases run on the server's own clock.

What a Redis setting means for the promises of the store: it keeps what it was told only as well as Redis does. Without
`appendonly yes` a crash of the server forgets everything since the last snapshot; with `appendfsync everysec` (the
default) up to about a second; with `always` nothing that was acknowledged. Replication is asynchronous: a failover may
lose the last writes although they were acknowledged (a turn under way then answers `turn_lost`; a session bound in that
moment is bound anew). Behind Sentinels the master is looked up once a second, because an old one goes on answering for
some ten seconds after an orderly failover; `min-replicas-to-write 1` narrows what is lost when it is cut off. Keep
`maxmemory-policy noeviction`: any other lets Redis throw away mappings and tickets.

Without `erase_expired` the mapping carries its expiry as a TTL and goes by itself, at the latest two leases after a
turn that crashed; with it only the sweeper takes it away, once its conversation is written down as to be erased.
Whether a session has a TTL is decided at its turns: a change of `erase_expired` reaches each with its next one.

For Redis Cluster, which comes later, each script keeps to one slot (`rename` alone takes two), but what is to happen in
several slots at once is held together by MULTI and WATCH, which Cluster does not have across slots.
"""

from __future__ import annotations

from typing import Any

from redis.exceptions import RedisError

from gateway.errors import ConfigurationError
from gateway.sessions.redis.connect import explain_refusal, explain_server, open_client
from gateway.sessions.redis.link import Link
from gateway.sessions.redis.manager import RedisSessionManager

__all__ = ["RedisSessionManager", "open_redis"]


def open_redis(url: str, *, prefix: str, **options: Any) -> RedisSessionManager:
    """The store behind `url`. A server that cannot be reached now is no error here: the first use says so."""
    if not prefix or any(character in "{}" or not character.isprintable() for character in prefix):
        raise ConfigurationError(f"{prefix!r} cannot begin the names of Redis keys: no braces, and not empty.")
    client = open_client(url)
    link = Link(client)
    try:
        reason = explain_server(link.open())
    except RedisError as exc:
        reason = explain_refusal(client, exc)
    if reason is not None:
        link.close()
        raise ConfigurationError(reason)
    return RedisSessionManager(link, prefix=prefix, **options)
