"""Which tests are quick, which run on one worker, and in which order."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

STORES = ["memory", "json", "sqlite", "postgresql", "mariadb", "valkey"]
NETWORKED = {"postgresql", "mariadb", "valkey", "redis"}
SERVERS = {"postgres", "mariadb", "valkey", "redis_server", "sentinel", "chromium"}
"""The fixtures of conftest.py that nobody has for nothing."""

LONG = ("tests/faults/", "tests/deploy/", "tests/web/console/", "tests/web/v1/", "tests/web/test_sessions_processes.py")
"""Few tests that take long: begun last they would keep one worker busy while the others have nothing left to do."""
TOGETHER = ("tests/web/console/", "tests/web/v1/")
"""Folders whose files share what they talk to."""
WAITING = {"SHORT_LEASE_SECONDS", "outlast", "wait_until_dead"}
"""A test that names one of these, of gateway.testing, waits until a lease has run out."""


def is_quick(item: pytest.Item) -> bool:
    """As far as it can be seen beforehand: what starts a server all the same is skipped when it does."""
    assert isinstance(item, pytest.Function)
    given = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return not (
        item.nodeid.startswith(LONG)
        or item.get_closest_marker("slow")
        or WAITING.intersection(item.function.__code__.co_names)
        or SERVERS.intersection(item.fixturenames)
        or NETWORKED.intersection(str(value).partition("-")[0] for value in given)
    )


class ByStore(LoadScopeScheduling):
    """What shares servers and processes runs on one worker: the tests of a file, those of each store by themselves."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def group_of(nodeid: str) -> str:
    file, _, test = nodeid.partition("::")
    if file.startswith(TOGETHER):
        return file.rpartition("/")[0]
    kinds = {*STORES, *NETWORKED} & set(re.split(r"[^a-z]+", test.partition("[")[2]))
    return " ".join([file, *sorted(kinds)])


def longest_first(items: Sequence[pytest.Item]) -> Callable[[pytest.Item], Any]:
    """What to sort the tests by, so that what takes longest begins first."""
    sizes = Counter(group_of(item.nodeid) for item in items)
    return lambda item: (not item.nodeid.startswith(LONG), -sizes[group_of(item.nodeid)])
