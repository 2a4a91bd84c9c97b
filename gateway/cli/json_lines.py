"""Sessions as JSON lines: what `gateway export` writes and `gateway import` reads, one session a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import orjson

from gateway.cli.common import encode_session
from gateway.errors import InvalidSessionIdError
from gateway.model import Session, SessionKey, parse_session_id
from gateway.sessions.codec import Codec
from gateway.sessions.jsonfile.format import CorruptError, name_of, parse_record

_NAMES = frozenset(Session.__dataclass_fields__) - {"revision", "unreadable"}
_CODEC = Codec()


class LineError(Exception):
    """Which line cannot be read, and why: no text of it is repeated."""


def encode_line(session: Session) -> bytes:
    """The record of GET /sessions/ID, and its tenant where it has one."""
    return orjson.dumps(encode_session(session), option=orjson.OPT_APPEND_NEWLINE)


def parse_lines(lines: Iterable[bytes]) -> Iterator[Session]:
    """The sessions; `LineError` at the first line that is no whole session. Empty lines are passed over."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _parse_line(line, number)


def _parse_line(line: bytes, number: int) -> Session:
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as exc:
        cut = "is cut off" if not line.endswith(b"\n") else "is not valid JSON"
        raise LineError(f"line {number} {cut}") from exc
    if not isinstance(record, dict):
        raise LineError(f"line {number} is not a JSON object")
    for name in record:
        if name not in _NAMES:
            raise LineError(f"line {number} has a field that no session has: {name[:40]!r}")
    tenant = record.get("tenant") or ""
    if not isinstance(tenant, str):
        raise LineError(f"line {number} has the wrong kind of value for 'tenant'")
    try:
        key = SessionKey(tenant, parse_session_id(record.get("session_id")))
        session = _CODEC.decode(parse_record(name_of(key), record, number))
    except InvalidSessionIdError as exc:
        raise LineError(f"line {number} has no valid session_id") from exc
    except CorruptError as exc:
        raise LineError(f"line {number} {exc}") from exc
    if session.unreadable is not None:
        raise LineError(f"line {number} is encrypted")
    return session
