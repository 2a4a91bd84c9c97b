"""Pages of sessions, newest use first: each goes on where the last one ended, along an index."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from gateway.database.engine import Database
from gateway.errors import StoreUnavailableError
from gateway.model import Status
from gateway.sessions.cursor import Cursor, parse_cursor
from gateway.sessions.sql.rows import SESSION, decode_session
from gateway.sessions.sql.schema import IS_INACTIVE
from gateway.sessions.values import Filter, StoredPage, StoredSession

log = logging.getLogger("gateway.sessions")

FEW = 3000
"""From so many sessions of a prefix on they are no longer sorted for a page."""

_PREFIX = re.compile(r"[!-~]*\Z")


def list_page(
    database: Database, sessions: sa.Table, wanted: Filter, limit: int, after: str | None, *, now: int
) -> StoredPage:
    """One page of the sessions that `wanted` names and that have not expired."""
    cursor = parse_cursor(after) if after is not None else None
    if not _PREFIX.match(wanted.prefix):
        return StoredPage([], None)  # no session id has such characters
    few = bool(wanted.prefix) and _are_few(database, sessions, wanted)
    rows = database.rows(select_page(sessions, wanted, limit + 1, cursor, now=now, few=few))
    last = rows[limit - 1] if len(rows) > limit else None
    return StoredPage(_decode_all(rows[:limit]), last and Cursor.of(last).encode())


def select_page(
    sessions: sa.Table, wanted: Filter, limit: int, cursor: Cursor | None, *, now: int, few: bool = False
) -> sa.Select[Any]:
    """`few`: so few session ids begin with the prefix that they are better sorted than looked for."""
    s = sessions.c
    place = (s.last_used, s.session_id, s.tenant)
    statement = (
        sa.select(*(s[name] for name in SESSION))
        .where(sa.or_(s.expires_at.is_(None), s.expires_at > now))
        .order_by(*(column.desc() for column in place))
        .limit(limit)
    )
    if wanted.tenant is not None:
        statement = statement.where(s.tenant == wanted.tenant)
    if wanted.user_id is not None:
        statement = statement.where(s.user_id == wanted.user_id)
    if wanted.status is not None:
        statement = statement.where(s.status == wanted.status.value)
        if wanted.status is not Status.ACTIVE:
            # Says nothing new, but by these words an index of such sessions is found.
            statement = statement.where(sa.text(IS_INACTIVE))
    if wanted.used_before is not None:
        statement = statement.where(s.last_used < wanted.used_before)
    if wanted.prefix:
        statement = statement.where(_begins(s, wanted, few=few))
    if cursor is not None:
        # The first condition says nothing new, but it is the one by which MySQL enters the index.
        statement = statement.where(s.last_used <= cursor.last_used, sa.tuple_(*place) < sa.tuple_(*cursor))
    return statement


def list_made(
    database: Database, sessions: sa.Table, tenant: str, limit: int, before: tuple[int, str] | None, *, now: int
) -> list[StoredSession]:
    """The tenant's sessions that have not expired, newest made first by (created_at, session_id), those `before`."""
    return _decode_all(database.rows(select_made(sessions, tenant, limit, before, now=now)))


def select_made(
    sessions: sa.Table, tenant: str, limit: int, before: tuple[int, str] | None, *, now: int
) -> sa.Select[Any]:
    s = sessions.c
    statement = (
        sa.select(*(s[name] for name in SESSION))
        .where(s.tenant == tenant, sa.or_(s.expires_at.is_(None), s.expires_at > now))
        .order_by(s.created_at.desc(), s.session_id.desc())
        .limit(limit)
    )
    if before is not None:
        place = sa.tuple_(s.created_at, s.session_id) < sa.tuple_(*before)
        statement = statement.where(s.created_at <= before[0], place)
    return statement


def _decode_all(rows: Sequence[Any]) -> list[StoredSession]:
    decoded = []
    for row in rows:
        try:
            decoded.append(decode_session(row))
        except StoreUnavailableError as exc:
            # Who asks for it is told so; it keeps no other from being listed.
            log.warning("a listing goes without a session: %s", exc)
    return decoded


def _begins(s: Any, wanted: Filter, *, few: bool) -> sa.ColumnElement[bool]:
    """Whether a session id begins with the prefix: as a range, for to LIKE a `_` is any letter."""
    # Without `few` the column is made a value that no index has: so the sessions are walked by their use, and the page
    # is full soon, where a range would be sorted from end to end.
    session_id = s.session_id if few else s.session_id.concat("")
    behind = wanted.prefix[:-1] + chr(ord(wanted.prefix[-1]) + 1)
    return sa.and_(session_id >= wanted.prefix, session_id < behind)


def _are_few(database: Database, sessions: sa.Table, wanted: Filter) -> bool:
    if wanted.tenant is None:
        return False
    s = sessions.c
    range_ = sa.select(s.tenant).where(s.tenant == wanted.tenant, _begins(s, wanted, few=True)).limit(FEW)
    return bool(database.rows(sa.select(sa.func.count()).select_from(range_.subquery("matching")))[0][0] < FEW)
