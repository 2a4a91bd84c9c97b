"""Pages of sessions, newest use first: each goes on where the last one ended, along an index."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa

from gateway.database.engine import Database
from gateway.errors import InvalidRequestError
from gateway.model import Session
from gateway.sessions.base import Filter, Page
from gateway.sessions.sql.rows import COLUMNS, Rows

FEW = 3000
"""From so many sessions of a prefix on they are no longer sorted for a page."""

_PREFIX = re.compile(r"[!-~]*\Z")


class Cursor(NamedTuple):
    """The last session of a page."""

    last_used: int
    session_id: str
    tenant: str

    def encode(self) -> str:
        return base64.urlsafe_b64encode(orjson.dumps(list(self))).decode().rstrip("=")


def parse_cursor(text: str) -> Cursor:
    """`InvalidRequestError` when `text` was never a page's `next`."""
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        last_used, session_id, tenant = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if type(last_used) is int and isinstance(session_id, str) and isinstance(tenant, str):
            return Cursor(last_used, session_id, tenant)
    except (ValueError, TypeError, binascii.Error):
        pass
    raise InvalidRequestError("This is not the cursor of a page.", param="after")


def list_page(
    database: Database, sessions: sa.Table, rows: Rows, wanted: Filter, limit: int, after: str | None, *, now: int
) -> Page:
    """One page of the sessions that `wanted` names and that have not expired."""
    s = sessions.c
    place = (s.last_used, s.session_id, s.tenant)
    statement = (
        sa.select(*(s[name] for name in COLUMNS))
        .where(sa.or_(s.expires_at.is_(None), s.expires_at > now))
        .order_by(*(column.desc() for column in place))
        .limit(limit + 1)
    )
    if wanted.tenant is not None:
        statement = statement.where(s.tenant == wanted.tenant)
    if wanted.user_id is not None:
        statement = statement.where(s.user_id == wanted.user_id)
    if wanted.status is not None:
        statement = statement.where(s.status == wanted.status.value)
    if wanted.used_before is not None:
        statement = statement.where(s.last_used < wanted.used_before)
    if wanted.prefix:
        if not _PREFIX.match(wanted.prefix):
            return Page([], None)  # no session id has such characters
        statement = statement.where(_begins(s, wanted, few=_are_few(database, s, wanted)))
    if after is not None:
        cursor = parse_cursor(after)
        # The first condition says nothing new, but it is the one by which MySQL enters the index.
        statement = statement.where(s.last_used <= cursor.last_used, sa.tuple_(*place) < sa.tuple_(*cursor))
    found = [rows.decode(row) for row in database.rows(statement)]
    page, more = found[:limit], len(found) > limit
    return Page(page, Cursor(page[-1].last_used, page[-1].session_id, page[-1].tenant).encode() if more else None)


def list_made(
    database: Database, sessions: sa.Table, rows: Rows, tenant: str, limit: int, before: Session | None, *, now: int
) -> list[Session]:
    """The tenant's sessions that have not expired, newest made first, those that were made before this one."""
    s = sessions.c
    statement = (
        sa.select(*(s[name] for name in COLUMNS))
        .where(s.tenant == tenant, sa.or_(s.expires_at.is_(None), s.expires_at > now))
        .order_by(s.created_at.desc(), s.session_id.desc())
        .limit(limit)
    )
    if before is not None:
        place = sa.tuple_(s.created_at, s.session_id) < sa.tuple_(before.created_at, before.session_id)
        statement = statement.where(s.created_at <= before.created_at, place)
    return [rows.decode(row) for row in database.rows(statement)]


def _begins(s: Any, wanted: Filter, *, few: bool) -> sa.ColumnElement[bool]:
    """Whether a session id begins with the prefix: as a range, for to LIKE a `_` is any letter."""
    # Without `few` the column is made a value that no index has: so the sessions are walked by their use, and the page
    # is full soon, where a range would be sorted from end to end.
    session_id = s.session_id if few else s.session_id.concat("")
    behind = wanted.prefix[:-1] + chr(ord(wanted.prefix[-1]) + 1)
    return sa.and_(session_id >= wanted.prefix, session_id < behind)


def _are_few(database: Database, s: Any, wanted: Filter) -> bool:
    """Whether so few ids begin with the prefix that they are better sorted."""
    if wanted.tenant is None:
        return False
    range_ = sa.select(s.tenant).where(s.tenant == wanted.tenant, _begins(s, wanted, few=True)).limit(FEW)
    return bool(database.rows(sa.select(sa.func.count()).select_from(range_.subquery("matching")))[0][0] < FEW)
