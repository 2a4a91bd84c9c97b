"""The database behind a store: statements run, errors translated, its clock followed.

Connections are always in autocommit: a single statement is a single round trip. A step of several statements says
BEGIN and COMMIT itself (`transaction`).
"""

from __future__ import annotations

import math
import os
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc as sql_errors

from gateway.database.connections import Borrowed
from gateway.database.drivers import WAIT_SECONDS
from gateway.database.errors import AgainError, is_read_only
from gateway.database.errors import CollisionError as CollisionError
from gateway.database.sqlite import empty_log
from gateway.errors import StoreUnavailableError
from gateway.line import Line
from gateway.liveness import uptime_us

T = TypeVar("T")
Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None

ATTEMPTS = 10
"""How often a step is tried that the database itself undid (a deadlock, a lost race)."""

IDLE_SECONDS = 5.0
"""A connection that lay idle this long is tried before it is used. A ping on every use would double a turn's round
trips; one that was in use a moment ago is nearly always alive, and where it is not the step is repeated."""

# The store's own clock, in microseconds.
_TICKS = {
    "postgresql": "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
    # Not NOW(): that is when the statement began, before it waited for a lock.
    "mysql": "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)",
}
_BEGIN = {"sqlite": "BEGIN IMMEDIATE", "mysql": "START TRANSACTION"}
_IS_READ_ONLY = {
    # On in every transaction of a standby, too.
    "postgresql": "SELECT current_setting('transaction_read_only') = 'on'",
    # A number to some servers, a word to others.
    "mysql": "SELECT CAST(@@global.read_only AS CHAR) NOT IN ('0', 'OFF')",
}

_open: weakref.WeakSet[Database] = weakref.WeakSet()


class Database:
    """An engine whose connections are in autocommit, with the store's clock.

    `urgent`, wherever it is asked for, is for the one thread of a process that renews leases: it never stands in line
    behind turns.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.kind: str = "mysql" if engine.dialect.name == "mariadb" else engine.dialect.name
        self.networked = self.kind != "sqlite"
        self.tick: sa.ColumnElement[int]
        """Now, by the clock of leases: the database's own; on a one-host store the host's, which never steps."""
        if self.networked:
            self.tick = sa.literal_column(_TICKS[self.kind], sa.BigInteger)
        else:
            self.tick = sa.bindparam("tick", callable_=uptime_us, type_=sa.BigInteger)
        self._ahead_us = 0
        self._heard_at = 0
        self._spent = math.inf
        self._draw_lines()
        if self.networked:
            sa.event.listen(engine, "connect", self._connected)
            sa.event.listen(engine, "checkin", self._checked_in)
            sa.event.listen(engine, "checkout", self._checked_out)
            sa.event.listen(engine, "handle_error", self._failed)
        _open.add(self)

    def rows(
        self, statement: sa.Executable, parameters: Parameters = None, *, urgent: bool = False
    ) -> Sequence[sa.Row[Any]]:
        """What a reading statement finds."""

        def attempt() -> Sequence[sa.Row[Any]]:
            with self.connection(urgent=urgent) as connection:
                return connection.execute(statement, parameters).fetchall()

        return self._repeated(attempt, repeat=True)

    def change(
        self, statement: sa.Executable, parameters: Parameters = None, *, repeat: bool = True, urgent: bool = False
    ) -> int:
        """How many rows a writing statement found and changed. `CollisionError` when a unique index stood against it.

        `repeat`: the statement may run twice (when a connection broke, it is not known whether it ran once).
        """

        def attempt() -> int:
            with self._writing(urgent), self.connection(urgent=urgent) as connection:
                changed = connection.execute(statement, parameters).rowcount
                assert changed >= 0, "the driver does not say how many rows were changed"
                return changed

        return self._repeated(attempt, repeat=repeat)

    def atomically(self, step: Callable[[sa.Connection], T]) -> T:
        """Runs `step` in a transaction: all of it or nothing. It may be called several times."""

        def attempt() -> T:
            try:
                with self.transaction() as work:
                    return step(work)
            except CollisionError as exc:
                # Somebody wrote the same row in between: the next attempt finds it.
                raise AgainError(undone=True) from exc

        return self._repeated(attempt, repeat=True)

    def connection(self, *, urgent: bool = False) -> AbstractContextManager[sa.Connection]:
        """A connection for reading: its statements see what is there at their moment, each by itself."""
        return Borrowed(self.engine, None if urgent else self._connections)

    @contextmanager
    def transaction(self, *, lasting: bool = True, urgent: bool = False) -> Iterator[sa.Connection]:
        """A connection whose statements are committed together at the end of the block, or undone by an exception.

        One that is not `lasting` may be forgotten when the machine (not just the process) dies: right for leases, and
        saves SQLite a wait for the disk.
        """
        with self._writing(urgent), self.connection(urgent=urgent) as work, self._hasty(work, not lasting):
            work.exec_driver_sql(_BEGIN.get(self.kind, "BEGIN"))
            try:
                yield work
                work.exec_driver_sql("COMMIT")
            except BaseException:
                try:
                    work.exec_driver_sql("ROLLBACK")
                except Exception:
                    work.invalidate()
                raise

    def check(self, table: sa.FromClause) -> None:
        """`StoreUnavailableError` unless the database answers, has this table and takes writes: a server that has
        become a standby answers, too."""
        self.rows(sa.select(table).limit(1))
        if self.networked and self.rows(sa.text(_IS_READ_ONLY[self.kind]))[0][0]:
            # The next connections may lead to the server that has taken its place.
            self.engine.dispose()
            raise StoreUnavailableError("The store's database is read-only just now.", retry_after=1)

    def epoch_us(self) -> int:
        """Now in epoch microseconds, by the database's clock as last heard of: costs no round trip."""
        if self.networked:
            return uptime_us() + self._ahead_us
        return time.time_ns() // 1000

    def heard(self, tick: int, asked: int) -> None:
        """Sets the clock by an answer that held `self.tick`; `asked` is the `uptime_us` before the question."""
        now = uptime_us()
        spent = now - asked
        # The quicker the answer the truer; an old one is replaced by any.
        if spent <= self._spent or now - self._heard_at > 10_000_000:
            self._ahead_us, self._heard_at, self._spent = int(tick) - (asked + now) // 2, now, spent

    def scrub(self) -> bool:
        """Removes what was deleted from SQLite's write-ahead log too; False while somebody who reads or writes is in
        the way: whoever is not to be waited for. A server's own log is its operator's."""
        if self.networked:
            return True
        try:
            with self.connection() as connection:
                return empty_log(connection)
        except StoreUnavailableError:
            return False

    def close(self) -> None:
        _open.discard(self)
        self.engine.dispose()

    def _draw_lines(self) -> None:
        pool = self.engine.pool
        assert isinstance(pool, sa.QueuePool)
        # One connection is kept for who is urgent; a database in memory has only one.
        self._connections = Line(max(pool.size() - 1, 1))
        # SQLite's writers poll for the file's lock: those of one process queue here and hand over without a pause.
        self._writers = None if self.networked else Line(1)

    def _writing(self, urgent: bool) -> AbstractContextManager[None]:
        return nullcontext() if self._writers is None else self._writers.place(WAIT_SECONDS, urgent=urgent)

    @contextmanager
    def _hasty(self, work: sa.Connection, hasty: bool) -> Iterator[None]:
        if not hasty or self.networked:
            yield
            return
        work.exec_driver_sql("PRAGMA synchronous = NORMAL")
        try:
            yield
        finally:
            work.exec_driver_sql("PRAGMA synchronous = FULL")

    def _after_fork(self) -> None:
        """A child opens connections of its own: on those of its parent both would speak at once."""
        if self.networked or self.engine.url.database:
            self.engine.dispose(close=False)
        self._draw_lines()

    @staticmethod
    def _repeated(attempt: Callable[[], T], *, repeat: bool) -> T:
        cut_off = 0
        for left in reversed(range(ATTEMPTS)):
            try:
                return attempt()
            except AgainError as exc:
                # When one connection is found broken the pool drops them all: the second attempt has a fresh one.
                cut_off += not exc.undone
                if not left or cut_off > (1 if repeat else 0):
                    raise
        raise AssertionError("unreachable")

    # --- Connections of a server ---------------------------------------------------------------------------

    def _connected(self, connection: Any, record: Any) -> None:
        self._ask_time(connection)

    def _checked_in(self, connection: Any, record: Any) -> None:
        record.info["idle_since"] = time.monotonic()

    def _checked_out(self, connection: Any, record: Any, proxy: Any) -> None:
        idle_since = record.info.get("idle_since")
        if idle_since is None or time.monotonic() - idle_since < IDLE_SECONDS:
            return
        try:
            self._ask_time(connection)
        except self.engine.dialect.loaded_dbapi.Error as exc:
            # The pool closes this connection and hands out another.
            raise sql_errors.DisconnectionError("the connection died while it was idle") from exc

    def _ask_time(self, connection: Any) -> None:
        cursor = connection.cursor()
        try:
            asked = uptime_us()
            cursor.execute(f"SELECT {_TICKS[self.kind]}")
            self.heard(cursor.fetchone()[0], asked)
        finally:
            cursor.close()

    @staticmethod
    def _failed(context: sa.ExceptionContext) -> None:
        # A server that became a standby in a failover stays one: this and every older connection to it is given up.
        if is_read_only(context.original_exception):
            context.is_disconnect = True


def _let_go_in_child() -> None:
    for database in list(_open):
        database._after_fork()


os.register_at_fork(after_in_child=_let_go_in_child)
