"""What is measured, and what it is held against: P1 to P8. Ratios of runs that took turns on one machine."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psutil

from benchmarks import stores
from benchmarks.targets import JSON, WORKERS, Gateway, House, Target, processes, put_load

STORES = ("Redis", "PostgreSQL")
TIMES = " ×"  # noqa: RUF001 - it is meant


@dataclass(frozen=True)
class Verdict:
    """One line of the table."""

    measure: str
    what: str
    value: float
    target: str
    met: bool
    unit: str = ""

    @classmethod
    def at_least(cls, measure: str, what: str, value: float, least: float, unit: str = TIMES) -> Verdict:
        return cls(measure, what, value, f"≥ {least:g}{unit}", value >= least, unit)

    @classmethod
    def at_most(cls, measure: str, what: str, value: float, most: float, unit: str) -> Verdict:
        return cls(measure, what, value, f"≤ {most:g}{unit}", value <= most, unit)


@dataclass
class Run:
    """The benchmarks as they go: what runs, how long it may take, and the raw figures for the results and the plots."""

    house: House
    quick: bool
    figures: JSON = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return 1.0 if self.quick else 2.0

    @property
    def rounds(self) -> int:
        return 2 if self.quick else 5


def say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def side_by_side(run: Run, targets: list[Target], **load: Any) -> dict[str, JSON]:
    """The medians of every target, which take turns: a machine that slows down slows down all of them."""
    seen: dict[str, list[JSON]] = {target.name: [] for target in targets}
    for target in targets:
        put_load(target, clients=load["clients"], seconds=0.5, stream=load["stream"])
    for number in range(run.rounds):
        for target in targets[number % len(targets) :] + targets[: number % len(targets)]:
            seen[target.name].append(put_load(target, seconds=run.seconds, **load))
    medians: dict[str, JSON] = {}
    for name, results in seen.items():
        numbers = ("rate", "cpu_us", "first_ms", "whole_ms", "load_share")
        medians[name] = {number: statistics.median(result[number] for result in results) for number in numbers}
        medians[name]["errors"] = sum(result["errors"] for result in results)
        medians[name]["first_error"] = next((r["first_error"] for r in results if r["first_error"]), None)
        say(
            f"{name:28} {medians[name]['rate']:7.0f}/s  {medians[name]['cpu_us']:6.0f} µs CPU a turn"
            f"  {medians[name]['errors']} errors  (the load driver spent {medians[name]['load_share']:.0%} of that)"
        )
    return medians


def _throughput(run: Run, measure: str, *, stream: bool, sdk: float, litellm: float) -> Iterator[Verdict]:
    house = run.house
    house.provider.pace()
    targets: list[Target] = [house.bare("documented"), house.bare("own"), *(house.gateway(store) for store in STORES)]
    if other := house.litellm():
        targets.append(other)
    else:
        say("LiteLLM is not installed: left out (BENCH_LITELLM names its program)")
    medians = side_by_side(run, targets, clients=50, stream=stream)
    run.figures["streams" if stream else "turns"] = medians
    documented, own, *ours = targets
    for gateway in ours[: len(STORES)]:
        mine = medians[gateway.name]
        what = f"{'streams' if stream else 'JSON turns'}/s, {gateway.name}, over"
        yield Verdict.at_least(
            measure, f"{what} {documented.name}", mine["rate"] / medians[documented.name]["rate"], sdk
        )
        if other:
            yield Verdict.at_least(measure, f"{what} LiteLLM", mine["rate"] / medians[other.name]["rate"], litellm)
        if not stream:
            ratio = mine["rate"] / medians[own.name]["rate"]
            yield Verdict.at_least(measure, f"{what} {own.name} (the stretch)", ratio, 0.8)


def p1(run: Run) -> Iterator[Verdict]:
    """JSON turns of known sessions, the provider answers at once, 50 clients."""
    yield from _throughput(run, "P1", stream=False, sdk=1.2, litellm=5)


def p2(run: Run) -> Iterator[Verdict]:
    """Streams of 20 words at once, 50 clients."""
    yield from _throughput(run, "P2", stream=True, sdk=2.5, litellm=8)


def p3(run: Run) -> Iterator[Verdict]:
    """Paced streams: the first word after 500 ms, then one each 25 ms."""
    house = run.house
    house.stop("litellm")  # it is busy even when nobody asks it anything
    gateway, provider = house.gateway("Redis"), house.provider
    targets: list[Target] = [provider, gateway, house.bare("documented")]
    latency: dict[str, dict[int, float]] = {target.name: {} for target in targets}
    for clients in (200, 1000) if run.quick else (50, 100, 200, 500, 1000):
        seen: dict[str, JSON] = {}
        for target in targets:
            provider.pace(first_ms=500, gap_ms=25)
            seen[target.name] = put_load(target, clients=clients, seconds=3 if run.quick else 4, stream=True)
            latency[target.name][clients] = seen[target.name]["first_ms"]
            seen[target.name]["most_at_once"] = provider.counts().get("most_at_once", 0)
            say(f"{clients:5} streams  {target.name:28} {seen[target.name]['rate']:5.0f}/s")
        mine, best = seen[gateway.name], seen[provider.name]
        ratio = mine["rate"] / best["rate"]
        if clients == 1000:
            yield Verdict.at_least("P3", "1000 paced streams: all in flight", mine["most_at_once"], 1000, "")
            yield Verdict.at_least("P3", "1000 paced streams: of the provider's own rate", ratio, 0.6)
            yield Verdict.at_most("P3", "1000 paced streams: errors", mine["errors"], 0, "")
        elif clients == 200:
            yield Verdict.at_least("P3", "200 paced streams: of the provider's own rate", ratio, 0.97)
            later = mine["first_ms"] - best["first_ms"]
            yield Verdict.at_most("P3", "200 paced streams: first word after the provider's", later, 4, " ms")
    run.figures["first_word_ms"] = latency
    provider.pace()


def p4(run: Run) -> Iterator[Verdict]:
    """The store's part of a turn: queue, mapping, record."""
    for name, most in zip(STORES, (600, 1500), strict=True):
        with stores.opened(run.house.store(name), "p4") as store:
            stores.fill(store, 50)
            trips = stores.trips_of_a_turn(store)
            cpu = stores.turn_cost(store, lambda number: f"s{number % 50}", 300 if run.quick else 1500)
            yield Verdict.at_most("P4", f"round trips of a turn, {name}", trips, 6, "")
            yield Verdict.at_most("P4", f"store's CPU of a turn, {name}", cpu, most, " µs")


def p5(run: Run) -> Iterator[Verdict]:
    """Flat: neither a session's turns nor the number of sessions make a turn dearer."""
    count = 200 if run.quick else 500
    by_turns: dict[str, dict[int, float]] = {}
    by_sessions: dict[str, dict[int, float]] = {}
    for name in STORES:
        with stores.opened(run.house.store(name), "p5turns") as store:
            stores.fill(store, 1)
            by_turns[name] = dict(stores.cost_by_turn(store, 1100))
            # Each of the others has its second to its eleventh turn.
            young = [f"young{number}" for number in range(100)]
            for session_id in young:
                stores.turn(store, session_id)
            ratio = stores.ratio_of_turns((store, ["s0"]), (store, young), 1000)
        yield Verdict.at_most("P5", f"turn 1000 of a session over an early one, {name}", ratio, 1.1, TIMES)
        with (
            stores.opened(run.house.store(name), "p5few") as few,
            stores.opened(run.house.store(name), "p5many") as store,
        ):
            stores.fill(few, 1_000)
            sizes = [1_000, 10_000] if run.quick else [1_000, 10_000, 100_000, 1_000_000]
            by_sessions[name], pages = {}, {}
            for size in sizes:
                if not stores.fill(store, size, seconds=110):
                    say(f"{name}: {size:,} sessions could not be put in within two minutes: left out")
                    break
                costs = [stores.turn_cost(store, lambda n, size=size: f"s{n * 7919 % size}", count) for _ in range(3)]
                by_sessions[name][size] = min(costs)
                pages[size] = stores.page_cost(store, 100)
                say(f"{name}: {size:,} sessions: {by_sessions[name][size]:.0f} µs a turn, {pages[size]:.0f} µs a page")
            largest = max(pages)
            sides = (store, stores.spread(largest)), (few, stores.spread(1_000))
            ratio = stores.ratio_of_turns(*sides, 2 * count)
            yield Verdict.at_most("P5", f"a turn, {largest:,} sessions over 1,000, {name}", ratio, 1.1, TIMES)
            ratio = stores.ratio_of_pages(store, few, 300)
            what = f"a page of the listing, {largest:,} sessions over 1,000, {name}"
            yield Verdict.at_most("P5", what, ratio, 1.1, TIMES)
    run.figures |= {"store_us_by_turn": by_turns, "store_us_by_sessions": by_sessions}


def p6(run: Run) -> Iterator[Verdict]:
    """The JSON store with 10,000 sessions, four processes at once."""
    sessions = 1_000 if run.quick else 10_000
    cost = stores.json_store_cost(sessions, processes=4, turns=20 if run.quick else 60)
    yield Verdict.at_most(
        "P6", f"store's time of a turn (median), {sessions:,} sessions, 4 processes", cost["ms"], 25, " ms"
    )
    yield Verdict.at_most("P6", "looking up a session in an unchanged file", cost["read_us"], 100, " µs")


def p7(run: Run) -> Iterator[Verdict]:
    """Idle, start and waiting."""
    gateway = Gateway(run.house.provider, "Redis", run.house.store("Redis"))
    began = time.monotonic()
    with gateway:
        ready = time.monotonic() - began
        time.sleep(1)
        sizes = sorted(psutil.Process(process).memory_info().rss / 2**20 for process in processes(gateway))
        # The largest of them are the workers; the rest is what watches over them.
        yield Verdict.at_most("P7", "memory of an idle worker", statistics.mean(sizes[-WORKERS:]), 75, " MB")
    yield Verdict.at_most("P7", "ready after the start", ready, 1.5, " s")
    for name in STORES:
        with stores.opened(run.house.store(name), "p7") as store:
            calls, held = stores.calls_of_a_wait(store, 2.0)
            yield Verdict.at_most("P7", f"store calls a second of a waiting turn, {name}", calls, 20, "")
            yield Verdict.at_most("P7", f"connections that a waiting turn holds, {name}", held, 0, "")


def p8(run: Run) -> Iterator[Verdict]:
    """What a first turn costs more."""
    provider, gateway = run.house.provider, run.house.gateway("Redis")
    session_id, counts = f"p8_{time.time_ns()}", []
    for _ in range(2):
        provider.pace()
        gateway.say(session_id, "hello")
        counts.append(provider.counts())
    first, second = counts
    more = sum(first[kind] - second.get(kind, 0) for kind in first if kind != "most_at_once")
    yield Verdict.at_most("P8", "calls of the provider that a first turn needs more", more, 1, "")
    for name in STORES:
        with stores.opened(run.house.store(name), "p8") as store:
            trips = stores.trips_of_a_first_turn(store) - stores.trips_of_a_turn(store)
            yield Verdict.at_most("P8", f"round trips that a first turn needs more, {name}", trips, 1, "")


MEASURES: dict[str, Callable[[Run], Iterator[Verdict]]] = {
    "p1": p1,
    "p2": p2,
    "p3": p3,
    "p4": p4,
    "p5": p5,
    "p6": p6,
    "p7": p7,
    "p8": p8,
}
