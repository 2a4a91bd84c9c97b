"""While the store is away: said so, never taken for an empty one, and over when the store is back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress

import pytest

from gateway.errors import StoreUnavailableError
from gateway.model import SessionKey, TurnRecord, TurnState
from gateway.sessions.manager import SessionManager
from gateway.sessions.values import Filter, Use
from gateway.testing.contract import KEY, OpenStore, StoreContract, make_session, run_turn
from gateway.testing.remote import in_threads
from gateway.testing.waiting import PATIENCE_SECONDS, eventually

Outage = Callable[[], AbstractContextManager[object]]


class OutageContract(StoreContract):
    """Subclasses have a fixture `outage`: a callable that gives a context manager, in which the store cannot be reached
    by what `address` names."""

    @pytest.fixture
    def outage(self) -> Outage:
        raise NotImplementedError(f"{type(self).__name__} needs a fixture `outage`: how its store goes away")

    def test_what_cannot_be_read_is_not_taken_for_absent(self, store: SessionManager, outage: Outage) -> None:
        record = run_turn(store, idempotency_key="key")
        session = store.get(KEY)
        reads: list[Callable[[], object]] = [
            lambda: store.get(KEY),
            lambda: store.get(SessionKey("", "unheard_of")),
            lambda: store.list(Filter()),
            lambda: store.recall("", "key"),
            lambda: store.turn_record(KEY, record.turn_id),
            lambda: store.turns(KEY),
            lambda: store.erasures(),
            lambda: store.store.records.responses(KEY, "conv_1", 100),
            lambda: store.store.owners.find_key("ci"),
            lambda: store.store.owners.keys(),
            lambda: store.expire(),
            lambda: store.update(KEY, data={"a": 1}),
            lambda: store.ping(),
        ]
        with outage():
            for read in reads:
                with pytest.raises(StoreUnavailableError):
                    read()
        assert store.get(KEY) == session
        for read in reads:
            read()

    def test_no_turn_is_given_out(self, store: SessionManager, outage: Outage) -> None:
        make_session(store)
        with outage(), pytest.raises(StoreUnavailableError), store.turn(KEY):
            raise AssertionError("a turn came out of a store that is away")
        with store.turn(SessionKey("", "another"), wait_seconds=5) as turn:
            turn.bind("conv_2")

    def test_a_turn_under_way_is_told_and_goes_on_afterwards(self, store: SessionManager, outage: Outage) -> None:
        with store.turn(KEY) as turn:
            session = turn.bind("conv_1")
            turn.begin()
            with outage():
                with pytest.raises(StoreUnavailableError):
                    turn.bind("conv_2")
                turn.note("resp_1")  # which can wait
            record = turn.finish(TurnState.COMPLETED)
        assert record.response_id == "resp_1"
        assert store.turn_record(KEY, record.turn_id) == record
        found = store.get(KEY)
        assert found is not None
        assert (found.conversation_id, found.generation, found.turns) == (session.conversation_id, 1, 1)

    def test_a_turn_that_ends_in_between_is_written_when_the_store_is_back(
        self, store: SessionManager, outage: Outage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_session(store)
        failures: list[StoreUnavailableError] = []
        finish = store.store.records.finish

        def watched(record: TurnRecord, use: Use | None) -> None:
            try:
                finish(record, use)
            except StoreUnavailableError as exc:
                failures.append(exc)
                raise

        monkeypatch.setattr(store.store.records, "finish", watched)

        def job(number: int) -> None:
            if number == 0:
                turn.finish(TurnState.COMPLETED, response_id="resp_1")
            else:
                eventually(lambda: failures)
                away.__exit__(None, None, None)

        with store.turn(KEY) as turn:
            turn.begin()
            away = outage()
            away.__enter__()
            in_threads(2, job)
        (record,) = store.turns(KEY)
        assert (record.state, record.response_id) == (TurnState.COMPLETED, "resp_1")
        with store.turn(KEY, wait_seconds=0):
            pass

    def test_nobody_holds_a_session_once_the_store_is_back(self, open_store: OpenStore, outage: Outage) -> None:
        """Neither who held it nor those who waited could be taken out while it was away; leases would last for long."""
        store = open_store(lease_seconds=600.0)
        ended = []

        def wait() -> None:
            with suppress(StoreUnavailableError), store.turn(KEY):
                pass
            ended.append(True)

        with ExitStack() as stack:
            stack.enter_context(store.turn(KEY))
            for _ in range(3):
                threading.Thread(target=wait, daemon=True).start()
            eventually(lambda: store.waiters.count == 3)
            with outage():
                eventually(lambda: len(ended) == 3)
                stack.close()
        with store.turn(KEY, wait_seconds=PATIENCE_SECONDS):
            pass

    def test_leaving_raises_nothing(self, store: SessionManager, outage: Outage) -> None:
        with store.turn(KEY) as turn, outage():
            turn.leave()
        assert store.get(KEY) is None

    def test_no_second_conversation_is_made(self, store: SessionManager, outage: Outage) -> None:
        session = make_session(store)
        tries = iter(range(1_000))
        found = []

        def insist(number: int) -> None:
            while True:
                with suppress(StoreUnavailableError), store.turn(KEY) as turn:
                    found.append(turn.session or turn.bind(f"conv_second_{number}"))
                    return
                next(tries)

        def job(number: int) -> None:
            if number:
                insist(number)
            else:
                eventually(lambda: next(tries) > 20)
                away.__exit__(None, None, None)

        away = outage()
        away.__enter__()
        in_threads(5, job)
        assert found == [session] * 4
