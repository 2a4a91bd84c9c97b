"""One erasure: bounded in its work, and begun again where it was left."""

import pytest

from gateway.lifecycle.erasures import Eraser, Receipt, Unfinished
from gateway.model import SessionKey
from gateway.sessions import SessionManager
from gateway.testing.waiting import Clock
from tests.lifecycle.graveyard import Graveyard, live

ANN = SessionKey("", "ann")


@pytest.fixture
def eraser(store: SessionManager, graveyard: Graveyard) -> Eraser:
    """One that deletes 10 things an attempt."""
    return Eraser(store, graveyard, at_once=10)


def test_an_attempt_is_bounded_in_items_and_stored_responses_together(
    store: SessionManager, graveyard: Graveyard, eraser: Eraser
) -> None:
    live(store, "ann", responses=30)
    graveyard.items["conv_ann"] = [f"item_{number}" for number in range(6)]
    first = eraser.erase_session(ANN)
    assert isinstance(first, Unfinished)
    assert (first.items_deleted, first.responses_deleted, first.failed) == (6, 4, False)
    attempts = [eraser.erase_session(ANN) for _ in range(3)]
    assert [attempt.responses_deleted for attempt in attempts] == [10, 10, 6]
    assert isinstance(attempts[-1], Receipt)
    deleted = [each for each in graveyard.tried if each.startswith("resp_")]
    assert sorted(deleted) == sorted(f"resp_{number}" for number in range(30))
    assert store.get(ANN) is None


def test_an_attempt_that_failed_is_begun_again_where_it_ended(
    store: SessionManager, graveyard: Graveyard, eraser: Eraser
) -> None:
    live(store, "ann", responses=8)
    graveyard.stuck = {"resp_5"}
    failed = eraser.erase_session(ANN)
    assert isinstance(failed, Unfinished)
    assert failed.reason == "provider_error"
    done_before = list(graveyard.deleted)
    graveyard.stuck.clear()
    graveyard.tried.clear()
    done = eraser.erase_session(ANN)
    assert isinstance(done, Receipt)
    assert failed.responses_deleted + done.responses_deleted == 8
    assert not {each for each in done_before if each.startswith("resp_")} & set(graveyard.tried)


def test_what_failed_is_tried_again_later_and_what_is_left_over_at_once(
    store: SessionManager, graveyard: Graveyard, eraser: Eraser, clock: Clock
) -> None:
    live(store, "ann", responses=15)
    graveyard.stuck = {"conv_ann"}
    eraser.erase_session(ANN)
    assert not store.claim_erasures(1, store.now() + 1)
    clock.advance(30)
    graveyard.stuck.clear()
    [erasure] = store.claim_erasures(1, store.now() + 60_000)
    assert erasure.attempts == 1
    assert isinstance(eraser.resume(erasure), Unfinished)
    [left] = store.claim_erasures(1, store.now() + 60_000)
    assert left.attempts == 0
    assert isinstance(eraser.resume(left), Receipt)
