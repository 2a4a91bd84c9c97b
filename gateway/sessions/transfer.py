"""Sessions from one store to another: written in batches, told of one by one, and compared at the end.

What moves is the mapping, whole. Turn records, idempotency keys and erasures under way stay where they are; so a
session that is being erased is left out, and whoever holds it finishes that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import orjson

from gateway.errors import InvalidSessionIdError
from gateway.model import Session, SessionKey, Status, parse_session_id
from gateway.sessions.manager import SessionManager
from gateway.sessions.merging import Merge
from gateway.sessions.values import Filter

BATCH = 1000
"""How many sessions are written together: a JSON file is rewritten once for each batch."""

NAMED = 20
"""How many sessions are named to whoever asks what went wrong."""


@dataclass(slots=True)
class Tally:
    """What became of the sessions so far."""

    seen: int = 0
    made: int = 0
    updated: int = 0
    same: int = 0
    refused: int = 0
    erasing: int = 0
    unreadable: int = 0
    unusable: int = 0
    refused_keys: list[SessionKey] = field(default_factory=list)
    """The first of those refused, to be named."""

    def count(self, what: str) -> None:
        setattr(self, what, getattr(self, what) + 1)

    def add(self, key: SessionKey, merged: Merge) -> None:
        self.count(merged.value)
        if merged is Merge.REFUSED and len(self.refused_keys) < NAMED:
            self.refused_keys.append(key)


def transfer(
    sessions: Iterable[Session],
    target: SessionManager,
    *,
    replace: bool = False,
    dry_run: bool = False,
    told: Callable[[Tally], None] = lambda tally: None,
) -> Tally:
    """Puts the sessions into the target, and tells after each batch what came of them so far. Stopped at any point,
    what was told of is there, and the same again goes on from there. A `dry_run` only says what would be done."""
    tally = Tally()
    for batch in _batches(movable(sessions, tally)):
        merges = target.put(batch, replace=replace, dry_run=dry_run)
        for session, merged in zip(batch, merges, strict=True):
            tally.add(session.key, merged)
        told(tally)
    told(tally)
    return tally


def movable(sessions: Iterable[Session], tally: Tally) -> Iterator[Session]:
    """Those that may move; the others are counted."""
    for session in sessions:
        tally.seen += 1
        if (why := obstacle(session)) is None:
            yield session
        else:
            tally.count(why)


def obstacle(session: Session) -> Literal["erasing", "unreadable", "unusable"] | None:
    """Why it may not move: it is being erased, cannot be read whole, or no client could name it, as in a file that was
    edited by hand."""
    if session.status is Status.ERASING:
        return "erasing"
    if session.unreadable is not None:
        return "unreadable"
    try:
        parse_session_id(session.session_id)
    except InvalidSessionIdError:
        return "unusable"
    return None


def _batches(sessions: Iterable[Session]) -> Iterator[list[Session]]:
    """Each session once in a batch: one that comes twice is judged by what its first one left."""
    batch: list[Session] = []
    keys: set[SessionKey] = set()
    for session in sessions:
        if session.key in keys or len(batch) == BATCH:
            yield batch
            batch, keys = [], set()
        batch.append(session)
        keys.add(session.key)
    if batch:
        yield batch


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two stores side by side, as far as the source goes."""

    same: int
    missing: list[SessionKey]
    different: list[SessionKey]
    beyond: int
    """How many the target has that the source has not."""

    @property
    def equal(self) -> bool:
        return not self.missing and not self.different


def compare(source: SessionManager, target: SessionManager) -> Comparison:
    """Whether every movable session of the source is in the target, field for field."""
    moving = movable(source.walk(Filter(), page=BATCH), Tally())
    expected = {session.key: _digest(session) for session in moving}
    same = beyond = 0
    for session in target.walk(Filter(), page=BATCH):
        digest = expected.get(session.key)
        if digest is None:
            beyond += 1
        elif digest == _digest(session):
            same += 1
            del expected[session.key]
    missing: list[SessionKey] = []
    different: list[SessionKey] = []
    # A session that was used while it was listed may have been missed, or read at two moments: it is looked at itself.
    for key in expected:
        there, here = target.get(key), source.get(key)
        if here is None or here == there:
            same += here is not None
        else:
            (missing if there is None else different).append(key)
    return Comparison(same, missing, different, beyond)


def _digest(session: Session) -> bytes:
    """Stands for every field: a million sessions are compared in little memory."""
    text = orjson.dumps(session.as_dict(), option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=16).digest()
