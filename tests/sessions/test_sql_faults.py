"""What a hand has spoilt in a store in SQL, and what was done unheard."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from gateway.errors import StoreUnavailableError
from gateway.model import SessionKey
from gateway.sessions import Filter, SessionManager, open_sessions
from gateway.testing.waiting import Clock
from tests.conftest import StoreAddress
from tests.harness.servers import TcpProxy
from tests.harness.sql_stores import KEY, add_erasures, execute, run_turn, sql_store

MAKE = Callable[[str], StoreAddress]


def test_a_session_that_cannot_be_read_is_missed_by_itself_only(
    store: SessionManager, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    keys = [SessionKey("", name) for name in ("first", "spoilt", "last")]
    for key in keys:
        run_turn(store, key)
        clock.advance(1)
    execute(store, "UPDATE {sessions} SET status = 'secret-word' WHERE session_id = 'spoilt'")
    with pytest.raises(StoreUnavailableError, match="spoilt"):
        store.get(keys[1])
    with pytest.raises(StoreUnavailableError):
        store.store.sessions.get_many(keys)
    assert [session.session_id for session in store.walk(Filter(), page=1)] == ["last", "first"]
    assert [session.session_id for session in store.made("")] == ["last", "first"]
    assert "spoilt" in caplog.text
    assert "secret-word" not in caplog.text
    execute(store, "UPDATE {sessions} SET expires_at = 1")
    assert store.expire() == 3


def test_an_erasure_that_cannot_be_read_is_missed_by_itself_only(make_store_address: MAKE) -> None:
    address = make_store_address("sqlite")  # the others keep no text in a column of numbers
    with open_sessions(address.url, prefix=address.prefix) as store:
        add_erasures(store, 2)
        execute(store, "UPDATE {erasures} SET requested_at = 'yesterday' WHERE session_id = 's0'")
        assert [each.session_id for each in store.erasures()] == ["s1"]
        assert [each.session_id for each in store.claim_erasures(2, store.now() + 60_000)] == ["s1"]
        assert store.claim_erasures(2, store.now() + 60_000) == []


@pytest.mark.parametrize("name", ["sqlite", "postgresql", "mariadb"])
def test_what_a_hand_wrote_in_other_words_can_be_edited(name: str, make_store_address: MAKE) -> None:
    address = make_store_address(name)
    with open_sessions(address.url, prefix=address.prefix) as store:
        run_turn(store)
        with sql_store(store).database.transaction() as work:
            work.execute(sa.update(sql_store(store).tables.sessions).values(data='{ "b": 2,  "a": 1 }'))
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
        run_turn(store)
        session = store.store.sessions.get(KEY)
        assert session is not None
        sa.event.listen(sql_store(store).database.engine, "after_cursor_execute", lose)
        with pytest.raises(StoreUnavailableError):
            store.store.sessions.swap(replace(session, data='{"a":1}'))
        sa.event.remove(sql_store(store).database.engine, "after_cursor_execute", lose)
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
        sa.event.listen(sql_store(store).database.engine, "after_cursor_execute", lose)
        record = run_turn(store, turn_id="turn_1", idempotency_key="key")
        sa.event.remove(sql_store(store).database.engine, "after_cursor_execute", lose)
        assert len(heard) >= 6
        assert list(store.turns(KEY)) == [record]
        session = store.get(KEY)
        assert session is not None
        assert (session.conversation_id, session.turns) == ("conv_" + KEY.session_id, 1)


@pytest.mark.parametrize("name", ["postgresql", "mariadb"])
def test_connections_that_died_while_idle_are_not_used(
    name: str, make_store_address: MAKE, server_of: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = make_store_address(name)
    monkeypatch.setattr("gateway.database.engine.IDLE_SECONDS", 0)
    with (
        TcpProxy(server_of(name).port) as network,
        open_sessions(network.through(address.url), prefix=address.prefix) as store,
    ):
        run_turn(store)
        session = store.store.sessions.get(KEY)
        assert session is not None
        network.cut()
        network.heal()
        # An edit is never made twice, so a dead connection would show.
        assert store.store.sessions.swap(replace(session, data='{"a":1}'))
