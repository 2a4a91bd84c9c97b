"""A store whose steps are counted and timed: a wrapper round any other."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from gateway.errors import StoreUnavailableError, TurnLostError
from gateway.metrics import series
from gateway.sessions.store import Store

Part = TypeVar("Part")


class MeteredStore(Store):
    """The store behind it, each step of its parts seen. That it is busy, or has no such session, is an answer."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.terms = store.terms
        self.shared = store.shared
        self.idle_seconds = store.idle_seconds
        self.tickets = _metered(store.tickets, "tickets")
        self.sessions = _metered(store.sessions, "sessions")
        self.records = _metered(store.records, "records")
        self.erasures = _metered(store.erasures, "erasures")
        self.owners = _metered(store.owners, "owners")

    def now(self) -> int:
        return self._store.now()

    def ping(self) -> None:
        self._store.ping()

    def close(self) -> None:
        self._store.close()


class _Metered:
    """A part of a store. Each verb is wrapped when it is first asked for, and found at once from then on."""

    def __init__(self, part: object, name: str) -> None:
        self._part = part
        self._name = name

    def __getattr__(self, verb: str) -> Any:
        metered = _timed(f"{self._name}.{verb}", getattr(self._part, verb))
        setattr(self, verb, metered)
        return metered


def _metered(part: Part, name: str) -> Part:
    return cast(Part, _Metered(part, name))


def _timed(operation: str, step: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(step)
    def timed(*args: Any, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            answer = step(*args, **options)
        except TurnLostError:
            series.TICKETS_LOST.inc()
            raise
        except StoreUnavailableError:
            series.STORE_ERRORS.labels(operation).inc()
            raise
        finally:
            series.store_seconds(operation).observe(time.perf_counter() - began)
        if answer is None and operation == "tickets.poll":
            series.TICKETS_LOST.inc()
        elif operation == "tickets.renew":
            # By worker: one that has none to renew (the master of a gunicorn) must not stand for the others.
            series.LEASES_RENEWED.labels(str(os.getpid())).set_to_current_time()
        return answer

    return timed
