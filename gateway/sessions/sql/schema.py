"""The tables, and how they come to be: made on first use, and of a version that is checked ever after."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from gateway.database.engine import Database
from gateway.errors import ConfigurationError
from gateway.model import Status

VERSION = 2
"""Grows with every change of the tables below, but for a new table: one that is missing is made."""

READABLE_FROM = 2
"""The oldest version whose gateways can still work with these tables: after a change that only adds, one of before can
be started again while others are new already."""

MIGRATIONS: dict[int, list[str]] = {}
"""The statements that lead from each version to the next; `{prefix}` begins the tables' names. What is older than any
that can be left behind is refused. MySQL commits each by itself: it must do no harm to run one again after a crash.
None may take longer than a step waits for its server: before the first that does, `_alone` needs to wait longer."""

IS_INACTIVE = f"status <> '{Status.ACTIVE.value}'"
"""Of which sessions there is an index by status: most are active, and are found without one."""

_PREFIX = re.compile(r"[A-Za-z0-9_]{1,40}\Z")


class Tables:
    """The tables of a store. Texts are compared byte by byte in all of them, trailing spaces included."""

    def __init__(self, prefix: str, dialect: sa.Dialect) -> None:
        if not _PREFIX.match(prefix):
            raise ConfigurationError(
                f"The store prefix {prefix!r} cannot begin a table's name: 1 to 40 letters, digits and _ are allowed."
            )
        self.prefix = prefix
        self._metadata = sa.MetaData()
        self._collation = {"postgresql": "C", "sqlite": "BINARY"}.get(dialect.name)
        # utf8mb4_bin would not do: it takes no notice of trailing spaces.
        nopad = "utf8mb4_nopad_bin" if getattr(dialect, "is_mariadb", False) else "utf8mb4_0900_bin"
        self._options = {
            f"{name}_{option}": value
            for name in ("mysql", "mariadb")
            for option, value in {"engine": "InnoDB", "charset": "utf8mb4", "collate": nopad}.items()
        }
        self.meta = self._table("meta", sa.Column("name", self._text(40), primary_key=True), self._value("value", 200))
        self.turns = self._turns()
        self.erasures = self._erasures()
        self.given = self._given()
        self.keys = self._keys()
        self.sessions = self._sessions()

    def _turns(self) -> sa.Table:
        """A turn's record, which is its ticket while it is open.

        `place`: 0 holds the session, above waits in this order, NULL is out of the queue. The unique index on it is
        the database's own law that there is one holder. `fence` grows with every grant of a session, which makes it
        the order of its turns; NULL for one that was never granted, or is no longer listed. `lease_until` runs on the
        clock of leases (`Database.tick`), `prune_at`, when the row goes, on that of sessions.
        """
        return self._table(
            "turns",
            sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
            self._value("turn_id", 100, nullable=False, unique=True),
            self._value("tenant", 200, nullable=False),
            self._value("session_id", 200, nullable=False),
            self._value("state", 20, nullable=False),
            sa.Column("place", sa.BigInteger),
            sa.Column("fence", sa.BigInteger),
            sa.Column("lease_until", sa.BigInteger, nullable=False),
            self._value("owner", 80, nullable=False),
            self._value("workflow", 200, nullable=False),
            self._value("idempotency_key", 255),
            self._value("fingerprint", 100),
            self._value("conversation_id", 200),
            sa.Column("generation", sa.Integer),
            sa.Column("created", sa.Boolean, nullable=False),
            sa.Column("recovered", sa.Boolean, nullable=False),
            self._value("response_id", 200),
            sa.Column("entered_at", sa.BigInteger, nullable=False),
            sa.Column("started_at", sa.BigInteger),
            sa.Column("finished_at", sa.BigInteger),
            self._long("usage", nullable=True),
            self._value("error_code", 100),
            sa.Column("undelivered", sa.Boolean, nullable=False),
            sa.Column("prune_at", sa.BigInteger, nullable=False),
            # Most rows have left the queue, and many have no key or response: those cost these indices nothing.
            self._index("turns_place", "tenant", "session_id", "place", unique=True, where="place IS NOT NULL"),
            self._index("turns_key", "tenant", "idempotency_key", unique=True, where="idempotency_key IS NOT NULL"),
            self._index("turns_response", "tenant", "response_id", where="response_id IS NOT NULL"),
            self._index("turns_fence", "tenant", "session_id", "fence"),
            self._index("turns_prune", "prune_at"),
        )

    def _erasures(self) -> sa.Table:
        """What is to be erased at the provider. Whoever claims one moves its `not_before`."""
        return self._table(
            "erasures",
            self._value("tenant", 200, primary_key=True),
            self._value("session_id", 200, primary_key=True),
            self._value("conversation_id", 200, primary_key=True),
            sa.Column("requested_at", sa.BigInteger, nullable=False),
            sa.Column("whole", sa.Boolean, nullable=False),
            sa.Column("attempts", sa.Integer, nullable=False),
            sa.Column("not_before", sa.BigInteger, nullable=False),
            self._index("erasures_requested", "requested_at"),
            self._index("erasures_due", "not_before"),
        )

    def _given(self) -> sa.Table:
        """The provider's ids that a tenant was given outside of every session, and until when that is remembered."""
        return self._table(
            "given",
            self._value("tenant", 200, primary_key=True),
            self._value("given_id", 200, primary_key=True),
            sa.Column("until", sa.BigInteger, nullable=False),
            self._index("given_until", "until"),
        )

    def _keys(self) -> sa.Table:
        """API keys: who may come in, and the hash by which they are known."""
        return self._table(
            "keys",
            self._value("name", 100, primary_key=True),
            self._value("digest", 100, nullable=False),
            self._value("tenant", 200, nullable=False),
            self._value("role", 20, nullable=False),
            self._value("user_id", 255),
            sa.Column("created_at", sa.BigInteger, nullable=False),
        )

    def _sessions(self) -> sa.Table:
        return self._table(
            "sessions",
            self._value("tenant", 200, primary_key=True),
            self._value("session_id", 200, primary_key=True),
            self._value("conversation_id", 200, nullable=False),
            sa.Column("created_at", sa.BigInteger, nullable=False),
            sa.Column("last_used", sa.BigInteger, nullable=False),
            sa.Column("expires_at", sa.BigInteger),
            self._value("status", 20, nullable=False),
            self._value("user_id", 255),
            self._long("data", nullable=False),
            self._long("metadata", nullable=False),
            sa.Column("generation", sa.Integer, nullable=False),
            sa.Column("turns", sa.Integer, nullable=False),
            sa.Column("revision", sa.BigInteger, nullable=False),
            # One for each way of listing, so that a page costs the same however many sessions there are. Every turn
            # moves its session in them: where the database can, one is only for the sessions that need it.
            self._index("sessions_used", "last_used", "session_id", "tenant"),
            self._index("sessions_tenant", "tenant", "last_used", "session_id"),
            self._index("sessions_user", "tenant", "user_id", "last_used", "session_id", where="user_id IS NOT NULL"),
            self._index("sessions_status", "tenant", "status", "last_used", "session_id", where=IS_INACTIVE),
            self._index("sessions_made", "tenant", "created_at", "session_id"),
            self._index("sessions_expires", "expires_at", where="expires_at IS NOT NULL"),
        )

    def _table(self, name: str, *content: sa.Column[Any] | sa.Index) -> sa.Table:
        options: Any = self._options
        return sa.Table(f"{self.prefix}_{name}", self._metadata, *content, **options)

    def _text(self, length: int) -> sa.String:
        return sa.String(length, collation=self._collation)

    def _value(
        self, name: str, length: int, *, primary_key: bool = False, nullable: bool = True, unique: bool = False
    ) -> sa.Column[str]:
        nullable = nullable and not primary_key
        return sa.Column(name, self._text(length), primary_key=primary_key, nullable=nullable, unique=unique or None)

    def _long(self, name: str, *, nullable: bool) -> sa.Column[str]:
        text = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
        return sa.Column(name, text, nullable=nullable)

    def _index(self, name: str, *columns: str, unique: bool = False, where: str | None = None) -> sa.Index:
        """Of the rows that `where` names only, but for MySQL, which has no such indices."""
        condition = None if where is None else sa.text(where)
        return sa.Index(
            f"{self.prefix}_{name}", *columns, unique=unique, postgresql_where=condition, sqlite_where=condition
        )


class Versions(NamedTuple):
    """Of which version the tables are, and from which on a gateway can work with them."""

    schema_version: int
    readable_from: int


def prepare(database: Database, tables: Tables, *, mapping: bool = True) -> None:
    """Makes the tables where they are missing, and brings older ones to this version, however many processes do so at
    once. `ConfigurationError` when that cannot be, or when they were made by a gateway too new."""
    wanted = [tables.meta, tables.turns, tables.erasures, tables.given, tables.keys]
    wanted += [tables.sessions] if mapping else []
    with database.connection() as connection:
        found = _versions(connection, tables)
        _check(found, tables.prefix)
        if found is not None and found.schema_version >= VERSION and not _missing(connection, wanted):
            return
    with _alone(database, tables.prefix) as work:
        found = _versions(work, tables)
        if found is not None and found.schema_version > VERSION:
            return
        for version in range(found.schema_version if found else VERSION, VERSION):
            for statement in MIGRATIONS[version]:
                work.exec_driver_sql(statement.format(prefix=tables.prefix))
        # The version is written last: whoever reads it finds every table, also after a crash half-way.
        for table in wanted:
            if not sa.inspect(work).has_table(table.name):
                table.create(work, checkfirst=False)
                continue
            for index in table.indexes:
                index.create(work, checkfirst=True)
        if found != (VERSION, READABLE_FROM):
            work.execute(sa.delete(tables.meta))
            values = Versions(VERSION, READABLE_FROM)._asdict().items()
            work.execute(sa.insert(tables.meta), [{"name": name, "value": str(value)} for name, value in values])


def _check(found: Versions | None, prefix: str) -> None:
    if found is None:
        return
    if found.schema_version > VERSION and found.readable_from > VERSION:
        raise ConfigurationError(
            f"The tables {prefix}_* are of version {found.schema_version}, made by a newer gateway; "
            f"this one knows {VERSION}."
        )
    if not all(version in MIGRATIONS for version in range(found.schema_version, VERSION)):
        raise ConfigurationError(
            f"The tables {prefix}_* are of version {found.schema_version}, made by an older gateway; this one needs "
            f"{VERSION}: export the sessions with the old one, and import them under another prefix."
        )


def _versions(connection: sa.Connection, tables: Tables) -> Versions | None:
    if not sa.inspect(connection).has_table(tables.meta.name):
        return None
    found = {row.name: int(row.value) for row in connection.execute(sa.select(tables.meta))}
    if "schema_version" not in found:
        return None
    return Versions(found["schema_version"], found.get("readable_from", found["schema_version"]))


def _missing(connection: sa.Connection, wanted: list[sa.Table]) -> bool:
    return not all(sa.inspect(connection).has_table(table.name) for table in wanted)


@contextmanager
def _alone(database: Database, prefix: str) -> Iterator[sa.Connection]:
    """A connection for making the tables, while nobody else makes them."""
    if database.kind == "mysql":
        # DDL ends a transaction there, so the lock is the session's.
        name = f"{prefix}_schema"
        with database.connection() as work:
            if work.execute(sa.select(sa.func.get_lock(name, 10))).scalar() != 1:
                raise ConfigurationError(f"Another process has been making the tables {prefix}_* for 10 s.")
            try:
                yield work
            finally:
                work.execute(sa.select(sa.func.release_lock(name)))
        return
    with database.transaction() as work:
        if database.kind == "postgresql":
            work.execute(sa.select(sa.func.pg_advisory_xact_lock(zlib.crc32(prefix.encode()))))
        yield work
