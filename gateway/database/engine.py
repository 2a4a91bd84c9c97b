"""The database behind a store: statements run, errors translated, its clock followed.

Connections are always in autocommit: a single statement is a single round trip. A step of several statements says
BEGIN and COMMIT itself (`transaction`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc as sql_errors

from gateway.errors import InvalidRequestError, StoreUnavailableError
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
# serialization_failure, deadlock_detected; MySQL's deadlock, and MariaDB's "record has changed since last read".
_UNDONE = {"40001", "40P01", 1213, 1020}


class CollisionError(Exception):
    """A unique index refused a row: somebody was faster."""


class _AgainError(StoreUnavailableError):
    """The step did not come through, and another attempt may. `undone`: it surely changed nothing."""

    undone = False


class Database:
    """An engine whose connections are in autocommit, with the store's clock."""

    def __init__(self, engine: sa.Engine, *, gate: bool = False) -> None:
        self.engine = engine
        self.kind: str = "mysql" if engine.dialect.name == "mariadb" else engine.dialect.name
        self.networked = self.kind != "sqlite"
        self.tick: sa.ColumnElement[int]
        """Now, by the clock of leases: the database's own; on a one-host store the host's, which never steps."""
        if self.networked:
            self.tick = sa.literal_column(_TICKS[self.kind], sa.BigInteger)
        else:
            self.tick = sa.bindparam("tick", callable_=uptime_us, type_=sa.BigInteger)
        # SQLite's writers poll for the file's lock: those of one process queue here and hand over without a pause.
        self._gate = threading.Lock() if gate else None
        self._ahead_us = 0
        self._heard_at = 0
        self._spent = 0
        if self.networked:
            sa.event.listen(engine, "connect", self._connected)
            sa.event.listen(engine, "checkin", self._checked_in)
            sa.event.listen(engine, "checkout", self._checked_out)

    def rows(self, statement: sa.Executable, parameters: Parameters = None) -> Sequence[sa.Row[Any]]:
        """What a reading statement finds."""
        return self._repeated(lambda: self._execute(statement, parameters, fetch=True), repeat=True)

    def change(self, statement: sa.Executable, parameters: Parameters = None, *, repeat: bool = True) -> int:
        """How many rows a writing statement found and changed. `CollisionError` when a unique index stood against it.

        `repeat`: the statement may run twice (when a connection broke, it is not known whether it ran once).
        """
        changed: int = self._repeated(lambda: self._execute(statement, parameters, fetch=False), repeat=repeat)
        return changed

    def atomically(self, step: Callable[[sa.Connection], T], *, repeat: bool = True) -> T:
        """Runs `step` in a transaction: all of it or nothing. It may be called several times; `repeat` as above."""

        def attempt() -> T:
            try:
                with self.transaction() as work:
                    return step(work)
            except CollisionError as exc:
                # Somebody wrote the same row in between: the next attempt finds it.
                raise _again(undone=True) from exc

        return self._repeated(attempt, repeat=repeat)

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """A connection whose statements are committed together at the end of the block, or undone by an exception."""
        with self._translated(), self._writing(), self.engine.connect() as work:
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
        """Removes what was deleted from SQLite's write-ahead log too; False while somebody who reads is in the way. A
        server's own log is its operator's."""
        if self.networked:
            return True
        try:
            with self._writing(), self.engine.connect() as connection:
                row = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
        except (sql_errors.SQLAlchemyError, StoreUnavailableError):
            return False
        return not row[0]

    def close(self) -> None:
        self.engine.dispose()

    def _execute(self, statement: sa.Executable, parameters: Parameters, *, fetch: bool) -> Any:
        try:
            if fetch:
                with self.engine.connect() as connection:
                    return connection.execute(statement, parameters).fetchall()
            with self._writing(), self.engine.connect() as connection:
                changed = connection.execute(statement, parameters).rowcount
                assert changed >= 0, "the driver does not say how many rows were changed"
                return changed
        except sql_errors.SQLAlchemyError as exc:
            raise translate(exc) from exc

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sql_errors.SQLAlchemyError as exc:
            raise translate(exc) from exc

    @contextmanager
    def _writing(self) -> Iterator[None]:
        if self._gate is None:
            yield
        elif self._gate.acquire(timeout=10):
            try:
                yield
            finally:
                self._gate.release()
        else:
            raise StoreUnavailableError(retry_after=1)

    @staticmethod
    def _repeated(attempt: Callable[[], T], *, repeat: bool) -> T:
        cut_off = 0
        for left in reversed(range(ATTEMPTS)):
            try:
                return attempt()
            except _AgainError as exc:
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


def _again(*, undone: bool) -> _AgainError:
    again = _AgainError(StoreUnavailableError.__doc__, retry_after=1)
    again.undone = undone
    return again


def translate(exc: sql_errors.SQLAlchemyError) -> Exception:
    """The store's error for the database's."""
    if isinstance(exc, sql_errors.IntegrityError):
        return CollisionError()
    if isinstance(exc, sql_errors.DataError):
        return InvalidRequestError("A value is too long, or has characters that the session store cannot hold.")
    if isinstance(exc, sql_errors.DBAPIError):
        undone = _UNDONE & {getattr(exc.orig, "sqlstate", None), *exc.orig.args[:1]} if exc.orig else None
        if undone or exc.connection_invalidated:
            return _again(undone=bool(undone))
    return StoreUnavailableError(retry_after=1)
