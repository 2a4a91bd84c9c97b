"""Session stores: `open_sessions(url)` gives a `SessionManager` on the store that the URL's scheme names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.sessions.manager import SessionManager
from gateway.sessions.merging import Merge, merge
from gateway.sessions.schemes import open_store
from gateway.sessions.turn import Turn
from gateway.sessions.values import Filter, Lifetime, Page, Terms

__all__ = ["Filter", "Lifetime", "Merge", "Page", "SessionManager", "Terms", "Turn", "merge", "open_sessions"]


def open_sessions(
    url: str,
    *,
    prefix: str = "gateway",
    lease_seconds: float = 30.0,
    erase_expired: bool = False,
    clock: Callable[[], float] | None = None,
    lifetime: Lifetime | None = None,
    wait_seconds: float = 25.0,
    queue_limit: int = 16,
    max_waiting: int | None = None,
    encryption_keys: Sequence[str] = (),
) -> SessionManager:
    """`prefix` begins table names and Redis keys; the rest is told at `Terms` and `SessionManager`.
    `ConfigurationError` says in one line what is wrong."""
    terms = Terms(lease_seconds=lease_seconds, erase_expired=erase_expired, clock=clock)
    store = open_store(url, prefix=prefix, terms=terms)
    try:
        return SessionManager(
            store,
            lifetime=lifetime,
            wait_seconds=wait_seconds,
            queue_limit=queue_limit,
            max_waiting=max_waiting,
            encryption_keys=encryption_keys,
        )
    except BaseException:
        store.close()
        raise
