"""Fixtures for every test: real servers, and a fresh store of each kind.

Servers start when first asked for, once per pytest session (and xdist worker); a test that leaves one dead fails, and
the next one has it again. A promised one that is missing fails the test; MariaDB, a real Redis and Chromium, which no
wheel promises, are skipped on a developer's machine, and the end of the run says so in red.

With `--quick` no server starts: who starts one is skipped.
"""

import gc
import itertools
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import filterfalse
from pathlib import Path
from typing import Any

import pytest

from tests.harness.ports import ClaimedPort
from tests.harness.selection import STORES, ByStore, is_quick, longest_first
from tests.harness.servers import (
    RUNNING,
    MariaDB,
    Postgres,
    Redis,
    Sentinel,
    Server,
    ServerError,
    ServerMissingError,
    Valkey,
)
from tests.harness.support import NOT_TESTED, not_tested

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


def serve(make: Callable[[], Server]) -> Iterator[Any]:
    with closing(make()) as server:
        try:
            server.start()
        except ServerError as exc:  # pytest keeps it, and repeats it to each test that asks for this server
            pytest.fail(str(exc), pytrace=False)
        yield server


def serve_or_skip(make: Callable[[], Server]) -> Iterator[Any]:
    try:
        server = make()
    except ServerMissingError as exc:
        not_tested(exc.what, exc.install)
    yield from serve(lambda: server)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    yield from serve(Postgres)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    yield from serve_or_skip(MariaDB)


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    """Durable: what it acknowledged survives `kill`."""
    yield from serve(lambda: Valkey(durable=True))


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    """A real Redis; durable."""
    yield from serve_or_skip(lambda: Redis(durable=True))


@pytest.fixture
def server_of(request: pytest.FixtureRequest) -> Callable[[str], Any]:
    """The server behind the stores of a kind."""
    return lambda kind: request.getfixturevalue({"postgresql": "postgres", "redis": "redis_server"}.get(kind, kind))


@pytest.fixture(scope="session")
def sentinel() -> Iterator[Sentinel]:
    """A Sentinel with a Valkey master and its replica."""
    yield from serve(Sentinel)


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
    with ClaimedPort() as port:
        yield port.number


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium for playwright's `launch(executable_path=…)`; as root add `--no-sandbox`."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    return found or not_tested("the console in Chromium", "apt-get install chromium")


@pytest.fixture(autouse=True)
def _servers_left_running() -> Iterator[None]:
    """The test fails if a server that others use too is dead after it; for them it is started again."""
    yield  # set up first: what the test had for itself alone is closed by now
    complaints = []
    for server in [server for server in RUNNING if not server.running]:
        RUNNING.remove(server)  # one that does not come back is not tried again after each test from now on
        complaints.append(f"the test left {server.name} dead; see Server.crashed")
        try:
            server.start()
        except ServerError as exc:
            complaints.append(str(exc))
    if complaints:
        pytest.fail("\n".join(complaints), pytrace=False)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="only what needs no server, no browser and no real waiting")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("quick"):
        Server.forbidden = "it starts a server, which is not quick"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("quick"):
        config.hook.pytest_deselected(items=list(filterfalse(is_quick, items)))
        items[:] = filter(is_quick, items)
    if hasattr(config, "workerinput"):
        items.sort(key=longest_first(items))


def pytest_collection_finish() -> None:
    gc.freeze()  # all that is loaded by now stays: a collection that looks through it takes half a second


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
