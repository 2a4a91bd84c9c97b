"""What routes take beside a body: the parameters of addresses, and headers. Each type checks, carries and describes
itself: see `fields.checked`."""

from __future__ import annotations

import re
from functools import cache
from typing import Literal, TypeVar

from flask import g, request
from msgspec import field
from werkzeug.http import parse_etags

from gateway.errors import InvalidRequestError, VersionMismatchError
from gateway.model import JSON, Session, Status, parse_time
from gateway.web.fields import (
    Asked,
    Cursor,
    IdempotencyKey,
    Limit,
    OnBusy,
    OnLost,
    Prefix,
    SessionId,
    Time,
    UserId,
    check_printable,
    checked,
)

T = TypeVar("T", bound=Asked)

_INCLUDE = re.compile(r"include(\[\d*\])?\Z")


def parse_query(kind: type[T]) -> T:
    """The query as an object of this kind: each parameter is known, is given once, and is checked."""
    asked: JSON = {}
    for name, values in request.args.lists():
        if name == "user_id" and "reached_user" in g:
            continue  # by it an admin has named the user whose sessions are meant
        if _INCLUDE.match(name) and issubclass(kind, IncludeQuery):
            asked["include"] = [*asked.get("include", ()), *values]
        elif len(values) > 1 and name in kind.__struct_fields__:
            raise InvalidRequestError(f"{name} is given more than once.", param=name)
        else:
            asked[name] = _number(values[0]) if name == "limit" else values[0]
    return checked(kind, asked, member="query parameter")


def _number(text: str) -> int | str:
    return int(text) if re.fullmatch("[0-9]{1,3}", text) else text


def parse_headers(kind: type[T]) -> T:
    """Those of the request's headers that this kind has."""
    environ = request.environ
    return checked(kind, {name: environ[key] for name, key in _keys_of(kind).items() if key in environ})


@cache
def _keys_of(kind: type[Asked]) -> dict[str, str]:
    """Where the server has put each header."""
    return {name: f"HTTP_{name.upper().replace('-', '_')}" for name in kind.__struct_encode_fields__}


# --- Queries -----------------------------------------------------------------------------------------------


class SessionsQuery(Asked, frozen=True, kw_only=True):
    """Which sessions are listed."""

    limit: Limit = 20
    after: Cursor | None = None
    """`next` of the page before."""
    user_id: UserId | None = None
    """Sessions of this user only."""
    status: Status | None = None
    prefix: Prefix = ""
    """How the session's id begins."""
    used_before: Time | None = None
    """Sessions that were last used before this time."""

    def __post_init__(self) -> None:
        check_printable(self.user_id, "user_id")

    @property
    def used_before_ms(self) -> int | None:
        """The same in epoch milliseconds."""
        if self.used_before is None:
            return None
        try:
            return parse_time(self.used_before)
        except (ValueError, OverflowError):
            raise InvalidRequestError(
                "used_before must be a time such as 2025-10-26T10:00:00Z.", param="used_before"
            ) from None


class EraseQuery(Asked, frozen=True, kw_only=True):
    """What becomes of the conversation."""

    keep_conversation: Literal["true", "false"] = "false"
    """`true` forgets the session only, and leaves the provider's conversation as it is."""


class UserQuery(Asked, frozen=True, kw_only=True):
    """Whose sessions are erased: there is no way to erase every session at once."""

    user_id: UserId
    """Whose sessions are erased."""

    def __post_init__(self) -> None:
        check_printable(self.user_id, "user_id")


class ItemsQuery(Asked, frozen=True, kw_only=True):
    """Which items are listed."""

    limit: Limit = 20
    order: Literal["asc", "desc"] = "asc"
    """`asc`: oldest first."""
    after: Cursor | None = None
    """`last_id` of the page before."""


class TurnsQuery(Asked, frozen=True, kw_only=True):
    """Which turns are listed."""

    limit: Limit = 20
    after: Cursor | None = None
    """`next` of the page before."""


class TranscriptQuery(Asked, frozen=True, kw_only=True):
    """How the conversation is written down."""

    format: Literal["markdown", "text", "json"] = "markdown"


class ConversationsQuery(Asked, frozen=True, kw_only=True):
    """Which conversations are listed."""

    limit: Limit = 20
    after: SessionId | None = None
    """`last_id` of the page before."""


class IncludeQuery(Asked, frozen=True, kw_only=True):
    """What is shown of an item or a response."""

    include: list[str] = field(default_factory=list)
    """What of the provider's is to be included, as it names it."""


class ConversationItemsQuery(IncludeQuery, frozen=True, kw_only=True):
    """Which items are listed, and what is shown of them."""

    limit: Limit = 20
    order: Literal["desc", "asc"] = "desc"
    """`desc`: newest first."""
    after: Cursor | None = None
    """`last_id` of the page before."""


# --- Headers -----------------------------------------------------------------------------------------------


class TurnHeaders(Asked, frozen=True, kw_only=True):
    """What a turn is told beside its body."""

    idempotency_key: IdempotencyKey | None = field(default=None, name="Idempotency-Key")
    """1 to 255 visible characters. The same key and body within 24 hours give the same turn's reply, without a second
    turn."""


class LostHeaders(Asked, frozen=True, kw_only=True):
    """What a write of /v1 is told beside its body."""

    on_lost: OnLost = field(default="error", name="X-On-Lost")
    """What to do when the provider no longer has the conversation: `error` or `restart`."""


class ResponseHeaders(TurnHeaders, frozen=True, kw_only=True):
    """What a turn of /v1 is told beside its body, which is the provider's."""

    on_busy: OnBusy = field(default="wait", name="X-On-Busy")
    """What to do while another turn of the session runs: `wait` or `reject`."""
    on_lost: OnLost = field(default="error", name="X-On-Lost")
    """What to do when the provider no longer has the conversation: `error` or `restart`."""


class VersionHeaders(Asked, frozen=True, kw_only=True):
    """For which version of a session a request is."""

    if_match: str | None = field(default=None, name="If-Match")
    """Only if the session's `ETag` is this one still; 412 `version_mismatch` otherwise."""

    def check_version(self, session: Session) -> None:
        """`VersionMismatchError` when the request is only for another version of the session."""
        if self.if_match is None:
            return
        session.opened()  # which version it is nobody can tell otherwise
        if not parse_etags(self.if_match).contains(session.version):
            raise VersionMismatchError()
