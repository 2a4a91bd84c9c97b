"""A store in SQL, seen from behind: its rows as they lie there."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from gateway.model import SessionKey, TurnRecord, TurnState
from gateway.sessions import SessionManager, open_sessions
from gateway.sessions.sql import SqlStore
from gateway.sessions.values import Erasure
from tests.conftest import StoreAddress

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


def open_sql(address: StoreAddress, url: str | None = None, **options: Any) -> SessionManager:
    return open_sessions(url or address.url, prefix=address.prefix, **options)


@contextmanager
def statements(store: SessionManager) -> Iterator[list[tuple[str, Any]]]:
    """What is executed in the block, with its parameters."""
    seen: list[tuple[str, Any]] = []

    def see(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        seen.append((statement, parameters))

    sa.event.listen(sql_store(store).database.engine, "before_cursor_execute", see)
    try:
        yield seen
    finally:
        sa.event.remove(sql_store(store).database.engine, "before_cursor_execute", see)


def run_streamed_turn(store: SessionManager, key: SessionKey = KEY, **options: Any) -> None:
    with store.turn(key, **options) as turn:
        if turn.session is None:
            turn.bind("conv_1")
        turn.begin()
        turn.note("resp_1")
        turn.finish(TurnState.COMPLETED, usage={"total_tokens": 3})


def fill(store: SessionManager, sessions: int = 5000, expires_at: int = 3_000_000_000_000) -> None:
    empty = {"tenant": "", "conversation_id": "conv_1", "data": "{}", "metadata": "{}", "generation": 1, "turns": 0}
    empty["revision"] = 0
    rows = [
        {
            **empty,
            "session_id": f"s{number}",
            "created_at": 1_000_000,
            "last_used": 1_000_000 + number,
            "expires_at": expires_at + number,
            "status": "completed" if number % 5 == 0 else "active",
            "user_id": f"user_{number % 100}",
        }
        for number in range(sessions)
    ]
    turn = {"tenant": "", "state": "completed", "lease_until": 0, "owner": "", "workflow": ""}
    turn |= {"created": False, "recovered": False, "undelivered": False, "entered_at": 0}
    turns = [
        {
            **turn,
            "turn_id": f"turn_{number}",
            "session_id": f"s{number % 500}",
            "fence": number,
            "idempotency_key": f"key_{number}",
            "response_id": f"resp_{number}",
            "prune_at": 4_000_000_000_000 + number,
        }
        for number in range(sessions)
    ]

    erasures = [
        Erasure("", f"s{number}", f"conv_old_{number}", number, whole=False, not_before=4_000_000_000_000 + number)
        for number in range(sessions)
    ]
    given = [{"tenant": "", "given_id": f"item_{n}", "until": 4_000_000_000_000 + n} for n in range(sessions)]
    tables = sql_store(store).tables

    def insert(work: sa.Connection) -> None:
        work.execute(sa.insert(tables.sessions), rows)
        work.execute(sa.insert(tables.turns), turns)
        work.execute(sa.insert(tables.given), given)
        work.execute(sa.insert(tables.erasures), [asdict(erasure) for erasure in erasures])

    sql_store(store).database.atomically(insert)
