"""The one thread that keeps this process's tickets alive: nothing ends it."""

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from gateway.errors import StoreUnavailableError
from gateway.liveness import uptime_us
from gateway.model import SessionKey
from gateway.sessions.leases import Leases, Withdrawals
from gateway.testing.waiting import eventually

KEY = SessionKey("", "s")
LEASE_SECONDS = 0.3


class Renewing:
    """A store that renews, until told to fail."""

    def __init__(self) -> None:
        self.asked: list[set[str]] = []
        self.error: BaseException | None = None
        self.passed_over: set[str] = set()

    def __call__(self, tickets: Sequence[tuple[SessionKey, str]]) -> set[str]:
        turn_ids = {turn_id for _, turn_id in tickets}
        self.asked.append(turn_ids)
        if self.error is not None:
            raise self.error
        return turn_ids - self.passed_over

    def is_asked_again(self) -> Callable[[], bool]:
        before = len(self.asked)
        return lambda: len(self.asked) > before + 1


@pytest.fixture
def renewing() -> Renewing:
    return Renewing()


@pytest.fixture
def leases(renewing: Renewing) -> Iterator[Leases]:
    leases = Leases(LEASE_SECONDS, renewing)
    yield leases
    leases.close()


def test_a_ticket_is_renewed_until_it_is_removed(leases: Leases, renewing: Renewing) -> None:
    leases.add(KEY, "turn_1", since=uptime_us())
    eventually(renewing.is_asked_again())
    assert leases.may_live("turn_1")
    leases.remove("turn_1")
    assert not leases.may_live("turn_1")
    assert leases.age_seconds == 0


@pytest.mark.parametrize("error", [StoreUnavailableError(), OSError(24, "Too many open files"), RuntimeError("odd")])
def test_whatever_goes_wrong_the_next_round_comes(leases: Leases, renewing: Renewing, error: Exception) -> None:
    renewing.error = error
    leases.add(KEY, "turn_1", since=uptime_us())
    eventually(lambda: not leases.may_live("turn_1"))
    with pytest.raises(StoreUnavailableError, match="not renewed"):
        leases.check()
    eventually(renewing.is_asked_again())
    renewing.error = None
    eventually(lambda: leases.may_live("turn_1"))
    leases.check()


def test_a_ticket_that_was_passed_over_is_let_go(leases: Leases, renewing: Renewing) -> None:
    renewing.passed_over = {"turn_1"}
    leases.add(KEY, "turn_1", since=uptime_us())
    leases.add(KEY, "turn_2", since=uptime_us())
    eventually(lambda: not leases.may_live("turn_1"))
    eventually(lambda: renewing.asked[-1] == {"turn_2"})


def test_a_thread_that_cannot_be_started_is_started_with_the_next_ticket(
    leases: Leases, renewing: Renewing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        leases.add(KEY, "turn_1", since=uptime_us())
    assert renewing.asked == []
    leases.add(KEY, "turn_2", since=uptime_us())
    eventually(lambda: renewing.asked and renewing.asked[-1] == {"turn_1", "turn_2"})


class Withdrawing:
    def __init__(self) -> None:
        self.is_away = True
        self.heard: list[str] = []

    def __call__(self, key: SessionKey, turn_id: str) -> None:
        if self.is_away:
            raise StoreUnavailableError()
        self.heard.append(turn_id)


def test_a_withdrawal_is_repeated_until_the_store_has_heard_it_late_enough() -> None:
    store = Withdrawing()
    withdrawals = Withdrawals(store, keep_seconds=600)
    for turn_id in ("turn_1", "turn_2"):
        withdrawals.add(KEY, turn_id)
    store.is_away = False
    # A step that was lost may arrive late, after the first withdrawal: there is another one.
    eventually(lambda: store.heard.count("turn_1") > 1 and store.heard.count("turn_2") > 1)
    eventually(lambda: withdrawals.is_idle)
    withdrawals.close()
