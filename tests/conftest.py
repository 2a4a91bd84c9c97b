"""Fixtures for every test: real servers, and a fresh store of each kind.

Servers start when first asked for, once per pytest session (and xdist worker), and are up again before each test. A
promised one that is missing fails the test; MariaDB, a real Redis and Chromium, which no wheel promises, are skipped on
a developer's machine, and the end of the run says so in red.
"""

import itertools
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.server import claim_port
from tests.servers import RUNNING, MariaDB, Postgres, Redis, Sentinel, Server, ServerMissingError, Valkey
from tests.support import NOT_TESTED, not_tested

STORES = ["memory", "json", "sqlite", "postgresql", "mariadb", "valkey"]
REDIS = ["redis"] if os.environ.get("CI") == "true" or shutil.which("redis-server") else []
"""A real Redis is held against the whole contract of stores; elsewhere Valkey stands for both."""

_numbers = itertools.count(1)


@dataclass(frozen=True)
class StoreAddress:
    """Where a test finds a store that nobody has used: `url` and `prefix` as in GATEWAY_STORE and GATEWAY_STORE_PREFIX.

    The tests of a session share their database; the prefix is what keeps them apart.
    """

    name: str
    url: str
    prefix: str

    @property
    def shared(self) -> bool:
        """Whether other processes can open this store too."""
        return self.name != "memory"

    @property
    def networked(self) -> bool:
        return self.name not in {"memory", "json", "sqlite"}


def _serve(make: Callable[[], Server]) -> Iterator[Any]:
    server = make()
    try:
        yield server.start()
    finally:
        server.close()


def _serve_or_skip(make: Callable[[], Server]) -> Iterator[Any]:
    try:
        server = make()
    except ServerMissingError as exc:
        not_tested(exc.what, exc.install)
    yield from _serve(lambda: server)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    yield from _serve(Postgres)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    yield from _serve_or_skip(MariaDB)


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    """Durable: what it acknowledged survives `kill`."""
    yield from _serve(lambda: Valkey(durable=True))


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    """A real Redis; durable."""
    yield from _serve_or_skip(lambda: Redis(durable=True))


@pytest.fixture(scope="session")
def sentinel() -> Iterator[Sentinel]:
    """A Sentinel with a Valkey master and its replica."""
    yield from _serve(Sentinel)


@pytest.fixture(scope="session")
def postgres_database(postgres: Postgres) -> str:
    """URL of the database that the tests of this session share."""
    return postgres.database("gateway_tests")


@pytest.fixture(scope="session")
def mariadb_database(mariadb: MariaDB) -> str:
    """URL of the database that the tests of this session share."""
    return mariadb.database("gateway_tests")


def _fresh_address(request: pytest.FixtureRequest, folder: Path, name: str) -> StoreAddress:
    number = next(_numbers)
    match name:
        case "memory":
            url = "memory:"
        case "json":
            url = f"json:{folder / f'sessions{number}.json'}"
        case "sqlite":
            url = f"sqlite:///{folder / f'sessions{number}.db'}"
        case "postgresql":
            url = request.getfixturevalue("postgres_database")
        case "mariadb":
            url = request.getfixturevalue("mariadb_database")
        case "valkey":
            url = request.getfixturevalue("valkey").url()
        case "redis":
            url = request.getfixturevalue("redis_server").url()
        case _:
            raise ValueError(f"no store is called {name}: {', '.join([*STORES, *REDIS])}")
    return StoreAddress(name, url, f"t{number}")


@pytest.fixture
def make_store_address(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], StoreAddress]:
    """Makes the address of a fresh store by its name out of STORES: for tests that need two, or only some kinds."""
    return partial(_fresh_address, request, tmp_path)


@pytest.fixture(scope="module")
def make_lasting_address(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], StoreAddress]:
    """The same, of a store that the tests of a file share."""
    return partial(_fresh_address, request, tmp_path_factory.mktemp("stores"))


@pytest.fixture(params=STORES)
def store_address(request: pytest.FixtureRequest, make_store_address: Callable[[str], StoreAddress]) -> StoreAddress:
    """A fresh store, once of every kind."""
    return make_store_address(request.param)


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port on 127.0.0.1 that nobody listens on."""
    with claim_port() as claim:
        yield claim.getsockname()[1]


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium for playwright's `launch(executable_path=…)`; as root add `--no-sandbox`."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    return found or not_tested("the console in Chromium", "apt-get install chromium")


def pytest_runtest_setup() -> None:
    for server in RUNNING:  # a test that crashed one may have ended before it could start it again
        server.start()


LONG = ("tests/faults/", "tests/deploy/", "tests/web/console/", "tests/web/v1/", "tests/web/test_sessions_processes.py")
"""Few tests that take long: begun last they would keep one worker busy while the others have nothing left to do."""
TOGETHER = ("tests/web/console/", "tests/web/v1/")
"""Folders whose files share what they talk to."""


class ByStore(LoadScopeScheduling):
    """What shares servers and processes runs on one worker: the tests of a file, those of each store by themselves."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def group_of(nodeid: str) -> str:
    file, _, test = nodeid.partition("::")
    if file.startswith(TOGETHER):
        return file.rpartition("/")[0]
    kinds = {*STORES, *REDIS} & set(re.split(r"[^a-z]+", test.partition("[")[2]))
    return " ".join([file, *sorted(kinds)])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes longest begins first."""
    if not hasattr(config, "workerinput"):
        return
    sizes = Counter(group_of(item.nodeid) for item in items)
    items.sort(key=lambda item: (not item.nodeid.startswith(LONG), -sizes[group_of(item.nodeid)]))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByStore:
    return ByStore(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    if report.failed:
        report.sections += [(f"end of {server.name}'s log", server.log_tail()) for server in RUNNING]
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, Any, Any]:
    """Repeat in red, as the last lines, what could not be tested; from the reports, which xdist hands over."""
    result = yield
    terminal: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = terminal.stats.get("skipped", []) if terminal else []  # an xdist worker has no terminal
    reasons = {report.longrepr[2].removeprefix("Skipped: ") for report in skipped if isinstance(report.longrepr, tuple)}
    for reason in sorted(reasons):
        if reason.startswith(NOT_TESTED):
            terminal.write_line(reason, red=True, bold=True)
    return result
