"""What a database's errors mean to who asked: somebody was faster, not now, or a setting that must be changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy import exc as sql_errors

from gateway.errors import ConfigurationError, InvalidRequestError, StoreUnavailableError

# serialization_failure, deadlock_detected; MySQL's deadlock, and MariaDB's "record has changed since last read".
_UNDONE = {"40001", "40P01", 1213, 1020}
# read_only_sql_transaction; MySQL's --read-only, and its read-only transaction.
_READ_ONLY = {"25006", 1290, 1792}
# What each database says to somebody it will never let in, as opposed to: not now.
_REFUSALS = re.compile(
    r"authentication failed|role \"[^\"]*\" does not exist|database \"[^\"]*\" does not exist|no pg_hba\.conf entry"
    r"|no password supplied|permission denied|not known|nodename nor servname|invalid (?:connection option|port)"
    r"|Access denied|Unknown database|command denied"
    r"|unable to open|not a database|readonly|malformed",
    re.IGNORECASE,
)


class CollisionError(Exception):
    """A unique index refused a row: somebody was faster."""


class AgainError(StoreUnavailableError):
    """The step did not come through, and another attempt may. `undone`: it surely changed nothing."""

    def __init__(self, *, undone: bool) -> None:
        super().__init__(StoreUnavailableError.__doc__, retry_after=1)
        self.undone = undone


def is_read_only(exc: BaseException) -> bool:
    """Whether the server takes no writes (any more): after a failover it may have become a standby."""
    return bool(_READ_ONLY & _codes(exc))


@contextmanager
def explained(where: str, url: sa.URL) -> Iterator[None]:
    """Whatever keeps the database from being opened is said in one line, without the URL's password: as a
    `ConfigurationError`, or as a `StoreUnavailableError` when the server is only away just now."""
    try:
        yield
    except (sql_errors.SQLAlchemyError, StoreUnavailableError, TypeError, ValueError) as exc:
        hidden = isinstance(exc, StoreUnavailableError) and isinstance(exc.__cause__, sql_errors.SQLAlchemyError)
        raise _explain(exc.__cause__ if hidden and exc.__cause__ else exc, where, url) from exc


def translate(exc: sql_errors.SQLAlchemyError) -> Exception:
    """The store's error for the database's."""
    if isinstance(exc, sql_errors.IntegrityError):
        return CollisionError()
    if isinstance(exc, sql_errors.DataError):
        return InvalidRequestError("A value is too long, or has characters that the session store cannot hold.")
    if isinstance(exc, sql_errors.DBAPIError):
        undone = bool(exc.orig and _UNDONE & _codes(exc.orig))
        if undone or exc.connection_invalidated:
            return AgainError(undone=undone)
    return StoreUnavailableError(retry_after=1)


def _explain(exc: BaseException, where: str, url: sa.URL) -> Exception:
    driver_says = getattr(exc, "orig", None) or exc
    words = driver_says.args[-1] if driver_says.args else driver_says
    # A driver may try several addresses, and says so over several lines; the last one counts.
    says = [line.strip() for line in str(words).splitlines() if line.strip()] or [type(driver_says).__name__]
    line = says[-1] if len(says) == 1 else f"{says[0]} … {says[-1]}"
    if url.password:
        line = line.replace(url.password, "***")
    line = f"Cannot use {where}: {line.rstrip('.')}."
    passes = isinstance(exc, (StoreUnavailableError, sql_errors.OperationalError, sql_errors.TimeoutError))
    if is_read_only(driver_says) or (passes and not _REFUSALS.search(str(words))):
        return StoreUnavailableError(line, retry_after=1)
    return ConfigurationError(line)


def _codes(exc: BaseException) -> set[object]:
    """PostgreSQL's SQLSTATE, or the number with which MySQL's errors begin."""
    return {getattr(exc, "sqlstate", None), *exc.args[:1]}
