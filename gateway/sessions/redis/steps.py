"""What the parts of the store work with: the client, the keys, and the terms as the scripts take them."""

from __future__ import annotations

from typing import Any

from gateway.model import SessionKey
from gateway.sessions.redis.client import Client
from gateway.sessions.redis.keys import Keys
from gateway.sessions.redis.scripts import Command
from gateway.sessions.values import Terms


class Steps:
    """Each step is a script; these are the commands that run them."""

    def __init__(self, client: Client, keys: Keys, terms: Terms) -> None:
        self.client = client
        self.keys = keys
        self.terms = terms
        lease_ms = round(terms.lease_seconds * 1000)
        self._of_sessions = {
            "lease_ms": lease_ms,
            # A turn is remembered by its idempotency key for as long; so is its ticket, should its process be away.
            "ticket_ms": lease_ms + terms.retention.key_ms,
            # A TTL runs on the server's clock, so an injected one rules alone; and where expiry must erase first, the
            # mapping must not go before.
            "expiring": terms.clock is None and not terms.erase_expired,
        }

    def now(self) -> int:
        """By the server's clock, so that all hosts agree with each other and with the TTLs."""
        return self.terms.now(self.client.now)

    def of_session(
        self, script: str, key: SessionKey, turn_id: str = "", *, keys: dict[str, str] | None = None, **args: Any
    ) -> Command:
        """A step in one session; `keys` are those that it needs besides the session's own."""
        tenant, session_id = self.keys.tenant(key.tenant), key.session_id
        own = {
            "session": f"{tenant}session:{session_id}",
            "lock": f"{tenant}lock:{session_id}",
            "queue": f"{tenant}queue:{session_id}",
            "leases": f"{tenant}leases:{session_id}",
        }
        about = {"tenant": tenant, "session_id": session_id, "turn_id": turn_id}
        return self.client.command(script, {**own, **(keys or {})}, {**about, **self._of_sessions, **args})

    def of_tenant(self, script: str, tenant: str, keys: dict[str, str], **args: Any) -> Command:
        """A step in one tenant; `keys` as they are called in it."""
        base = self.keys.tenant(tenant)
        return self.client.command(script, {name: base + key for name, key in keys.items()}, {"tenant": base, **args})

    def across(self, script: str, index: str, **args: Any) -> Command:
        """A step in what spans tenants."""
        return self.client.command(script, {"index": index}, args)
