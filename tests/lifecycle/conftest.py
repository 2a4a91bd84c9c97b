"""A store with a clock of its own, and what erases in it; gateways as in the tests of the web."""

from typing import Any

import pytest

from gateway.lifecycle.erasures import Eraser
from gateway.lifecycle.sweeping import Sweeper
from gateway.sessions import SessionManager, open_sessions
from gateway.testing.waiting import Clock
from tests.lifecycle.graveyard import Graveyard
from tests.web.conftest import open_house, service

__all__ = ["open_house", "service"]


@pytest.fixture
def graveyard() -> Graveyard:
    return Graveyard()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> Any:
    with open_sessions("memory:", clock=clock) as sessions:
        yield sessions


@pytest.fixture
def eraser(store: SessionManager, graveyard: Graveyard) -> Eraser:
    return Eraser(store, graveyard)


@pytest.fixture
def sweeper(eraser: Eraser) -> Sweeper:
    """One whose host's clock goes as the store's does."""
    return Sweeper(eraser, uptime=lambda: eraser.sessions.now() * 1000)
