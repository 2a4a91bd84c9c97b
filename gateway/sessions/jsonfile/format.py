"""The text of sessions.json: one JSON object, session id → record, indented as a person and the original write it.

With tenants a member's name is `TENANT/ID`, split at the last slash (an id has none). The name rules: a `session_id`
inside the record that says otherwise is put right when the record is next written. Fields that the gateway does not
know are kept. What is encrypted is a text where an object would be, and is opened by nobody here.

A member in the usual layout is a run of bytes of its own, so that a file of which one record has changed is read by
comparing and written by joining; only what changed is parsed and encoded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, NoReturn

import orjson

from gateway.model import JSON, SessionKey, Status, encode_time, parse_time
from gateway.sessions.sealing import is_sealed
from gateway.sessions.values import StoredSession

HEAD, SEPARATOR, TAIL = b"{\n  ", b",\n  ", b"\n}\n"
EMPTY = b"{}\n"

# Within valid JSON these bytes only ever stand between members: a string cannot hold a raw line feed, and what lies
# deeper is indented further. Where a hand edit broke the layout, a piece is not one whole member, and is seen as such.
_NEXT = SEPARATOR + b'"'

_DEFAULTS: JSON = {
    "expires_at": None,
    "status": Status.ACTIVE.value,
    "user_id": None,
    "data": {},
    "metadata": {},
    "generation": 1,
    "turns": 0,
}

_RUN = 64  # records compared at a time


class CorruptError(Exception):
    """What is wrong with the file, in words that quote nothing of it: they may reach any client."""


class Entry(NamedTuple):
    """A record as it is used, and its member as it stands in the file: `"name": {…}`."""

    session: StoredSession
    member: bytes


def name_of(key: SessionKey) -> str:
    """The member's name of a session."""
    return f"{key.tenant}/{key.session_id}" if key.tenant else key.session_id


def encode_entry(session: StoredSession, before: Entry | None) -> Entry:
    """The entry that `session` makes out of the one `before`: every field that it does not know stays as it was."""
    record = _parse_member(before.member)[1] if before is not None else {}
    for name, value in _fields_of(session).items():
        # The original's four fields, and what says anything: half the bytes in every rewrite of every session.
        if name in record or name not in _DEFAULTS or value != _DEFAULTS[name]:
            record[name] = value
    return Entry(replace(session, revision=_revision(session)), _encode_member(name_of(session.key), record))


def parse_entry(member: bytes) -> Entry:
    """The entry of one member in the usual layout."""
    name, record = _parse_member(member)
    return Entry(parse_record(name, record, 1), member)


def _fields_of(session: StoredSession) -> JSON:
    return {
        "session_id": session.session_id,
        "conversation_id": session.conversation_id,
        "created_at": encode_time(session.created_at),
        "last_used": encode_time(session.last_used),
        "expires_at": encode_time(session.expires_at),
        "status": session.status.value,
        "user_id": session.user_id,
        "data": _readable(session.data),
        "metadata": _readable(session.metadata),
        "generation": session.generation,
        "turns": session.turns,
    }


def _readable(text: str) -> str | JSON:
    """What a person finds in the file."""
    if is_sealed(text):
        return text
    value: JSON = orjson.loads(text)
    return value


def _revision(session: StoredSession) -> int:
    """Another one for another text, whoever wrote it: a hand that edits the file counts nothing up."""
    return hash((session.data, session.metadata, session.status, session.user_id))


def encode_file(entries: Iterable[Entry]) -> Iterator[bytes]:
    """The file's bytes, in pieces of some kilobytes: one large piece would cost more in fresh memory than in work."""
    members = [entry.member for entry in entries]
    if not members:
        yield EMPTY
        return
    yield HEAD
    for place in range(0, len(members), _RUN):
        if place:
            yield SEPARATOR
        yield SEPARATOR.join(members[place : place + _RUN])
    yield TAIL


def parse_file(content: bytes, known: Mapping[str, Entry]) -> dict[str, Entry]:
    """The entries in `content`, in its order. Those whose bytes are as in `known` are taken from there.
    `CorruptError` unless every record can be used."""
    if not content:
        raise CorruptError("is empty (0 bytes), which is not JSON")
    entries = _parse_members(content, known)
    return entries if entries is not None else _parse_any(content)


def _parse_members(content: bytes, known: Mapping[str, Entry]) -> dict[str, Entry] | None:
    """None when the file is not in the usual layout, or not valid at all."""
    end = len(content) - (2 if content.endswith(b"\n}") else 3)
    if not content.startswith(HEAD + b'"') or not content.startswith(b"\n}", end):
        return None
    # Plain lists, no pairs: ten thousand fresh tuples would set the garbage collector off every time.
    names, old, members = list(known), list(known.values()), [entry.member for entry in known.values()]
    places: dict[str, int] = {}
    entries: dict[str, Entry] = {}
    count = place = 0
    position = len(HEAD)
    one_by_one = 0
    while position < end:
        if not one_by_one and place < len(old):
            run = SEPARATOR.join(members[place : place + _RUN])
            after = position + len(run)
            if content.startswith(run, position) and (after == end or content.startswith(_NEXT, after)):
                entries.update(zip(names[place : place + _RUN], old[place : place + _RUN], strict=True))
                count += min(_RUN, len(old) - place)
                place += _RUN
                position = after + len(SEPARATOR)
                continue
            one_by_one = _RUN
        one_by_one = max(one_by_one - 1, 0)
        after = content.find(_NEXT, position, end)
        after = after if after >= 0 else end
        member = content[position:after]
        position = after + len(SEPARATOR)
        count += 1
        if place < len(old) and member == members[place]:
            name, entry = names[place], old[place]
            place += 1
        else:
            try:
                name, record = _parse_member(member)
            except ValueError:
                return None
            found = known.get(name)
            kept = found and found.member == member
            entry = found if found and kept else Entry(parse_record(name, record, count), member)
            if found:  # the comparison goes on behind it, wherever it stood
                places = places or {name: place for place, name in enumerate(names)}
                place = places[name] + 1
        entries[name] = entry
    # A name that occurs twice is looked at, and refused, below.
    return entries if count == len(entries) else None


def _parse_any(content: bytes) -> dict[str, Entry]:
    """Any layout. Slower and stricter than orjson, which takes the last of two members of the same name."""
    try:
        whole = json.loads(content.decode("utf-8-sig"), object_pairs_hook=_no_name_twice, parse_constant=_no_constant)
    except UnicodeDecodeError as exc:
        raise CorruptError(f"is not UTF-8 text (at byte {exc.start})") from exc
    except (ValueError, RecursionError) as exc:
        raise CorruptError(f"is not valid JSON: {exc}") from exc
    if not isinstance(whole, dict):
        raise CorruptError(f"holds {_kind(whole)} where an object of sessions should be")
    entries: dict[str, Entry] = {}
    for number, (name, record) in enumerate(whole.items(), 1):
        session = parse_record(name, record, number)
        try:
            entries[name] = Entry(session, _encode_member(name, record))
        except TypeError as exc:  # half a surrogate pair, or an integer of more than 64 bits
            raise CorruptError(f"cannot be kept as it is: record {number} has {exc}") from exc
    return entries


def _no_name_twice(pairs: list[tuple[str, Any]]) -> JSON:
    whole = dict(pairs)
    if len(whole) != len(pairs):
        seen: dict[str, int] = {}
        for number, (name, _) in enumerate(pairs, 1):
            if seen.setdefault(name, number) != number:
                raise CorruptError(f"has two members of the same name in one object, the {seen[name]}. and {number}.")
    return whole


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _parse_member(member: bytes) -> tuple[str, JSON]:
    """`ValueError` unless this is exactly one member."""
    ((name, record),) = orjson.loads(b"{" + member + b"}").items()
    return name, record


def _encode_member(name: str, record: JSON) -> bytes:
    return orjson.dumps({name: record}, option=orjson.OPT_INDENT_2)[len(HEAD) : -len(b"\n}")]


def parse_record(name: str, record: object, number: int) -> StoredSession:
    """The session in a record: the four fields of the original are needed, the others have defaults."""
    if not isinstance(record, dict):
        raise CorruptError(f"is not a file of sessions: its member {number} is {_kind(record)}, not a record")
    tenant, _, session_id = name.rpartition("/")
    field = _Fields(record, number)
    field("session_id", str, default=session_id)
    session = StoredSession(
        tenant=tenant,
        session_id=session_id,
        conversation_id=field("conversation_id", str),
        created_at=field("created_at", str, parse_time),
        last_used=field("last_used", str, parse_time),
        expires_at=field("expires_at", str, parse_time, default=None),
        status=field("status", str, Status, default=Status.ACTIVE),
        user_id=field("user_id", str, default=None),
        data=field.text("data"),
        metadata=field.text("metadata"),
        generation=field("generation", int, default=1),
        turns=field("turns", int, default=0),
    )
    return replace(session, revision=_revision(session))


class _Fields(NamedTuple):
    record: JSON
    number: int

    def __call__(
        self, name: str, kind: type, convert: Callable[[Any], Any] | None = None, *, default: Any = NotImplemented
    ) -> Any:
        value = self.record.get(name)
        if value is None and default is not NotImplemented:
            return default
        if not isinstance(value, kind) or isinstance(value, bool) or (value == "" and default is NotImplemented):
            what = "lacks" if name not in self.record else "has the wrong kind of value for"
            raise CorruptError(f"cannot be used: record {self.number} {what} {name!r}")
        if convert is None:
            return value
        try:
            return convert(value)
        except ValueError as exc:
            what = f"must be one of {', '.join(Status)}" if convert is Status else "is not an ISO 8601 time"
            raise CorruptError(f"cannot be used: {name!r} of record {self.number} {what}") from exc

    def text(self, name: str) -> str:
        """An object as it is stored; one that is encrypted is a text already."""
        value = self.record.get(name)
        if isinstance(value, str) and is_sealed(value):
            return value
        value = self(name, dict, default={})
        return orjson.dumps(value).decode() if value else "{}"


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
