"""What a session's turns leave behind: written when they begin and when they end, once."""

from __future__ import annotations

import pytest

from gateway.errors import StoreUnavailableError
from gateway.model import SessionKey, TurnRecord, TurnState
from gateway.sessions.manager import SessionManager
from gateway.sessions.values import Use
from gateway.testing.contract import KEY, SHORT_LEASE_SECONDS, OpenStore, StoreContract, make_session, run_turn


class RecordsContract(StoreContract):
    def test_what_a_turn_writes_down_is_there_to_read(self, store: SessionManager) -> None:
        make_session(store)
        with store.turn(KEY, workflow="coach", fingerprint="f" * 64, idempotency_key="key") as turn:
            assert store.turns(KEY) == []  # it has not begun
            turn.begin(created=True)
            turn.note("resp_1")
            assert store.turn_record(KEY, turn.record.turn_id) == turn.record
            assert turn.record.state is TurnState.RUNNING
            usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3, "details": {"cached": 0}}
            record = turn.finish(TurnState.INCOMPLETE, usage=usage)
            assert store.turn_record(KEY, record.turn_id) == record
        assert (record.live, record.response_id, record.conversation_id) == (False, "resp_1", "conv_1")
        assert (record.generation, record.created, record.workflow, record.usage) == (1, True, "coach", usage)
        assert store.turn_record(KEY, record.turn_id) == record
        assert store.turn_record(SessionKey("", "another"), record.turn_id) is None
        assert store.recall("", "key") == record

    def test_a_failed_turn_is_recorded_and_is_no_use_of_the_session(self, store: SessionManager) -> None:
        bound = make_session(store)
        with store.turn(KEY) as turn:
            turn.begin()
            record = turn.finish(TurnState.FAILED, error_code="provider_error")
        assert store.turn_record(KEY, record.turn_id) == record
        assert record.error_code == "provider_error"
        assert store.get(KEY) == bound

    def test_the_turns_of_a_session_are_listed_newest_first(self, store: SessionManager) -> None:
        records = [run_turn(store, response_id=f"resp_{number}") for number in range(5)]
        run_turn(store, SessionKey("", "another"))
        records.reverse()
        assert list(store.turns(KEY)) == records
        assert list(store.turns(KEY, limit=2)) == records[:2]
        assert list(store.turns(KEY, limit=2, after=records[1].turn_id)) == records[2:4]
        assert list(store.turns(KEY, after=records[4].turn_id)) == []

    def test_finishing_twice_changes_nothing(self, store: SessionManager) -> None:
        make_session(store)
        with store.turn(KEY) as turn:
            turn.begin()
            record = turn.finish(TurnState.COMPLETED, response_id="resp_1")
            session = store.get(KEY)
            use = Use(KEY, "conv_1", store.now(), None, 7)
            store.store.records.finish(record, use)
            with store.turn(KEY, wait_seconds=0) as another:
                store.store.records.finish(record, use)
                turn.leave()
                another.begin()
        assert session is not None
        assert session.turns == 1
        assert store.get(KEY) == session
        found = store.turn_record(KEY, record.turn_id)
        assert found == record

    def test_a_finish_that_nobody_takes_is_given_up_after_a_lease_and_in_doubt(
        self, open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also on a store whose tickets can be renewed meanwhile, as those beside a file that is spoilt."""
        store = open_store(lease_seconds=SHORT_LEASE_SECONDS)
        make_session(store)

        def refuse(record: TurnRecord, use: Use | None) -> None:
            raise StoreUnavailableError()

        with store.turn(KEY) as turn:
            turn.begin()
            with monkeypatch.context() as patch:
                patch.setattr(store.store.records, "finish", refuse)
                with pytest.raises(StoreUnavailableError) as caught:
                    turn.finish(TurnState.COMPLETED)
            assert caught.value.in_doubt
            assert store.leases.may_live(turn.record.turn_id)
        with store.turn(KEY, wait_seconds=0):
            pass

    @pytest.mark.parametrize("written", [False, True], ids=["before it was written", "after it was written"])
    def test_a_finish_outlasts_a_store_that_is_away_for_a_moment(
        self, store: SessionManager, monkeypatch: pytest.MonkeyPatch, written: bool
    ) -> None:
        make_session(store)
        failures = iter([StoreUnavailableError(), StoreUnavailableError()])
        finish = store.store.records.finish

        def blip(record: TurnRecord, use: Use | None) -> None:
            if written:
                finish(record, use)
            for failure in failures:
                raise failure
            finish(record, use)

        monkeypatch.setattr(store.store.records, "finish", blip)
        run_turn(store)
        session = store.get(KEY)
        assert session is not None
        assert session.turns == 1
        with store.turn(KEY, wait_seconds=0):
            pass
