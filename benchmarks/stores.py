"""The store's part of a turn, measured in this process: its CPU time, its round trips, its waiting."""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import sqlalchemy
from redis.connection import AbstractConnection, ConnectionPool

from gateway.errors import GatewayError
from gateway.model import Session, SessionKey, TurnState
from gateway.sessions import Filter, SessionManager, open_sessions
from gateway.sessions.redis import RedisStore
from gateway.sessions.sql import SqlStore

Side = tuple[SessionManager, Sequence[str]]
"""A store, and the sessions whose turns are taken round and round."""

_PUT_AT_ONCE = 2_000
_USAGE = {"input_tokens": 36, "output_tokens": 20, "total_tokens": 56}


@contextmanager
def opened(url: str, prefix: str) -> Iterator[SessionManager]:
    """A store of this prefix that nobody has used."""
    with open_sessions(url, prefix=f"{prefix}_{time.time_ns() % 10**9}") as store:
        yield store


def turn(store: SessionManager, session_id: str) -> None:
    """All that a turn asks of the store."""
    with store.turn(SessionKey("", session_id)) as held:
        if held.session is None:
            held.bind(f"conv_{session_id}")
        held.begin()
        held.finish(TurnState.COMPLETED, response_id=f"resp_{held.record.turn_id}", usage=_USAGE)


def fill(store: SessionManager, count: int, *, seconds: float = 60.0) -> bool:
    """Puts in the sessions `s0` to `s<count - 1>` that are not there yet. False when that took too long."""
    until = time.monotonic() + seconds
    now = store.now()

    def put(begin: int) -> bool:
        numbers = range(begin, min(begin + _PUT_AT_ONCE, count))
        if time.monotonic() > until:
            return False
        if store.get(SessionKey("", f"s{numbers[-1]}")) is None:
            store.put([Session("", f"s{n}", f"conv_{n}", created_at=now, last_used=now - count + n) for n in numbers])
        return True

    # Two, so that the server is never idle.
    with ThreadPoolExecutor(2) as threads:
        return all(threads.map(put, range(0, count, _PUT_AT_ONCE)))


def turn_cost(store: SessionManager, session_of: Callable[[int], str], turns: int) -> float:
    """Microseconds of this process's CPU a turn."""
    for number in range(20):
        turn(store, session_of(number))
    began = time.thread_time()
    for number in range(turns):
        turn(store, session_of(number))
    return (time.thread_time() - began) / turns * 1e6


def spread(sessions: int) -> list[str]:
    """Some of so many sessions, from all over them."""
    return [f"s{number * 7919 % sessions}" for number in range(1000)]


def ratio_of_turns(one: Side, other: Side, turns: int) -> float:
    """What a turn of the one costs over one of the other: the middles of both, which take turns."""
    costs: list[list[float]] = [[], []]
    for number in range(turns):
        for (store, session_ids), seen in zip((one, other), costs, strict=True):
            began = time.thread_time()
            turn(store, session_ids[number % len(session_ids)])
            seen.append(time.thread_time() - began)
    return statistics.median(costs[0]) / statistics.median(costs[1])


def cost_by_turn(store: SessionManager, turns: int, step: int = 100) -> Iterator[tuple[int, float]]:
    """The microseconds of the turns up to each hundredth of one session, the middle of every hundred."""
    turn(store, "s0")
    for last in range(step, turns, step):
        costs = []
        for _ in range(step):
            began = time.thread_time()
            turn(store, "s0")
            costs.append(time.thread_time() - began)
        yield last, statistics.median(costs) * 1e6


def page_cost(store: SessionManager, pages: int) -> float:
    """Microseconds of waiting for a page of the listing: it is the server that could grow slow."""
    return statistics.median(_page(store) for _ in range(pages)) * 1e6


def ratio_of_pages(one: SessionManager, other: SessionManager, pages: int) -> float:
    """What a page of the one costs over one of the other: the middles of both, which take turns."""
    costs = [(_page(one), _page(other)) for _ in range(pages)]
    return statistics.median(cost for cost, _ in costs) / statistics.median(cost for _, cost in costs)


def _page(store: SessionManager) -> float:
    began = time.perf_counter()
    store.list(Filter(""), limit=20)
    return time.perf_counter() - began


# --- Round trips ---------------------------------------------------------------------------------------------


@contextmanager
def counted(store: SessionManager) -> Iterator[Counter[str]]:
    """Counts the `trips` to the store's server (a batch of commands, or a statement, is one), and the connections that
    are `in_use`."""
    counts: Counter[str] = Counter()

    def count(name: str, by: int, then: Callable[..., Any] = lambda *event: None) -> Callable[..., Any]:
        def counting(*args: Any, **options: Any) -> Any:
            counts[name] += by
            return then(*args, **options)

        return counting

    with ExitStack() as stack:
        if isinstance(store.store, RedisStore):
            for owner, method, name, by in (
                (AbstractConnection, "send_packed_command", "trips", 1),
                (ConnectionPool, "get_connection", "in_use", 1),
                (ConnectionPool, "release", "in_use", -1),
            ):
                stack.enter_context(patch.object(owner, method, count(name, by, getattr(owner, method))))
        else:
            assert isinstance(store.store, SqlStore)
            engine = store.store.database.engine
            for event, name, by in (
                ("before_cursor_execute", "trips", 1),
                ("checkout", "in_use", 1),
                ("checkin", "in_use", -1),
            ):
                listener = count(name, by)
                sqlalchemy.event.listen(engine, event, listener)
                stack.callback(sqlalchemy.event.remove, engine, event, listener)
        yield counts


def trips_of_a_turn(store: SessionManager) -> int:
    turn(store, "s0")
    with counted(store) as counts:
        turn(store, "s0")
    return counts["trips"]


def trips_of_a_first_turn(store: SessionManager) -> int:
    turn(store, "s0")
    with counted(store) as counts:
        turn(store, f"new_{time.time_ns()}")
    return counts["trips"]


def calls_of_a_wait(store: SessionManager, seconds: float) -> tuple[float, int]:
    """How often a waiting turn asks the store in a second, and how many connections it holds while it waits."""
    turn(store, "s0")
    key = SessionKey("", "s0")
    with store.turn(key), counted(store) as counts:
        waiter = threading.Thread(target=_wait, args=(store, key, seconds))
        waiter.start()
        time.sleep(0.2)
        began, before = time.monotonic(), counts["trips"]
        time.sleep(seconds / 2)
        calls = (counts["trips"] - before) / (time.monotonic() - began)
        # At any one moment a look may be under way: what is held is held at every moment.
        held = min(counts["in_use"] for _ in range(50) if not time.sleep(0.002))
        waiter.join()
    return calls, held


def _wait(store: SessionManager, key: SessionKey, seconds: float) -> None:
    try:
        with store.turn(key, wait_seconds=seconds):
            pass
    except GatewayError:
        pass


# --- The JSON store ------------------------------------------------------------------------------------------


def json_store_cost(sessions: int, *, processes: int, turns: int) -> dict[str, float]:
    """The store's own time of a turn (median, ms) with so many processes at once, and of a look-up (µs)."""
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
        url = f"json:{Path(folder) / 'sessions.json'}"
        with open_sessions(url) as store:
            fill(store, sessions)
            store.get(SessionKey("", "s1"))
            began = time.thread_time()
            for _ in range(200):
                store.get(SessionKey("", "s1"))
            read_us = (time.thread_time() - began) / 200 * 1e6
        fork = multiprocessing.get_context("spawn")
        times: Any = fork.Queue()
        workers = [fork.Process(target=_json_turns, args=(url, number, turns, times)) for number in range(processes)]
        for worker in workers:
            worker.start()
        seen = [each for _ in workers for each in times.get(timeout=300)]
        for worker in workers:
            worker.join()
    return {"ms": statistics.median(seen) * 1000, "read_us": read_us}


def _json_turns(url: str, number: int, turns: int, times: Any) -> None:
    seen = []
    with open_sessions(url) as store:
        for count in range(turns):
            began = time.perf_counter()
            turn(store, f"s{number * 100 + count % 100}")
            seen.append(time.perf_counter() - began)
            time.sleep(0.05)  # a provider would answer meanwhile
    times.put(seen)
