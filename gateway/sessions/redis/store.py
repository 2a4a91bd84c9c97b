"""The store, put together out of its parts."""

from __future__ import annotations

from gateway.sessions.redis.client import Client
from gateway.sessions.redis.erasures import RedisErasures
from gateway.sessions.redis.hints import Hints
from gateway.sessions.redis.keys import Keys
from gateway.sessions.redis.owners import RedisOwners
from gateway.sessions.redis.records import RedisRecords
from gateway.sessions.redis.sessions import RedisSessions
from gateway.sessions.redis.steps import Steps
from gateway.sessions.redis.tickets import RedisTickets
from gateway.sessions.store import Store
from gateway.sessions.values import Terms


class RedisStore(Store):
    """Sessions in Redis or Valkey: many hosts, few connections, one script a step."""

    idle_seconds = 7 * 86400.0

    def __init__(self, client: Client, *, keys: Keys, terms: Terms) -> None:
        self.client = client
        self.keys = keys
        self.terms = terms
        self._steps = steps = Steps(client, keys, terms)
        hints = Hints(steps)
        self.tickets = RedisTickets(steps)
        self.sessions = RedisSessions(steps, hints)
        self.records = RedisRecords(steps, hints)
        self.erasures = RedisErasures(steps, hints)
        self.owners = RedisOwners(steps)

    def now(self) -> int:
        return self._steps.now()

    def ping(self) -> None:
        """A replica could be read, and would answer a PING: what nobody reads is written."""
        self.client.call("SET", self.keys.ping, "", "PX", 1)

    def close(self) -> None:
        self.client.close()
