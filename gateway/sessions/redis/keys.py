"""What the keys are called. Those of one session share a hash slot, and so do the indices of one tenant.

    {prefix}:{TENANT/SESSION}:session     hash: the mapping, readable in redis-cli; carries the TTL
                             :lock        hash: holder, fence, and the last number given to a ticket or a fence
                             :queue       zset: tickets by number; the first one holds
                             :leases      zset: tickets by the end of their lease
                             :turns       hash: turn_id → record (JSON)
                             :log         zset: turns that have begun, by time
                             :responses   zset: what stays of older turns: "conversation_id response_id"
                             :erasures    hash: conversation_id → what is to be erased (JSON)
    {prefix}:key:{TENANT/KEY}             string: SESSION/TURN, the owner of an idempotency key
    {prefix}:given:{TENANT/ID}            string: whose turn's this response is ("CONVERSATION SESSION WORKFLOW");
                                          empty: an id that was given outside of every session; each for 30 days
    {prefix}:{TENANT/}:used               zset: sessions by last use; also :status:STATUS and :user:USER
                      :names              zset: sessions by name
                      :made               zset: sessions by when they were made
                      :expires            zset: SESSION or SESSION/USER by expiry, for the sweeper
                      :trim               zset: sessions by when their old turn records are due
    {prefix}:tenants                      zset: tenants by their latest new session
    {prefix}:erasures                     zset: TENANT/SESSION with something to be erased, by time
    {prefix}:api-keys                     hash: an API key's name → its hash, and whose it is (JSON)

The braces around TENANT/… are literal. Neither a session id nor what is percent-encoded (tenants, users, idempotency
keys) can hold a slash or a brace.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

from gateway.model import Session, SessionKey, Status

_SESSION_PARTS = ("session", "lock", "queue", "leases", "turns", "log", "responses", "erasures")


def encode_name(name: str) -> str:
    """`name` without slashes, braces and colons."""
    return quote(name, safe="") if name else ""


class Keys:
    """The names of all keys that begin with `prefix`."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.tenants = f"{prefix}:tenants"
        self.erasures = f"{prefix}:erasures"
        self.api_keys = f"{prefix}:api-keys"

    def of(self, key: SessionKey) -> tuple[str, ...]:
        """The keys of a session in the order in which its scripts know them."""
        base = f"{self.prefix}:{{{encode_name(key.tenant)}/{key.session_id}}}:"
        return tuple([base + part for part in _SESSION_PARTS])

    def session(self, key: SessionKey) -> str:
        return self.part(key, "session")

    def part(self, key: SessionKey, part: str) -> str:
        return f"{self.prefix}:{{{encode_name(key.tenant)}/{key.session_id}}}:{part}"

    def claim(self, tenant: str, idempotency_key: str) -> str:
        return f"{self.prefix}:key:{{{encode_name(tenant)}/{encode_name(idempotency_key)}}}"

    def given(self, tenant: str, given_id: str) -> str:
        return f"{self.prefix}:given:{{{encode_name(tenant)}/{encode_name(given_id)}}}"

    def index(self, tenant: str, name: str) -> str:
        return f"{self.prefix}:{{{encode_name(tenant)}/}}:{name}"

    def by_status(self, tenant: str, status: Status) -> str:
        return self.index(tenant, f"status:{status.value}")

    def by_user(self, tenant: str, user_id: str) -> str:
        return self.index(tenant, f"user:{encode_name(user_id)}")


def encode_key(key: SessionKey) -> str:
    return f"{encode_name(key.tenant)}/{key.session_id}"


def decode_key(name: str) -> SessionKey:
    tenant, _, session_id = name.partition("/")
    return SessionKey(unquote(tenant), session_id)


def encode_expiring(session_id: str, user_id: str | None) -> str:
    """A session's name in the index of expiry: it says whose it was when the mapping is gone already."""
    return session_id if user_id is None else f"{session_id}/{encode_name(user_id)}"


def expiring_name(session: Session) -> str:
    return encode_expiring(session.session_id, session.user_id)


def decode_expiring(name: str) -> tuple[str, str | None]:
    session_id, slash, user_id = name.partition("/")
    return session_id, unquote(user_id) if slash else None
