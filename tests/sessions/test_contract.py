"""Our own stores, held against the contract that ships as `gateway.testing`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from gateway.sessions import open_sessions
from gateway.testing import OneProcessContract, OutageContract, SessionManagerContract, StoreAddress
from tests.conftest import REDIS, STORES
from tests.harness.servers import TcpProxy

ONE_PROCESS = [name for name in STORES if name == "memory"]
ONE_HOST = [name for name in STORES if name in {"json", "sqlite"}]
NETWORKED = [name for name in STORES + REDIS if name not in {*ONE_PROCESS, *ONE_HOST}]

DRIVERS = {"postgresql": "postgresql+psycopg", "mariadb": "mysql+pymysql"}

for slow in (
    OneProcessContract.test_a_long_listing_is_complete,
    SessionManagerContract.test_processes_that_ask_for_the_first_turn_at_once_share_one_conversation,
):
    pytest.mark.slow(slow)  # here, for the contract is there for others, too, who know no such mark

MakeAddress = Callable[[str], Any]


def address_of(name: str, make_store_address: MakeAddress) -> StoreAddress:
    fresh = make_store_address(name)
    return StoreAddress(fresh.url, prefix=fresh.prefix, frees_dead_processes_at_once=name in ONE_HOST)


@pytest.fixture(scope="module")
def emptied(make_lasting_address: MakeAddress) -> Iterator[MakeAddress]:
    """Makes the address of a database whose tables are there and empty: to make them anew takes longer than a test."""
    made: dict[str, tuple[Any, sa.Engine, sa.MetaData]] = {}

    def make(name: str) -> Any:
        if name not in made:
            address = make_lasting_address(name)
            open_sessions(address.url, prefix=address.prefix).close()
            engine = sa.create_engine(sa.make_url(address.url).set(drivername=DRIVERS[name]))
            tables = sa.MetaData()
            tables.reflect(engine, only=lambda table, _: table.startswith(f"{address.prefix}_"))
            made[name] = address, engine, tables
        address, engine, tables = made[name]
        with engine.begin() as connection:
            for table in tables.tables.values():
                if not table.name.endswith("_meta"):
                    connection.execute(sa.delete(table))
        return address

    yield make
    for _, engine, _ in made.values():
        engine.dispose()


class TestMemory(OneProcessContract):
    listed_sessions = 10_000

    @pytest.fixture(params=ONE_PROCESS)
    def address(self, request: pytest.FixtureRequest, make_store_address: MakeAddress) -> StoreAddress:
        return address_of(request.param, make_store_address)


class TestStore(SessionManagerContract):
    @pytest.fixture(params=ONE_HOST + NETWORKED)
    def address(
        self, request: pytest.FixtureRequest, make_store_address: MakeAddress, emptied: MakeAddress
    ) -> StoreAddress:
        return address_of(request.param, emptied if request.param in DRIVERS else make_store_address)


class TestStoreThatGoesAway(OutageContract):
    @pytest.fixture(params=NETWORKED)
    def reached(
        self, request: pytest.FixtureRequest, make_store_address: MakeAddress, server_of: Callable[[str], Any]
    ) -> Iterator[tuple[StoreAddress, TcpProxy]]:
        address = address_of(request.param, make_store_address)
        with TcpProxy(server_of(request.param).port) as network:
            yield StoreAddress(network.through(address.url), prefix=address.prefix), network

    @pytest.fixture
    def address(self, reached: tuple[StoreAddress, TcpProxy]) -> StoreAddress:
        return reached[0]

    @pytest.fixture
    def outage(self, reached: tuple[StoreAddress, TcpProxy]) -> Callable[[], Any]:
        @contextmanager
        def away() -> Iterator[None]:
            reached[1].cut()
            try:
                yield
            finally:
                reached[1].heal()

        return away
