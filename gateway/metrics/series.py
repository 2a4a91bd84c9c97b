"""Every number that /metrics shows, and how they are read.

Under gunicorn they are kept in files that every worker can read (see `gateway.metrics.workers`), else in memory.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import cache

from prometheus_client import CONTENT_TYPE_LATEST as CONTENT_TYPE
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.values import MutexValue, ValueClass

__all__ = ["CONTENT_TYPE", "Workflow", "exposition"]

_registry = CollectorRegistry()

# From what nobody waits for to what nobody waits for any longer.
_STORE_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_WAIT_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60)
_ANSWER_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 13, 20, 30, 60, 120, 300, 600)


def _counter(name: str, help: str, *labels: str) -> Counter:
    return Counter(name, help, labels, registry=_registry)


def _gauge(name: str, help: str) -> Gauge:
    # The sum over the processes that live.
    return Gauge(name, help, registry=_registry, multiprocess_mode="livesum")


def _histogram(name: str, help: str, buckets: Iterable[float], *labels: str) -> Histogram:
    return Histogram(name, help, labels, registry=_registry, buckets=tuple(buckets))


# --- Turns -------------------------------------------------------------------------------------------------

TURNS = _counter("gateway_turns_total", "Turns that came to their end, by how.", "outcome", "workflow")
TURN_ERRORS = _counter("gateway_turn_errors_total", "Turns that failed or were refused, by the error's code.", "code")
TURNS_REPLAYED = _counter("gateway_turns_replayed_total", "Replies given again without a turn.", "workflow")
TURNS_UNDER_WAY = _gauge("gateway_turns_under_way", "Turns that hold their session now.")
TURNS_WAITING = _gauge("gateway_turns_waiting", "Turns that wait for their session now.")
TURN_WAIT = _histogram("gateway_turn_wait_seconds", "How long turns waited for their session.", _WAIT_SECONDS)
FIRST_WORD = _histogram(
    "gateway_first_word_seconds",
    "From a streamed turn's arrival to the first word of its reply.",
    _ANSWER_SECONDS,
    "workflow",
)
TURN_SECONDS = _histogram(
    "gateway_turn_seconds", "From a turn's arrival to its end, waiting included.", _ANSWER_SECONDS, "workflow"
)
TICKETS_LOST = _counter("gateway_tickets_lost_total", "Turns that lost their session because a lease ran out.")
ORPHANS = _counter(
    "gateway_conversations_orphaned_total",
    "Conversations that are left at the provider for sure, or perhaps, without a session.",
    "certain",
)

# --- What lies behind --------------------------------------------------------------------------------------

PROVIDER_CALLS = _counter(
    "gateway_provider_calls_total", "Calls of the provider: ok, failed (in a good answer), or an error's code.",
    "operation", "outcome",
)  # fmt: skip
PROVIDER_SECONDS = _histogram(
    "gateway_provider_seconds",
    "How long calls of the provider took; a stream to its end.",
    _ANSWER_SECONDS,
    "operation",
)
STORE_SECONDS = _histogram(
    "gateway_store_seconds",
    "How long steps of the store took; the count is that of steps.",
    _STORE_SECONDS,
    "operation",
)
LEASES_RENEWED = Gauge(
    "gateway_leases_renewed_seconds",
    "When a worker renewed its leases last, in epoch seconds.",
    ["worker"],
    registry=_registry,
    multiprocess_mode="livemax",
)
STORE_ERRORS = _counter("gateway_store_errors_total", "Steps in which the store did not answer.", "operation")

# --- Erasing and sweeping ----------------------------------------------------------------------------------

ERASURES = _counter("gateway_erasures_total", "Attempts to erase a conversation: done, unfinished, failed.", "outcome")
ITEMS_ERASED = _counter("gateway_erased_items_total", "Items deleted at the provider by erasures.")
RESPONSES_ERASED = _counter("gateway_erased_responses_total", "Stored responses deleted at the provider by erasures.")
SWEEPS = _counter("gateway_sweeps_total", "Rounds of the sweeper, by whether they came to their end.", "outcome")
SESSIONS_EXPIRED = _counter("gateway_sessions_expired_total", "Sessions that the sweeper dropped as expired.")

# --- Requests ----------------------------------------------------------------------------------------------

REQUESTS = _counter("gateway_requests_total", "Requests that were answered.", "route", "method", "status")
RATE_LIMITED = _counter("gateway_rate_limited_total", "Requests that were refused as too many.")

# What may stay zero for long is there from the beginning, so that its first increase is seen.
for _outcome in ("done", "unfinished", "failed"):
    ERASURES.labels(_outcome)
for _outcome in ("done", "failed"):
    SWEEPS.labels(_outcome)
for _certain in ("yes", "no"):
    ORPHANS.labels(_certain)


class Workflow:
    """The series of one workflow."""

    def __init__(self, name: str) -> None:
        outcomes = ("completed", "incomplete", "requires_action", "failed", "refused")
        self.ends = {outcome: TURNS.labels(outcome, name) for outcome in outcomes}
        self.replayed = TURNS_REPLAYED.labels(name)
        self.first_word = FIRST_WORD.labels(name)
        self.seconds = TURN_SECONDS.labels(name)


# Looked up often, and there are few of them: none has a label that a caller can choose.
workflow = cache(Workflow)
provider_calls = cache(PROVIDER_CALLS.labels)
provider_seconds = cache(PROVIDER_SECONDS.labels)
store_seconds = cache(STORE_SECONDS.labels)
requests = cache(REQUESTS.labels)


def exposition() -> bytes:
    """All of it in Prometheus' text format, over all processes that share the numbers."""
    if ValueClass is MutexValue:
        return generate_latest(_registry)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    patience = 100
    while True:
        try:
            return generate_latest(registry)
        except struct.error:
            # A worker that starts just now has made its file, and is about to write the head of it.
            patience -= 1
            if not patience:
                raise
