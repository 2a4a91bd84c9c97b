"""Our own stores, held against the contract that ships as `gateway.testing`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gateway.testing import OneProcessContract, OutageContract, SessionManagerContract, StoreAddress
from tests.conftest import STORES
from tests.servers import TcpProxy

ONE_PROCESS = [name for name in STORES if name == "memory"]
ONE_HOST = [name for name in STORES if name in {"json", "sqlite"}]
NETWORKED = [name for name in STORES if name not in {*ONE_PROCESS, *ONE_HOST}]

MakeAddress = Callable[[str], Any]


def address_of(name: str, make_store_address: MakeAddress) -> StoreAddress:
    fresh = make_store_address(name)
    return StoreAddress(fresh.url, prefix=fresh.prefix, frees_dead_processes_at_once=name in ONE_HOST)


class TestMemory(OneProcessContract):
    listed_sessions = 10_000

    @pytest.fixture(params=ONE_PROCESS)
    def address(self, request: pytest.FixtureRequest, make_store_address: MakeAddress) -> StoreAddress:
        return address_of(request.param, make_store_address)


class TestStore(SessionManagerContract):
    @pytest.fixture(params=ONE_HOST + NETWORKED)
    def address(self, request: pytest.FixtureRequest, make_store_address: MakeAddress) -> StoreAddress:
        return address_of(request.param, make_store_address)


class TestStoreThatGoesAway(OutageContract):
    @pytest.fixture(params=NETWORKED)
    def reached(
        self, request: pytest.FixtureRequest, make_store_address: MakeAddress
    ) -> Iterator[tuple[StoreAddress, TcpProxy]]:
        address = address_of(request.param, make_store_address)
        server = {"postgresql": "postgres", "redis": "redis_server"}.get(request.param, request.param)
        with TcpProxy(request.getfixturevalue(server).port) as network:
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
