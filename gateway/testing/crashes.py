"""A process that dies, or stands still past its lease, holds a session for no longer, and writes nothing after."""

from __future__ import annotations

import pytest

from gateway.errors import GatewayError, TurnBusyError, TurnLostError
from gateway.model import SessionKey, TurnState
from gateway.sessions.manager import SessionManager
from gateway.testing.contract import (
    KEY,
    SHORT_LEASE_SECONDS,
    OpenStore,
    SharedStoreContract,
    StoreContract,
    Workers,
    assert_cannot_write,
    make_session,
    stop_renewing,
    wait_until_dead,
    wait_until_queued,
)
from gateway.testing.processes import WorkerDiedError
from gateway.testing.remote import RemoteStore, StoreAddress
from gateway.testing.waiting import PATIENCE_SECONDS

OTHER = SessionKey("", "another")


class CrashesContract(StoreContract):
    def test_a_turn_that_is_not_renewed_is_lost_with_its_lease(self, open_store: OpenStore) -> None:
        store = open_store(lease_seconds=SHORT_LEASE_SECONDS)
        session = make_session(store)
        with store.turn(KEY) as lost:
            stop_renewing(store, lost)
            with store.turn(KEY, wait_seconds=PATIENCE_SECONDS) as holder:
                assert holder.fence > lost.fence
                for write in (
                    lambda: lost.bind("conv_late"),
                    lost.begin,
                    lambda: lost.note("resp_late"),
                    lambda: lost.finish(TurnState.COMPLETED),
                    lost.forget,
                    lost.begin_erasure,
                ):
                    with pytest.raises(TurnLostError):
                        write()
                lost.leave()
                with pytest.raises(TurnBusyError), store.turn(KEY, wait_seconds=0):
                    pass
                holder.begin()  # it holds the session still
                assert store.get(KEY) == session
            assert not store.erasures()

    def test_every_step_of_a_lost_turn_is_refused(self, open_store: OpenStore) -> None:
        store = open_store(lease_seconds=SHORT_LEASE_SECONDS)
        make_session(store)
        with store.turn(KEY) as lost:
            stop_renewing(store, lost)
            wait_until_dead(store, KEY, lost.record.turn_id)
            with store.turn(KEY, wait_seconds=0), store.turn(OTHER) as other:
                assert_cannot_write(store, lost.record, other.record.turn_id)
            with store.turn(OTHER) as other:  # … and once that one has gone
                assert_cannot_write(store, lost.record, other.record.turn_id)

    def test_a_lease_that_ran_out_while_nobody_came_costs_nothing(self, open_store: OpenStore) -> None:
        store = open_store(lease_seconds=SHORT_LEASE_SECONDS)
        make_session(store)
        with store.turn(KEY) as turn:
            stop_renewing(store, turn)
            turn.begin()
            turn_id = turn.record.turn_id
            wait_until_dead(store, KEY, turn_id)
            turn.note("resp_1")
            assert store.store.tickets.renew([(KEY, turn_id)]) == {turn_id}
            record = store.turn_record(KEY, turn_id)
            assert record is not None
            assert record.live
            wait_until_dead(store, KEY, turn_id)
            finished = turn.finish(TurnState.COMPLETED)
        assert store.turn_record(KEY, turn_id) == finished
        session = store.get(KEY)
        assert session is not None
        assert session.turns == 1

    def test_a_ticket_that_was_passed_over_never_revives(self, open_store: OpenStore) -> None:
        store = open_store(lease_seconds=SHORT_LEASE_SECONDS)
        make_session(store)
        with store.turn(KEY) as lost:
            stop_renewing(store, lost)
            lost.begin()
            turn_id = lost.record.turn_id
            wait_until_dead(store, KEY, turn_id)
            with store.turn(KEY, wait_seconds=0):
                pass
            assert store.store.tickets.renew([(KEY, turn_id)]) == set()
            assert store.store.tickets.poll(KEY, turn_id) is None
            with pytest.raises(TurnLostError):
                lost.note("resp_late")
            record = store.turn_record(KEY, turn_id)
            assert record is not None
            assert record.in_doubt

    def test_only_live_tickets_are_renewed(self, store: SessionManager) -> None:
        with store.turn(KEY) as turn, store.turn(OTHER) as other:
            tickets = [(KEY, turn.record.turn_id), (OTHER, other.record.turn_id), (KEY, "turn_unknown")]
            assert store.store.tickets.renew(tickets) == {turn.record.turn_id, other.record.turn_id}
            other.leave()
            assert store.store.tickets.renew(tickets) == {turn.record.turn_id}
        assert store.store.tickets.renew(tickets) == set()


class CrashesAcrossProcesses(SharedStoreContract):
    @pytest.fixture
    def lease_seconds(self, address: StoreAddress) -> float:
        """Of a process that gets killed: so long that only its death can free what it held, where that is promised."""
        return 600.0 if address.frees_dead_processes_at_once else SHORT_LEASE_SECONDS

    def test_the_next_one_gets_in_when_the_holder_is_killed(
        self, store: SessionManager, address: StoreAddress, workers: Workers, lease_seconds: float
    ) -> None:
        session = make_session(store)
        doomed, next_one = (RemoteStore(worker, address, lease_seconds=lease_seconds) for worker in workers(2))
        dead = doomed.take(KEY)
        dead.do("begin")
        dead.do("note", "resp_1")
        waiting = next_one.queue(KEY)
        wait_until_queued(store, KEY, waiting.turn_id, waiting.held)
        assert not waiting.held.done()
        doomed.worker.kill()
        assert waiting.held.result(PATIENCE_SECONDS) == session
        record = store.turn_record(KEY, dead.turn_id)
        assert record is not None
        assert record.in_doubt
        assert (record.conversation_id, record.response_id) == ("conv_1", "resp_1")
        with store.turn(OTHER) as other:
            assert_cannot_write(store, record, other.record.turn_id)
        with pytest.raises(TurnBusyError), store.turn(KEY, wait_seconds=0):
            pass
        assert waiting.do("bind", "conv_2").generation == 2
        waiting.leave()
        with store.turn(OTHER) as other:
            assert_cannot_write(store, record, other.record.turn_id)

    def test_a_turn_killed_before_it_began_leaves_its_mapping_and_nothing_else(
        self, store: SessionManager, address: StoreAddress, workers: Workers, lease_seconds: float
    ) -> None:
        doomed = RemoteStore(workers(1)[0], address, lease_seconds=lease_seconds)
        dead = doomed.take(KEY, idempotency_key="key")
        bound = dead.do("bind", "conv_1")
        doomed.worker.kill()
        wait_until_dead(store, KEY, dead.turn_id)
        with store.turn(KEY, wait_seconds=0, idempotency_key="key") as turn:
            assert turn.session == bound
        assert store.turn_record(KEY, dead.turn_id) is None
        assert store.turns(KEY) == []

    def test_a_killed_waiter_never_answers_and_holds_nobody_up(
        self, store: SessionManager, address: StoreAddress, workers: Workers, lease_seconds: float
    ) -> None:
        doomed = RemoteStore(workers(1)[0], address, lease_seconds=lease_seconds)
        with store.turn(KEY):
            killed = doomed.queue(KEY)
            wait_until_queued(store, KEY, killed.turn_id, killed.held)
            doomed.worker.kill()
            with pytest.raises(WorkerDiedError):
                killed.held.result(PATIENCE_SECONDS)
        with store.turn(KEY, wait_seconds=PATIENCE_SECONDS):
            assert store.turn_record(KEY, killed.turn_id) is None

    def test_a_holder_paused_past_its_lease_can_write_nothing_when_it_goes_on(
        self, store: SessionManager, address: StoreAddress, workers: Workers
    ) -> None:
        session = make_session(store)
        there = RemoteStore(workers(1)[0], address, lease_seconds=SHORT_LEASE_SECONDS)
        lost = there.take(KEY)
        there.worker.pause()
        with store.turn(KEY, wait_seconds=PATIENCE_SECONDS) as turn:
            there.worker.resume()
            for verb, *words in (
                ("bind", "conv_late"),
                ("begin",),
                ("note", "resp_late"),
                ("finish", TurnState.COMPLETED),
                ("forget",),
                ("begin_erasure",),
            ):
                with pytest.raises(TurnLostError):
                    lost.do(verb, *words)
            lost.leave()
            with pytest.raises(TurnBusyError):
                there.do("rename", KEY, "renamed", wait_seconds=0)
            with pytest.raises(TurnBusyError):
                there.take(KEY, wait_seconds=0)
            turn.begin()  # it holds the session still
            assert store.get(KEY) == session
        assert not store.erasures()

    def test_a_holder_paused_past_its_lease_goes_on_when_nobody_came(
        self, store: SessionManager, address: StoreAddress, workers: Workers
    ) -> None:
        make_session(store)
        there = RemoteStore(workers(1)[0], address, lease_seconds=SHORT_LEASE_SECONDS)
        turn = there.take(KEY)
        turn.do("begin")
        there.worker.pause()
        wait_until_dead(store, KEY, turn.turn_id)
        there.worker.resume()
        turn.do("finish", TurnState.COMPLETED)
        record = store.turn_record(KEY, turn.turn_id)
        assert record is not None
        assert record.state is TurnState.COMPLETED

    def test_a_waiter_paused_past_its_lease_has_lost_its_place(
        self, store: SessionManager, address: StoreAddress, workers: Workers
    ) -> None:
        there = RemoteStore(workers(1)[0], address, lease_seconds=SHORT_LEASE_SECONDS)
        with store.turn(KEY):
            paused = there.queue(KEY)
            wait_until_queued(store, KEY, paused.turn_id, paused.held)
            there.worker.pause()
            wait_until_dead(store, KEY, paused.turn_id)
        with store.turn(KEY, wait_seconds=0) as turn:
            there.worker.resume()
            with pytest.raises(GatewayError):
                paused.held.result(PATIENCE_SECONDS)
            turn.bind("conv_1")
