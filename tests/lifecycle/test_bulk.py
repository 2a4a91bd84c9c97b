"""Many sessions erased at once: none is missed, and none that is in use again."""

from typing import Any

import pytest

from gateway.lifecycle import bulk
from gateway.lifecycle.bulk import Skipped, erase_user, purge
from gateway.lifecycle.erasures import Receipt
from gateway.model import Status
from gateway.providers.retry import Patience
from gateway.testing.waiting import Clock
from tests.harness.app import House
from tests.web.conftest import OpenHouse


@pytest.fixture
def house(open_house: OpenHouse, clock: Clock) -> House:
    return open_house("memory", clock=clock)


def test_a_session_that_is_used_again_is_not_purged(house: House, clock: Clock) -> None:
    for name in ("one", "two", "three"):
        house.make(name)
        clock.advance(1)
    found = purge(house.eraser, used_before=house.sessions.now())
    first = next(found)
    assert isinstance(first, Receipt)
    assert first.session_id == "three"
    clock.advance(1)
    house.say("two", "still here")
    house.ask("PATCH", "/sessions/one", {"status": "completed"})
    assert [(type(each), each.session_id) for each in found] == [(Skipped, "two"), (Receipt, "one")]
    assert house.ids() == ["two"]


def test_a_session_whose_status_changed_is_not_purged(house: House, clock: Clock) -> None:
    for name in ("one", "two"):
        house.make(name)
        clock.advance(1)
    found = purge(house.eraser, used_before=house.sessions.now(), status=Status.ACTIVE)
    assert isinstance(next(found), Receipt)
    house.ask("PATCH", "/sessions/one", {"status": "completed"})
    assert list(found) == [Skipped("one")]


def test_a_users_session_that_moves_to_the_front_of_the_list_is_not_missed(
    house: House, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "PAGE", 1)
    for number in range(3):
        house.make(f"u-{number}", user_id="u")
        clock.advance(1)
    pages = 0
    list_page = house.sessions.list

    def use_the_last(*args: Any, **options: Any) -> Any:
        nonlocal pages
        pages += 1
        if pages == 2:
            house.say("u-0", "still here")
        return list_page(*args, **options)

    monkeypatch.setattr(house.sessions, "list", use_the_last)
    found = erase_user(house.eraser, "", "u", patience=Patience(1), budget=Patience(30))
    assert len(found.receipts) == 3
    assert house.ids() == []


def test_what_one_request_does_is_bounded_and_the_rest_is_left_to_the_sweeper(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "RECEIPTS", 2)
    for number in range(5):
        house.make(f"u-{number}", user_id="u")
    found = house.delete("/sessions?user_id=u", 202)
    assert (found["erased"], found["erasing"]) == (2, 3)
    done = house.sweeper.sweep()
    assert done.erased == 3
    assert house.ids() == []
