"""What tests of the stores in SQL share."""

from collections.abc import Callable, Iterator

import pytest

from gateway.sessions import SessionManager, open_sessions
from gateway.testing.waiting import Clock
from tests.conftest import StoreAddress


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def store(
    request: pytest.FixtureRequest, make_store_address: Callable[[str], StoreAddress], clock: Clock
) -> Iterator[SessionManager]:
    """A fresh store in SQL, once of every kind."""
    address = make_store_address(request.param)
    with open_sessions(address.url, prefix=address.prefix, clock=clock) as store:
        yield store
