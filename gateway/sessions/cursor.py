"""The place in a listing where a page goes on, and the text by which a client brings it back."""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

import orjson

from gateway.errors import InvalidRequestError
from gateway.model import SessionKey


class Cursor(NamedTuple):
    """A session's place, newest use first: the last session of a page."""

    last_used: int
    session_id: str
    tenant: str

    @classmethod
    def of(cls, session: Any) -> Cursor:
        """That of a session, or of its row."""
        return cls(session.last_used, session.session_id, session.tenant)

    @property
    def key(self) -> SessionKey:
        return SessionKey(self.tenant, self.session_id)

    def encode(self) -> str:
        return base64.urlsafe_b64encode(orjson.dumps(list(self))).decode().rstrip("=")


def parse_cursor(text: str) -> Cursor:
    """`InvalidRequestError` when `text` was never a page's `next`."""
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        cursor = Cursor(*orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True)))
        if [type(part) for part in cursor] == [int, str, str] and abs(cursor.last_used) < 2**63:
            return cursor
    except (ValueError, TypeError):
        pass
    raise InvalidRequestError("This is not the cursor of a page.", param="after")
