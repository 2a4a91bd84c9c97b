"""The tables behind the local provider: conversations, items, stored responses, and the responses under way."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

metadata = MetaData()

# Ids that differ only in case are different ids; MySQL's usual collations disagree.
_id = String(255).with_variant(mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
# JSON as bytes: what is not looked into need not be decoded. (The length makes it a LONGBLOB on MySQL.)
_json = LargeBinary(2**32 - 1)
_sequence = BigInteger().with_variant(Integer, "sqlite")

conversations = Table(
    "local_conversations",
    metadata,
    Column("conversation_id", _id, primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Column("metadata", _json, nullable=False),
)

# An item belongs to its owner: a conversation, or a stored response that is in none. Text is only ever inserted at the
# end and deleted, never updated in place, so that SQLite leaves no copies of it behind in half-filled pages.
items = Table(
    "local_items",
    metadata,
    Column("sequence", _sequence, primary_key=True, autoincrement=True),
    Column("owner_id", _id, nullable=False),
    Column("item_id", _id, nullable=False),
    Column("body", _json, nullable=False),
    UniqueConstraint("item_id", "owner_id", name="local_items_once"),
    Index("local_items_order", "owner_id", "sequence"),
    sqlite_autoincrement=True,
)

responses = Table(
    "local_responses",
    metadata,
    Column("sequence", _sequence, primary_key=True, autoincrement=True),
    Column("response_id", _id, nullable=False, unique=True),
    Column("conversation_id", _id),
    Column("previous_response_id", _id),
    # How far its conversation went when it ended.
    Column("last_sequence", BigInteger),
    Column("body", _json, nullable=False),
    sqlite_autoincrement=True,
)

# The lock, the lease and the fence in one: a row is there while its response runs, at most one a conversation; a row
# whose lease ran out is deleted by whoever comes next, and a response that no longer finds its row appends nothing.
running = Table(
    "local_running",
    metadata,
    Column("response_id", _id, primary_key=True),
    Column("conversation_id", _id, unique=True),
    Column("lease_until", Double, nullable=False),
    # The response as far as it is known; null when it is not to be stored.
    Column("body", _json),
)


class Now(FunctionElement[float]):
    """The database's own clock, in seconds: leases never compare two machines' clocks."""

    inherit_cache = True
    type = Double()


@compiles(Now, "sqlite")
def _sqlite_now(element: Now, compiler: Any, **options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(Now, "postgresql")
def _postgresql_now(element: Now, compiler: Any, **options: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)"


@compiles(Now, "mysql")
@compiles(Now, "mariadb")
def _mysql_now(element: Now, compiler: Any, **options: Any) -> str:
    return "UNIX_TIMESTAMP(NOW(6))"
