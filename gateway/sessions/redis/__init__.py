"""Sessions in Redis or Valkey (6.2 or later), also behind Sentinels: `redis://`, `rediss://`, `redis+sentinel://`.

Each step of a turn is one Lua script and one round trip; a turn takes four, with a key too, and one more
where it binds its session. Leases run on the server's own clock.

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

All keys of a tenant share a hash slot, so that each step, indices and idempotency keys included, is one script that
decides and writes; only the hints at where to look among all tenants lie elsewhere. So a Redis Cluster, which comes
later, spreads tenants over its nodes as they are; without auth there is one tenant, and so one slot.

A turn's record is a hash that Redis drops when its time is over. Of a session that went by its TTL the sweeper drops
the records, and what names it in the indices.
"""

from __future__ import annotations

from gateway.errors import ConfigurationError
from gateway.sessions.redis.client import Client
from gateway.sessions.redis.connect import open_client
from gateway.sessions.redis.keys import Keys
from gateway.sessions.redis.store import RedisStore
from gateway.sessions.values import Terms

__all__ = ["RedisStore", "open_redis"]


def open_redis(url: str, *, prefix: str, terms: Terms) -> RedisStore:
    """The store behind `url`. A server that cannot be reached now is no error here: the first use says so."""
    if not prefix or any(character in "{}" or not character.isprintable() for character in prefix):
        raise ConfigurationError(f"{prefix!r} cannot begin the names of Redis keys: no braces, and not empty.")
    keys = Keys(prefix)
    client = Client(open_client(url), version_key=keys.version)
    try:
        client.open()
    except ConfigurationError:
        client.close()
        raise
    return RedisStore(client, keys=keys, terms=terms)
