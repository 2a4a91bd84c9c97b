"""A store in SQL, seen from behind: its rows as they lie there."""

from typing import Any

import sqlalchemy as sa

from gateway.model import SessionKey, TurnRecord, TurnState
from gateway.sessions import SessionManager
from gateway.sessions.sql import SqlStore
from gateway.sessions.values import Erasure

KEY = SessionKey("", "user_alice_session")


def sql_store(store: SessionManager) -> SqlStore:
    """The store that it holds."""
    assert isinstance(store.store, SqlStore)
    return store.store


def filled_in(store: SessionManager, statement: str) -> sa.TextClause:
    tables = sql_store(store).tables
    names = ("turns", "sessions", "erasures", "given")
    return sa.text(statement.format(**{name: getattr(tables, name).name for name in names}))


def rows(store: SessionManager, statement: str, **parameters: Any) -> list[Any]:
    return list(sql_store(store).database.rows(filled_in(store, statement), parameters))


def execute(store: SessionManager, statement: str, **parameters: Any) -> int:
    return sql_store(store).database.change(filled_in(store, statement), parameters)


def run_turn(store: SessionManager, key: SessionKey = KEY, **options: Any) -> TurnRecord:
    with store.turn(key, **options) as turn:
        if turn.session is None:
            turn.bind(f"conv_{key.session_id}")
        turn.begin()
        return turn.finish(TurnState.COMPLETED, response_id="resp_1", usage={"total_tokens": 3})


def add_erasures(store: SessionManager, number: int) -> None:
    erasures = [Erasure("", f"s{n}", "conv_1", requested_at=n, whole=False) for n in range(number)]
    sql = sql_store(store)
    sql.database.atomically(lambda work: sql.erasures.add(work, *erasures))
