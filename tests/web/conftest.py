"""Gateways to talk to: on every store, before the local provider and before a hosted one."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.sessions import SessionManager
from tests.conftest import STORES, StoreAddress
from tests.harness.app import House, open_provider, open_store
from tests.harness.upstream import UpstreamProcess

OpenHouse = Callable[..., House]


@pytest.fixture(scope="session")
def service() -> Iterator[UpstreamProcess]:
    """The hosted provider of this test session."""
    with UpstreamProcess() as upstream:
        yield upstream


@pytest.fixture
def open_house(
    request: pytest.FixtureRequest, make_store_address: Callable[[str], StoreAddress], tmp_path: Path
) -> Iterator[OpenHouse]:
    """Opens a gateway on a store and a provider by their names; `settings` are the gateway's,
    `options` the store's. Closed after the test."""
    with ExitStack() as houses:

        def open_(
            store: str,
            provider: str = "local",
            *,
            address: StoreAddress | None = None,
            settings: dict[str, Any] | None = None,
            **options: Any,
        ) -> House:
            hosted = request.getfixturevalue("service") if provider == "hosted" else None
            if hosted is not None:
                hosted.withdraw()
            # How long a turn waits is the store's to know.
            options.setdefault("wait_seconds", (settings or {}).get("busy_wait_seconds", 2.0))
            sessions: SessionManager = open_store(address or make_store_address(store), **options)
            house = House(sessions, open_provider(hosted, tmp_path), **(settings or {}))
            houses.callback(house.close)
            return house

        yield open_


KINDS = [(store, "local") for store in STORES] + [(store, "hosted") for store in ("json", "postgresql", "valkey")]


@pytest.fixture(params=["-".join(kind) for kind in KINDS])
def kind(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A store and a provider: every store, and either provider on each sort of them."""
    store, _, provider = request.param.rpartition("-")
    return store, provider


@pytest.fixture
def anywhere(kind: tuple[str, str], open_house: OpenHouse) -> House:
    """A gateway on every store, and with either provider."""
    return open_house(*kind)


@pytest.fixture
def house(open_house: OpenHouse) -> House:
    """A gateway, for what has nothing to do with the kind of its store or its provider."""
    return open_house("memory")
