"""Readiness is for everybody to ask, and costs nothing to be asked."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.errors import StoreUnavailableError
from gateway.liveness import uptime_us
from gateway.web.operations import REMEMBERED_SECONDS, Readiness
from tests.harness.app import House, key
from tests.harness.support import eventually


class World:
    """What is looked at, and when."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.looks = 0
        self.answer: Exception | None = None
        self.open = threading.Event()
        self.open.set()

    def look(self) -> None:
        self.looks += 1
        assert self.open.wait(30)
        if self.answer is not None:
            raise self.answer


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def readiness(world: World) -> Readiness:
    return Readiness(world.look, clock=lambda: world.now)


def test_it_is_looked_for_once_a_second(world: World, readiness: Readiness) -> None:
    for looks in (1, 2, 3):
        for _ in range(10):
            readiness.check()
        assert world.looks == looks
        world.now += REMEMBERED_SECONDS


def test_what_was_found_is_told_until_it_is_looked_for_again(world: World, readiness: Readiness) -> None:
    world.answer = StoreUnavailableError(retry_after=1)
    for _ in range(3):
        with pytest.raises(StoreUnavailableError):
            readiness.check()
    assert world.looks == 1
    world.answer = None
    world.now += REMEMBERED_SECONDS
    readiness.check()


def test_while_somebody_looks_nobody_else_waits(world: World, readiness: Readiness) -> None:
    readiness.check()
    world.now += REMEMBERED_SECONDS
    world.open.clear()
    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(readiness.check)
        while world.looks < 2:
            pass
        readiness.check()
        assert not looking.done()
        world.open.set()
        looking.result(30)
    assert world.looks == 2


def test_the_first_answer_is_waited_for(world: World, readiness: Readiness) -> None:
    world.answer = StoreUnavailableError()
    world.open.clear()
    with ThreadPoolExecutor(5) as pool:
        asking = [pool.submit(readiness.check) for _ in range(5)]
        world.open.set()
        assert all(isinstance(each.exception(30), StoreUnavailableError) for each in asking)
    assert world.looks == 1


def test_a_worker_whose_leases_are_not_renewed_is_not_ready(house: House) -> None:
    assert house.ask("GET", "/readyz").status_code == 200
    lease_us = round(house.sessions.leases.lease_seconds * 1e6)
    house.sessions.leases.add(key("s1"), "turn_stuck", since=uptime_us() - 2 * lease_us)
    told = eventually(lambda: (answer := house.ask("GET", "/readyz")).status_code == 503 and answer.json)
    assert told["error"]["code"] == "store_unavailable"
    assert "leases" in told["error"]["message"]
    house.sessions.leases.remove("turn_stuck")
    eventually(lambda: house.ask("GET", "/readyz").status_code == 200)
