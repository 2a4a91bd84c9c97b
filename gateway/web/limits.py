"""How much one caller may ask for: requests in a time, and turns under way at once."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from flask import Flask, Response, after_this_request, g

from gateway.config import Settings
from gateway.errors import QueueFullError, RateLimitedError, StoreUnavailableError
from gateway.sessions.schemes import scheme_of
from gateway.web.access import principal
from gateway.web.requests import application

if TYPE_CHECKING:
    from limits.storage import Storage

T = TypeVar("T")


def install(app: Flask, settings: Settings) -> None:
    if settings.rate_limit is None:
        return
    # Of use to few, and a tenth of the start.
    import limits
    from limits.errors import StorageError
    from limits.strategies import MovingWindowRateLimiter

    rate = limits.parse(settings.rate_limit)
    limiter = MovingWindowRateLimiter(_storage(settings))

    @app.before_request
    def _count() -> None:
        if "principal" not in g:
            return
        caller = principal()
        who = (caller.tenant, caller.name)
        try:
            if limiter.hit(rate, *who):
                return
            free_at = limiter.get_window_stats(rate, *who).reset_time
        except StorageError as exc:
            raise StoreUnavailableError(retry_after=1) from exc
        raise RateLimitedError(
            f"More than {settings.rate_limit}: slow down.", retry_after=max(1.0, free_at - time.time())
        )


class TurnSlots:
    """The turns under way in this process, of all and of each principal."""

    def __init__(self, most: int, most_each: int | None) -> None:
        self._most = most
        self._most_each = most_each
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    def take(self, who: str) -> Callable[[], None]:
        """A slot for one turn, and what gives it back."""
        with self._lock:
            if self._most_each is not None and self._taken[who] >= self._most_each:
                raise RateLimitedError("This caller has too many turns under way.", retry_after=1)
            if self._taken.total() >= self._most:
                raise QueueFullError("Too many turns are under way in this process.", retry_after=1)
            self._taken[who] += 1
        return lambda: self._give_back(who)

    def _give_back(self, who: str) -> None:
        with self._lock:
            self._taken[who] -= 1
            if not self._taken[who]:
                del self._taken[who]


class Slot:
    """One of them, taken until both are gone who need it: the turn, and the client that is given its reply."""

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back = give_back
        self._lock = threading.Lock()
        self._needed = 1

    def counted(self, events: Iterator[T]) -> Iterator[T]:
        """The same events, which need the slot until they end."""
        with self._lock:
            self._needed += 1
        try:
            yield from events
        finally:
            self.leave()

    def leave(self) -> None:
        with self._lock:
            self._needed -= 1
            gone = not self._needed
        if gone:
            self._give_back()


def take_slot() -> Slot:
    """A slot among the turns under way, until the client has its reply or is gone. Refused when there is none."""
    caller = principal()
    slot = Slot(application().turn_slots.take(f"{caller.tenant}/{caller.name}"))

    @after_this_request
    def _until_it_is_given(reply: Response) -> Response:
        reply.call_on_close(slot.leave)
        return reply

    return slot


def _storage(settings: Settings) -> Storage:
    """Redis counts for every process where it is the store anyway; elsewhere each process counts for itself."""
    from limits.storage import MemoryStorage, RedisStorage

    if scheme_of(settings.store) not in ("redis", "rediss", "redis+sentinel"):
        return MemoryStorage()
    from gateway.sessions.redis.connect import open_client

    pool = open_client(settings.store).connection_pool
    pool.max_connections = 2**31  # one that is full would refuse instead of waiting
    prefix = f"{settings.store_prefix}:rate"
    return RedisStorage("redis://", connection_pool=pool, key_prefix=prefix, wrap_exceptions=True)
