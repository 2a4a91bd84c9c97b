"""What becomes of tickets and turn records in SQL over the days: the dead, the old, and the numbers that only grow."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from gateway.errors import StoreUnavailableError
from gateway.model import SessionKey, TurnRecord, TurnState
from gateway.sessions import Lifetime, open_sessions
from gateway.sessions.sql import SqlSessionManager
from gateway.sessions.sql.pruning import NEWEST
from tests.conftest import StoreAddress
from tests.harness.servers import TcpProxy

MAKE = Callable[[str], StoreAddress]
KEY = SessionKey("", "user_alice_session")
OTHER = SessionKey("", "another")
HOUR, DAY = 3600.0, 86400.0


class Clock:
    """A clock that stands still until told otherwise."""

    seconds = 1_800_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def store(request: pytest.FixtureRequest, make_store_address: MAKE, clock: Clock) -> Iterator[SqlSessionManager]:
    address = make_store_address(request.param)
    with open_sessions(address.url, prefix=address.prefix, clock=clock) as store:
        assert isinstance(store, SqlSessionManager)
        yield store


def run_turn(store: SqlSessionManager, key: SessionKey = KEY, **options: Any) -> TurnRecord:
    with store.turn(key, **options) as turn:
        if turn.session is None:
            turn.bind(f"conv_{key.session_id}")
        turn.begin()
        return turn.finish(TurnState.COMPLETED, response_id="resp_1", usage={"total_tokens": 3})


def rows(store: SqlSessionManager, statement: str, **parameters: Any) -> list[Any]:
    table = store._sessions.name.removesuffix("_sessions")
    return list(store._database.rows(sa.text(statement.format(turns=f"{table}_turns")), parameters))


def execute(store: SqlSessionManager, statement: str, **parameters: Any) -> int:
    table = store._sessions.name.removesuffix("_sessions")
    return store._database.change(sa.text(statement.format(turns=f"{table}_turns")), parameters)


def sweep(store: SqlSessionManager) -> None:
    for _ in range(5):
        store.expire(limit=100)


# --- Old records -------------------------------------------------------------------------------------------


def test_records_of_the_last_day_stay_whole(store: SqlSessionManager, clock: Clock) -> None:
    records = [run_turn(store, workflow="coach") for _ in range(NEWEST + 5)]
    clock.seconds += 23 * HOUR
    sweep(store)
    assert list(store.turns(KEY, limit=100)) == records[::-1]


def test_older_ones_keep_their_ids_and_the_newest_fifty_everything(store: SqlSessionManager, clock: Clock) -> None:
    records = [run_turn(store, workflow="coach", fingerprint="f" * 64) for _ in range(NEWEST + 5)]
    clock.seconds += 25 * HOUR
    sweep(store)
    found = store.turns(KEY, limit=100)
    assert list(found[:NEWEST]) == records[:4:-1]
    for thin, record in zip(found[NEWEST:], records[4::-1], strict=True):
        assert (thin.turn_id, thin.response_id, thin.conversation_id) == (record.turn_id, "resp_1", "conv_" + KEY[1])
        assert (thin.state, thin.started_at, thin.finished_at) == (record.state, record.started_at, record.finished_at)
        # Whoever asks for its response may see what its workflow lets them see.
        assert (thin.workflow, thin.fingerprint, thin.usage) == ("coach", None, None)
    assert len(store.response_ids(KEY, "conv_" + KEY[1])) == NEWEST + 5


def test_ids_are_kept_a_month(store: SqlSessionManager, clock: Clock) -> None:
    for _ in range(NEWEST + 5):
        run_turn(store)
    for _ in range(29):
        clock.seconds += DAY
        sweep(store)
    assert len(store.turns(KEY, limit=100)) == NEWEST + 5
    clock.seconds += 2 * DAY
    sweep(store)
    assert len(store.turns(KEY, limit=100)) == NEWEST


def test_records_without_a_session_go_after_a_month(store: SqlSessionManager, clock: Clock) -> None:
    with store.turn(KEY) as turn:
        turn.finish(TurnState.FAILED, error_code="provider_unavailable")
    for _ in range(32):
        clock.seconds += DAY
        sweep(store)
    assert rows(store, "SELECT * FROM {turns}") == []


def test_a_key_is_forgotten_after_a_day_and_a_turn_that_lasts_stays(store: SqlSessionManager, clock: Clock) -> None:
    done = run_turn(store, idempotency_key="key")
    with store.turn(OTHER, turn_id="turn_long") as long:
        long.bind("conv_2")
        long.begin()
        clock.seconds += 40 * DAY
        sweep(store)
        assert store.recall("", "key") is None
        assert rows(store, "SELECT idempotency_key FROM {turns} WHERE turn_id = :t", t=done.turn_id) == [(None,)]
        long.note("resp_2")


def test_a_turn_in_doubt_is_kept_a_month(store: SqlSessionManager, clock: Clock) -> None:
    with store.turn(KEY, turn_id="turn_cut_off") as turn:
        turn.bind("conv_1")
        turn.begin()
    clock.seconds += 29 * DAY
    sweep(store)
    record = store.turn_record(KEY, "turn_cut_off")
    assert record is not None
    assert record.in_doubt


def test_the_sweeper_looks_at_each_row_a_few_times_only(store: SqlSessionManager, clock: Clock) -> None:
    for _ in range(20):
        run_turn(store)
    clock.seconds += 25 * HOUR
    sweep(store)
    due = "SELECT count(*) FROM {turns} WHERE prune_at <= :soon"
    assert rows(store, due, soon=store.now() + round(20 * DAY * 1000)) == [(0,)]


# --- Whose ids these are -----------------------------------------------------------------------------------


def test_ids_given_outside_of_sessions_are_kept_a_month_from_the_last_time(
    store: SqlSessionManager, clock: Clock
) -> None:
    ids = [f"item_{number}" for number in range(1200)]
    store.remember("alice", ids)
    clock.seconds += 20 * DAY
    store.remember("alice", [ids[-1], "resp_2"])
    store.remember("bob", ids[:1])
    clock.seconds += 11 * DAY
    sweep(store)
    assert store.remembered("alice", [*ids, "resp_2"]) == {ids[-1], "resp_2"}
    assert store.remembered("bob", ids) == {ids[0]}
    given = store._sessions.name.removesuffix("sessions") + "given"
    for _ in range(10):
        sweep(store)
    assert rows(store, f"SELECT count(*) FROM {given}") == [(3,)]


def test_the_mark_of_an_undelivered_reply_is_claimed_once(store: SqlSessionManager) -> None:
    record = run_turn(store)
    assert not store.claim_undelivered(record)
    store.mark_undelivered(record)
    assert store.turns(KEY)[0].undelivered
    assert [store.claim_undelivered(record) for _ in range(3)] == [True, False, False]
    assert list(store.turns(KEY)) == [record]


def test_a_response_belongs_to_its_session_under_its_name_now(store: SqlSessionManager) -> None:
    run_turn(store)
    store.rename(KEY, "renamed")
    assert store.response_owner("", "resp_1") == ("renamed", f"conv_{KEY.session_id}", "")
    assert store.response_owner("other", "resp_1") is None
    store.remember("other", ["resp_1"])
    assert store.response_owner("other", "resp_1") == (None, None, None)


# --- Dead tickets ------------------------------------------------------------------------------------------


def test_tickets_that_nobody_came_after_are_cleared_away(store: SqlSessionManager, clock: Clock) -> None:
    with store.turn(KEY, turn_id="turn_holds") as turn:
        turn.bind("conv_1")
        execute(store, "UPDATE {turns} SET lease_until = 0")
        clock.seconds += 25 * HOUR
        sweep(store)
        assert rows(store, "SELECT * FROM {turns}") == []


def test_a_session_does_not_expire_while_a_turn_waits_for_it(make_store_address: MAKE, clock: Clock) -> None:
    address = make_store_address("sqlite")
    lifetime = Lifetime(idle_seconds=60)
    with open_sessions(address.url, prefix=address.prefix, clock=clock, lifetime=lifetime) as store:
        assert isinstance(store, SqlSessionManager)
        with store.turn(KEY) as turn:
            turn.bind("conv_1")
            clock.seconds += 61
            execute(store, "UPDATE {turns} SET place = 5")
            assert store.expire() == 0
            execute(store, "UPDATE {turns} SET place = 0")
        assert store.expire() == 1


def test_after_a_reboot_every_ticket_is_dead_whatever_its_lease_says(make_store_address: MAKE) -> None:
    address = make_store_address("sqlite")
    with open_sessions(address.url, prefix=address.prefix) as store:
        assert isinstance(store, SqlSessionManager)
        with store.turn(KEY, turn_id="turn_before") as turn:
            turn.bind("conv_1")
            turn.begin()
            # The clock of leases starts anew: those of a machine that was up for long lie in the far future.
            execute(store, "UPDATE {turns} SET owner = :gone, lease_until = :far", gone="1-gone", far=2**60)
            assert not store._held(KEY)
            with store.turn(KEY, wait_seconds=0) as after:
                assert after.fence > turn.fence
            record = store.turn_record(KEY, "turn_before")
            assert record is not None
            assert record.in_doubt


def test_a_step_back_of_the_wall_clock_leaves_leases_alone(
    make_store_address: MAKE, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = make_store_address("sqlite")
    with open_sessions(address.url, prefix=address.prefix) as store:
        with store.turn(KEY) as turn:
            turn.bind("conv_1")
            real = time.time_ns
            monkeypatch.setattr(time, "time_ns", lambda: real() - 10**15)
            turn.begin()
            assert store._renew([(KEY, turn.record.turn_id)]) == {turn.record.turn_id}
            turn.finish(TurnState.COMPLETED)
        with store.turn(KEY) as later:
            assert later.fence > turn.fence  # and so do fences, which start from that clock
            assert later.session is not None
            assert later.session.last_used == turn.session.last_used  # type: ignore[union-attr]


# --- Fences ------------------------------------------------------------------------------------------------


def test_fences_grow_where_another_hosts_clock_runs_ahead(store: SqlSessionManager) -> None:
    run_turn(store)
    ahead = store._database.epoch_us() + 3_600_000_000
    execute(store, "UPDATE {turns} SET fence = :ahead", ahead=ahead)
    fences = []
    for _ in range(3):
        with store.turn(KEY) as turn:
            fences.append(turn.fence)
            turn.begin()
            turn.finish(TurnState.COMPLETED)
    assert fences == [ahead + 1, ahead + 2, ahead + 3]


@pytest.mark.parametrize("name", ["sqlite", "postgresql", "mariadb"])
def test_what_a_hand_wrote_in_other_words_can_be_edited(name: str, make_store_address: MAKE) -> None:
    address = make_store_address(name)
    with open_sessions(address.url, prefix=address.prefix) as store:
        assert isinstance(store, SqlSessionManager)
        run_turn(store)
        with store._database.transaction() as work:
            work.execute(sa.update(store._sessions).values(data='{ "b": 2,  "a": 1 }'))
        assert store.update(KEY, data={"c": 3}).data == {"a": 1, "b": 2, "c": 3}


@pytest.mark.parametrize("name", ["postgresql", "mariadb"])
def test_an_edit_whose_answer_is_lost_is_not_made_twice(name: str, make_store_address: MAKE) -> None:
    address = make_store_address(name)
    lost = []

    def lose(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        lost.append(statement)
        connection.connection.driver_connection.close()
        cursor.execute("SELECT 1")

    with open_sessions(address.url, prefix=address.prefix) as store:
        assert isinstance(store, SqlSessionManager)
        run_turn(store)
        session = store.get(KEY)
        assert session is not None
        sa.event.listen(store._database.engine, "after_cursor_execute", lose)
        with pytest.raises(StoreUnavailableError):
            store._swap(session, replace(session, data={"a": 1}))
        sa.event.remove(store._database.engine, "after_cursor_execute", lose)
        assert len(lost) == 1
        assert store.update(KEY, data={"b": 2}).data == {"a": 1, "b": 2}


@pytest.mark.parametrize("name", ["postgresql", "mariadb"])
def test_a_step_of_a_turn_whose_answer_is_lost_is_made_again(name: str, make_store_address: MAKE) -> None:
    """Each statement of a turn once goes through unheard; the turn does not notice."""
    address = make_store_address(name)
    heard: set[str] = set()

    def lose(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if statement not in heard:
            heard.add(statement)
            connection.connection.driver_connection.close()
            cursor.execute("SELECT 1")

    with open_sessions(address.url, prefix=address.prefix) as store:
        assert isinstance(store, SqlSessionManager)
        sa.event.listen(store._database.engine, "after_cursor_execute", lose)
        record = run_turn(store, turn_id="turn_1", idempotency_key="key")
        sa.event.remove(store._database.engine, "after_cursor_execute", lose)
        assert len(heard) >= 6
        assert list(store.turns(KEY)) == [record]
        session = store.get(KEY)
        assert session is not None
        assert (session.conversation_id, session.turns) == ("conv_" + KEY.session_id, 1)


@pytest.mark.parametrize("name", ["postgresql", "mariadb"])
def test_connections_that_died_while_idle_are_not_used(
    name: str, make_store_address: MAKE, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = make_store_address(name)
    server = request.getfixturevalue({"postgresql": "postgres"}.get(name, name))
    monkeypatch.setattr("gateway.database.engine.IDLE_SECONDS", 0)
    with (
        TcpProxy(server.port) as network,
        open_sessions(network.through(address.url), prefix=address.prefix) as store,
    ):
        run_turn(store)
        session = store.get(KEY)
        assert session is not None
        network.cut()
        network.heal()
        # An edit is never made twice, so a dead connection would show.
        assert store._swap(session, replace(session, data={"a": 1}))
