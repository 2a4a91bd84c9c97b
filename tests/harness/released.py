"""What stores of each version left behind, committed so that every later version can be held against it.

With a new version of the stores write its files, and never change those of an older one:

    python -m tests.harness.released
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

from gateway.database.engine import Database
from gateway.model import ApiKey, Role, SessionKey, Status, TurnState
from gateway.sessions import SessionManager, open_sessions
from gateway.sessions.sql import SqlStore
from gateway.sessions.sql.schema import VERSION, Tables
from tests.harness.servers import Valkey

FOLDER = Path(__file__).parents[1] / "fixtures/stores"
PREFIX = "released"
NOW = 1_800_000_000.0

ALICE, BOB = SessionKey("", "alice"), SessionKey("acme", "bob")
CAROL, DAVE = SessionKey("", "carol"), SessionKey("", "dave")
CI = ApiKey("ci", "d1" * 32, "acme", Role.USER, None, 1_800_000_000_000)
DIALECTS: dict[str, Callable[..., sa.Dialect]] = {
    "sqlite": sqlite.dialect,
    "postgresql": postgresql.dialect,
    "mariadb": mysql.dialect,
}


def clock() -> float:
    return NOW


def fill(sessions: SessionManager) -> None:
    """One of everything that a store keeps."""
    for number, key in enumerate((ALICE, BOB, CAROL, DAVE), 1):
        with sessions.turn(key, turn_id=f"turn_{number}", idempotency_key=f"key-{number}", fingerprint="print") as turn:
            turn.bind(f"conv_{number}", user_id="ann", data={"plan": "gold"}, metadata={"note": "vip"})
            turn.begin(created=True)
            turn.finish(TurnState.COMPLETED, response_id=f"resp_{number}", usage={"total_tokens": 3})
    with sessions.turn(ALICE, turn_id="turn_5") as turn:
        turn.begin()
        turn.finish(TurnState.COMPLETED, response_id="resp_5")
    sessions.update(BOB, status=Status.COMPLETED)
    with sessions.turn(CAROL, turn_id="turn_6") as turn:
        sessions.postpone(replace(turn.begin_erasure(), attempts=2))
    with sessions.turn(DAVE, turn_id="turn_7") as turn:
        turn.bind("conv_new", erase_old=True)
    sessions.remember("acme", ["item_1"])
    assert sessions.store.owners.add_key(CI)


# --- SQL ---------------------------------------------------------------------------------------------------


def restore_sql(database: Database, version: int, kind: str, prefix: str, *, without: str = "") -> None:
    """Makes the tables of that version, and puts into them what was in them (but for one of them)."""
    for statement in (FOLDER / str(version) / f"{kind}.sql").read_text().split(";\n"):
        if statement.strip() and not (without and f"{PREFIX}_{without}" in statement):
            with database.transaction() as work:
                work.exec_driver_sql(statement.replace(PREFIX, prefix).replace("%", "%%"))
    rows = json.loads((FOLDER / str(version) / "rows.json").read_text())
    with database.transaction() as work:
        for name, some in rows.items():
            if some and name != without:
                table = sa.Table(f"{prefix}_{name}", sa.MetaData(), autoload_with=work)
                work.execute(sa.insert(table), some)


def _write_sql(folder: Path) -> None:
    with open_sessions("memory:", prefix=PREFIX, clock=clock) as sessions:
        fill(sessions)
        store = sessions.store
        assert isinstance(store, SqlStore)
        with store.database.connection() as connection:
            kept = {
                table.name.removeprefix(f"{PREFIX}_"): list(map(dict, connection.execute(sa.select(table)).mappings()))
                for table in _all(store.tables)
            }
    for row in (row for some in kept.values() for row in some):
        row.pop("number", None)
    (folder / "rows.json").write_text(json.dumps(kept, indent=1) + "\n")
    for kind, dialect in DIALECTS.items():
        made = dialect()
        if kind == "mariadb":
            made.is_mariadb = True
        statements = []
        for table in _all(Tables(PREFIX, made)):
            statements.append(str(sa.schema.CreateTable(table).compile(dialect=made)).strip())
            indices = sorted(table.indexes, key=lambda index: str(index.name))
            statements += [str(sa.schema.CreateIndex(index).compile(dialect=made)) for index in indices]
        (folder / f"{kind}.sql").write_text(";\n".join(statements) + ";\n")


def _all(tables: Tables) -> list[sa.Table]:
    return [tables.meta, tables.turns, tables.erasures, tables.given, tables.keys, tables.sessions]


# --- A JSON file, and Redis --------------------------------------------------------------------------------


def _write_json(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "sessions.json"
        with open_sessions(f"json:{path}", prefix=PREFIX, clock=clock) as sessions:
            fill(sessions)
        (folder / "sessions.json").write_bytes(path.read_bytes())


def restore_redis(client: Any, version: int, prefix: str) -> None:
    for name, kind, value, ttl_ms in json.loads((FOLDER / str(version) / "redis.json").read_text()):
        key = name.replace(PREFIX, prefix, 1)
        if kind == "string":
            client.set(key, value)
        elif kind == "hash":
            client.hset(key, mapping=value)
        else:
            client.zadd(key, value)
        if ttl_ms > 0:
            client.pexpire(key, ttl_ms)


def _write_redis(folder: Path, server: Valkey) -> None:
    with open_sessions(server.url(), prefix=PREFIX, clock=clock) as sessions:
        fill(sessions)
    import redis

    read: dict[str, Callable[[Any, str], Any]] = {
        "string": lambda client, key: client.get(key),
        "hash": lambda client, key: client.hgetall(key),
        "zset": lambda client, key: dict(client.zrange(key, 0, -1, withscores=True)),
    }
    with redis.Redis.from_url(server.url(), decode_responses=True) as client:
        keys = sorted(client.scan_iter(f"{PREFIX}:*"))
        kept = [(key, kind := client.type(key), read[kind](client, key), client.pttl(key)) for key in keys]
    (folder / "redis.json").write_text("[\n" + ",\n".join(json.dumps(each) for each in kept) + "\n]\n")


if __name__ == "__main__":
    made = FOLDER / str(VERSION)
    made.mkdir(parents=True, exist_ok=True)
    _write_sql(made)
    _write_json(made)
    with Valkey() as server:
        _write_redis(made, server)
