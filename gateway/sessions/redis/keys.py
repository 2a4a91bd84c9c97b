"""What the keys are called. All those of one tenant share a hash slot: its sessions, turns, indices, what it was given.

    {prefix}:{TENANT/}:session:SESSION       hash: the mapping, readable in redis-cli; carries the TTL
                       lock:SESSION          hash: holder, fence, and the last number given to a ticket or a fence
                       queue:SESSION         zset: tickets by number; the first one holds
                       leases:SESSION        zset: tickets by the end of their lease
                       turn:TURN             hash: a turn's record, which is its ticket while it is open
                       history:HISTORY       string: the session whose turns these are
                       log:HISTORY           zset: its turns that have begun, by time
                       claim:KEY             hash: the turn that an idempotency key belongs to
                       response:RESPONSE     string: its turn
                       responses:CONVERSATION  zset: the stored responses of its turns, by time
                       given:ID              string: an id that the tenant was given outside of every session
                       used, made            zsets: sessions by last use, and by when they were made
                       status:STATUS, user:USER  zsets: the same sessions by last use
                       names                 zset: "SESSION HISTORY USER"
                       erasures:SESSION      hash: conversation → what is to be erased (JSON)
                       erasing, requested    zsets: SESSION/CONVERSATION by when it is due, and by when it was asked for

    {prefix}:used, {prefix}:due              zsets: TENANT/SESSION by last use, and by when to look whether it expired
    {prefix}:erasing                         zset: tenants with erasures, by when to look
    {prefix}:api-keys                        hash: an API key's name → its hash, and whose it is (JSON)
    {prefix}:version                         string: which layout this is
    {prefix}:ping                            string: for a moment, to see that the server takes writes

The braces around TENANT/ are literal. A tenant is percent-encoded, all else is as it is: neither a session id nor an
encoded tenant can hold a slash or a space, and what stands behind the first closing brace matters to no slot.

A session's turns belong to a history, named after the turn that bound it: so a rename hands them all on by one key,
and a session that is made anew by the same name begins without those of its forerunner.
"""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import quote, unquote

from gateway.model import SessionKey


class Keys:
    """The names of all keys that begin with `prefix`."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.used = f"{prefix}:used"
        self.due = f"{prefix}:due"
        self.erasing = f"{prefix}:erasing"
        self.api_keys = f"{prefix}:api-keys"
        self.version = f"{prefix}:version"
        self.ping = f"{prefix}:ping"

    def tenant(self, tenant: str) -> str:
        """What all keys of this tenant begin with."""
        return f"{self.prefix}:{{{encode_tenant(tenant)}/}}:"

    def of(self, tenant: str, name: str) -> str:
        return self.tenant(tenant) + name

    def session(self, key: SessionKey) -> str:
        return self.of(key.tenant, f"session:{key.session_id}")


@lru_cache(1024)
def encode_tenant(tenant: str) -> str:
    return quote(tenant, safe="")


def decode_tenant(name: str) -> str:
    return unquote(name)


def encode_key(key: SessionKey) -> str:
    """The session's name among those of all tenants."""
    return f"{encode_tenant(key.tenant)}/{key.session_id}"


def decode_key(name: str) -> SessionKey:
    tenant, _, session_id = name.partition("/")
    return SessionKey(decode_tenant(tenant), session_id)
