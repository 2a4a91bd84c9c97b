"""One turn at a time, first come first served; who may wait, and how long."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.errors import QueueFullError, ShuttingDownError, StoreUnavailableError, TurnBusyError
from gateway.model import SessionKey, TurnRecord, TurnState, new_turn_id
from gateway.sessions import turn as turns
from gateway.sessions.manager import SessionManager
from gateway.sessions.values import Standing
from gateway.testing.contract import (
    KEY,
    SHORT_LEASE_SECONDS,
    OpenStore,
    SharedStoreContract,
    StoreContract,
    Workers,
    run_turn,
    wait_until_queued,
)
from gateway.testing.remote import RemoteStore, RemoteTurn, StoreAddress, alone, in_threads
from gateway.testing.waiting import PATIENCE_SECONDS, eventually, outlast

MANY_TURNS = 500


class Waiters:
    """Threads that wait for a session's turn, in the order they were called in; `came` lists those whose turn came."""

    def __init__(self, store: SessionManager, key: SessionKey = KEY) -> None:
        self.came: list[str] = []
        self._store = store
        self._key = key

    def call(self, turn_id: str, *, wait_seconds: float = PATIENCE_SECONDS) -> Future[None]:
        """One more waits; returns when its ticket is in the queue."""
        ended: Future[None] = Future()
        threading.Thread(target=self._wait, args=(turn_id, wait_seconds, ended), daemon=True).start()
        wait_until_queued(self._store, self._key, turn_id, ended)
        return ended

    def _wait(self, turn_id: str, wait_seconds: float, ended: Future[None]) -> None:
        try:
            with self._store.turn(self._key, turn_id=turn_id, wait_seconds=wait_seconds):
                self.came.append(turn_id)
        except BaseException as exc:
            ended.set_exception(exc)
        else:
            ended.set_result(None)


class QueueContract(StoreContract):
    def test_turns_of_a_session_run_one_at_a_time(self, store: SessionManager, tmp_path: Path) -> None:
        def one(_: int) -> int:
            with store.turn(KEY) as turn, alone(tmp_path / "turn"):
                # Long enough in there for another to come in, where another is let in.
                outlast(0.01)
                return turn.fence

        fences = in_threads(16, one)
        assert len(set(fences)) == 16

    def test_each_holder_has_a_higher_fence(self, store: SessionManager) -> None:
        fences = []
        for _ in range(4):
            with store.turn(KEY) as turn:
                fences.append(turn.fence)
        assert fences == sorted(set(fences))

    def test_a_turn_holds_up_no_other_session(self, store: SessionManager) -> None:
        with store.turn(KEY), store.turn(SessionKey("", "another"), wait_seconds=0) as other:
            assert other.session is None

    def test_first_come_first_served(self, store: SessionManager) -> None:
        waiters = Waiters(store)
        names = [f"turn_{number:02}" for number in range(10)]
        with store.turn(KEY):
            ended = [waiters.call(name) for name in names]
        for each in ended:
            each.result(PATIENCE_SECONDS)
        assert waiters.came == names

    def test_who_does_not_want_to_wait_is_told_at_once_and_leaves_nothing(self, store: SessionManager) -> None:
        with store.turn(KEY):
            with pytest.raises(TurnBusyError), store.turn(KEY, turn_id="turn_hasty", wait_seconds=0):
                pass
            assert store.turn_record(KEY, "turn_hasty") is None
        with store.turn(KEY, wait_seconds=0) as turn:
            turn.bind("conv_1")

    def test_a_wait_runs_out_and_leaves_nothing(self, store: SessionManager) -> None:
        with store.turn(KEY):
            with pytest.raises(TurnBusyError), store.turn(KEY, turn_id="turn_patient", wait_seconds=0.1):
                pass
            assert store.turn_record(KEY, "turn_patient") is None
        with store.turn(KEY, wait_seconds=0):
            pass

    def test_one_that_gave_up_holds_nobody_up(self, store: SessionManager) -> None:
        waiters = Waiters(store)
        with store.turn(KEY):
            gave_up = waiters.call("turn_first", wait_seconds=0.3)
            second = waiters.call("turn_second")
            with pytest.raises(TurnBusyError):
                gave_up.result(PATIENCE_SECONDS)
        second.result(PATIENCE_SECONDS)
        assert waiters.came == ["turn_second"]

    def test_only_so_many_may_wait(self, open_store: OpenStore) -> None:
        store = open_store(queue_limit=2)
        waiters = Waiters(store)
        with store.turn(KEY):
            waiting = [waiters.call("turn_1"), waiters.call("turn_2")]
            with pytest.raises(QueueFullError), store.turn(KEY, turn_id="turn_3", idempotency_key="key_3"):
                pass
            assert store.turn_record(KEY, "turn_3") is None
            assert store.recall("", "key_3") is None
            store.queue_limit = 3
            waiting.append(waiters.call("turn_4"))
        for each in waiting:
            each.result(PATIENCE_SECONDS)
        assert waiters.came == ["turn_1", "turn_2", "turn_4"]

    def test_only_so_many_may_wait_in_a_process(self, open_store: OpenStore) -> None:
        store = open_store(max_waiting=2)
        other = SessionKey("", "another")
        with store.turn(KEY), store.turn(other):
            waiters, others = Waiters(store), Waiters(store, other)
            waiting = [waiters.call("turn_1"), others.call("turn_2")]
            # A ticket is in the queue a moment before its owner counts as one who waits.
            eventually(lambda: store.waiters.count == 2)
            with pytest.raises(QueueFullError), store.turn(KEY, turn_id="turn_3"):
                pass
            assert store.turn_record(KEY, "turn_3") is None
            with store.turn(SessionKey("", "free")):
                pass  # it need not wait
        for each in waiting:
            each.result(PATIENCE_SECONDS)
        with store.turn(KEY):
            waiters.call("turn_4")

    def test_nobody_waits_while_the_process_shuts_down_and_turns_go_on(self, store: SessionManager) -> None:
        waiters = Waiters(store)
        with store.turn(KEY) as turn:
            waiting = waiters.call("turn_1")
            store.stop_waiting()
            with pytest.raises(ShuttingDownError):
                waiting.result(PATIENCE_SECONDS)
            with pytest.raises(ShuttingDownError), store.turn(KEY):
                pass
            eventually(lambda: store.turn_record(KEY, "turn_1") is None)
            turn.bind("conv_1")
            turn.begin()
            turn.finish(TurnState.COMPLETED)

    def test_one_can_wait_for_the_end_of_somebody_elses_turn(self, store: SessionManager) -> None:
        woken: Future[None] = Future()

        def wait() -> None:
            store.wait(KEY, 3600)
            woken.set_result(None)

        threading.Thread(target=wait, daemon=True).start()
        eventually(lambda: run_turn(store) and woken.done())

    def test_a_release_wakes_the_next_of_its_process_without_polling(
        self, store: SessionManager, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(turns, "POLL_SECONDS", 3600.0)
        waiters = Waiters(store)
        with store.turn(KEY):
            ended = [waiters.call(f"turn_{number}") for number in range(4)]
        for each in ended:
            each.result(PATIENCE_SECONDS)
        assert waiters.came == [f"turn_{number}" for number in range(4)]

    def test_a_place_of_which_no_answer_told_is_given_back(
        self, store: SessionManager, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tickets = store.store.tickets
        enter = tickets.enter

        def enter_unheard(record: TurnRecord, *, queue_limit: int) -> Standing:
            enter(record, queue_limit=queue_limit)
            raise StoreUnavailableError()

        with monkeypatch.context() as patch:
            patch.setattr(tickets, "enter", enter_unheard)
            with pytest.raises(StoreUnavailableError), store.turn(KEY):
                pass
        with store.turn(KEY, wait_seconds=0):
            pass

    def test_an_exception_gives_the_session_back(self, store: SessionManager) -> None:
        with pytest.raises(ZeroDivisionError), store.turn(KEY):
            raise ZeroDivisionError
        with store.turn(KEY, wait_seconds=0):
            pass

    def test_leaving_twice_frees_nobody_else(self, store: SessionManager) -> None:
        with store.turn(KEY) as first:
            first.leave()
            with store.turn(KEY, wait_seconds=0) as second:
                first.leave()
                store.store.tickets.withdraw(KEY, first.record.turn_id)
                store.store.tickets.withdraw(KEY, "turn_unknown")
                with pytest.raises(TurnBusyError), store.turn(KEY, wait_seconds=0):
                    pass
                second.bind("conv_1")

    def test_five_hundred_turns_are_under_way_at_once(self, store: SessionManager) -> None:
        keys = [SessionKey("", f"session_{number:03}") for number in range(MANY_TURNS)]
        with ExitStack() as held, ThreadPoolExecutor(16) as pool:
            turns = list(pool.map(lambda key: held.enter_context(store.turn(key)), keys))
            sessions = list(pool.map(lambda turn: turn.bind(f"conv_{turn.key.session_id}"), turns))
            assert len({session.conversation_id for session in sessions}) == MANY_TURNS
            with pytest.raises(TurnBusyError), store.turn(keys[0], wait_seconds=0):
                pass
            assert store.get(keys[-1]) == sessions[-1]
            list(pool.map(lambda turn: turn.leave(), turns))

    def test_a_turn_is_kept_longer_than_its_lease(self, open_store: OpenStore) -> None:
        store = open_store(lease_seconds=SHORT_LEASE_SECONDS)
        waiters = Waiters(store)
        with store.turn(KEY) as turn:
            waiting = waiters.call("turn_waiting")
            outlast(SHORT_LEASE_SECONDS * 1.5)
            turn.bind("conv_1")
        waiting.result(PATIENCE_SECONDS)
        assert waiters.came == ["turn_waiting"]


class QueueAcrossProcesses(SharedStoreContract):
    def test_first_come_first_served_over_processes(
        self, store: SessionManager, address: StoreAddress, workers: Workers
    ) -> None:
        lease_seconds = 2.0
        there = [RemoteStore(worker, address, lease_seconds=lease_seconds) for worker in workers(5)]
        *others, doomed = there
        came: list[str] = []

        def call(remote: RemoteStore, name: str, wait_seconds: float = PATIENCE_SECONDS) -> RemoteTurn:
            turn = remote.queue(KEY, turn_id=f"turn_{name}_{new_turn_id()}", wait_seconds=wait_seconds)
            wait_until_queued(store, KEY, turn.turn_id, turn.held)
            return turn

        with store.turn(KEY):
            queue = []
            for number in range(20):
                queue.append(call(others[number % 4], f"{number:02}"))
                if number == 4:
                    killed = call(doomed, "killed")
                if number == 12:
                    gave_up = call(others[0], "gave_up", wait_seconds=0.2)
            with pytest.raises(TurnBusyError):
                gave_up.held.result(PATIENCE_SECONDS)
            doomed.worker.kill()
        for turn in queue:
            # Each holds the session until it is told to leave: nobody behind it can have come before.
            turn.held.result(PATIENCE_SECONDS)
            came.append(turn.turn_id)
            assert [each for each in queue if each.held.done()] == queue[: len(came)]
            turn.leave()
        assert came == [turn.turn_id for turn in queue]
        assert store.turn_record(KEY, killed.turn_id) is None

    def test_a_turn_that_runs_elsewhere_is_busy_here(
        self, store: SessionManager, address: StoreAddress, workers: Workers
    ) -> None:
        there = RemoteStore(workers(1)[0], address)
        turn = there.take(KEY)
        with pytest.raises(TurnBusyError), store.turn(KEY, wait_seconds=0):
            pass
        with store.turn(SessionKey("", "another"), wait_seconds=0):
            pass
        turn.leave()
        with store.turn(KEY, wait_seconds=0):
            pass
