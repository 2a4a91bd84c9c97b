"""Storms on a real store, checked afterwards; or, with --turns, as many turns in a row, and what grows meanwhile.

python3 dev.py soak [--store NAME] [--minutes N] [--seed N] [--gateways N]
python3 dev.py soak [--store NAME] --turns N
"""

from __future__ import annotations

import argparse
import pickle
import sys
import time
from pathlib import Path

from tests.harness.server import Server
from tests.harness.servers import Redis, Valkey
from tests.soak.checker import check
from tests.soak.steady import HEADINGS, growth, steady
from tests.soak.storm import STORES, counts, storm


def main() -> int:
    options = argparse.ArgumentParser(
        prog="dev.py soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--store", choices=sorted(STORES), default="valkey")
    options.add_argument("--minutes", type=float, default=10, help="how long a storm lasts [10]")
    options.add_argument("--seed", type=int, default=int(time.time()), help="repeats a storm's plan [the time]")
    options.add_argument("--gateways", type=int, default=2, help="gateways in a storm [2]")
    options.add_argument("--turns", type=int, help="no storm: this many turns in a row")
    given = options.parse_args()
    kind = STORES[given.store]
    # A storm crashes it: what it acknowledged must be on its disk by then.
    with kind(durable=given.turns is None) if issubclass(kind, Valkey) else kind() as server:
        url = server.url() if isinstance(server, Redis) else server.database("soak")
        if given.turns is not None:
            return turns_in_a_row(server, url, given.turns)
        return weather(server, url, given)


def weather(server: Server, url: str, given: argparse.Namespace) -> int:
    """A storm, its counts, and each breach of a promise in a line."""
    print(f"{given.minutes:g} minutes on {server.name}, {given.gateways} gateways, seed {given.seed}", flush=True)
    history = storm(server, url, seconds=given.minutes * 60, seed=given.seed, gateways=given.gateways)
    breaches = check(history)
    for name, number in [*counts(history), ("breaches of a promise", len(breaches))]:
        print(f"  {name:<34}{number:>8,}")
    for breach in breaches:
        print(f"BREACH {breach}")
    if breaches:
        kept = Path(f"soak-{given.store}-{given.seed}.pickle")
        kept.write_bytes(pickle.dumps(history))
        print(f"The whole history is in {kept}.")
    return 1 if breaches else 0


def turns_in_a_row(server: Server, url: str, turns: int) -> int:
    """A line for each part of them, and one for each thing that grew."""
    print(f"{turns:,} turns in a row on {server.name}\n{HEADINGS}", flush=True)
    samples = []
    for sample in steady(server, url, turns=turns):
        print(sample, flush=True)
        samples.append(sample)
    grown = list(growth(samples))
    for what in grown:
        print(f"GROWN {what}")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
