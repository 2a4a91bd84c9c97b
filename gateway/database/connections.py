"""A connection as a step of a store has it: waited for in a line, and with its errors in the store's words."""

from __future__ import annotations

from contextlib import AbstractContextManager

import sqlalchemy as sa
from sqlalchemy import exc as sql_errors

from gateway.database.drivers import WAIT_SECONDS
from gateway.database.errors import translate
from gateway.line import Line


class Borrowed(AbstractContextManager[sa.Connection]):
    """From the pool, and back into it. Each step of a turn takes one: as generators, line, pool and translation would
    cost a turn some percent more."""

    __slots__ = ("_connection", "_engine", "_line")

    def __init__(self, engine: sa.Engine, line: Line | None) -> None:
        self._engine = engine
        self._line = line

    def __enter__(self) -> sa.Connection:
        if self._line is not None:
            self._line.enter(WAIT_SECONDS)
        try:
            self._connection = self._engine.connect()
        except BaseException as exc:
            self._leave()
            if isinstance(exc, sql_errors.SQLAlchemyError):
                raise translate(exc) from exc
            raise
        return self._connection

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        try:
            self._connection.close()
        except sql_errors.SQLAlchemyError as failed:
            raise translate(failed) from failed
        finally:
            self._leave()
        if isinstance(exc, sql_errors.SQLAlchemyError):
            raise translate(exc) from exc

    def _leave(self) -> None:
        if self._line is not None:
            self._line.leave()
