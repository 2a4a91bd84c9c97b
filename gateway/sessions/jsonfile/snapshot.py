"""The sessions in one version of the file, to be read; and a draft of the next version, to be changed."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Generic, TypeVar

from gateway.model import SessionKey
from gateway.sessions.cursor import Cursor
from gateway.sessions.jsonfile.changes import Stamp
from gateway.sessions.jsonfile.format import Entry, encode_entry, name_of
from gateway.sessions.values import StoredSession

T = TypeVar("T")


class Snapshot:
    """One version of the file. Never changed once made."""

    def __init__(self, stamp: Stamp | None, entries: Mapping[str, Entry]) -> None:
        self.stamp = stamp
        self.entries = entries

    def get(self, key: SessionKey) -> StoredSession | None:
        entry = self.entries.get(name_of(key))
        return entry.session if entry is not None else None

    def sessions(self) -> Iterator[StoredSession]:
        return (entry.session for entry in self.entries.values())

    @cached_property
    def _by_use(self) -> list[Cursor]:
        return sorted(Cursor.of(session) for session in self.sessions())

    def newest(self, *, behind: Cursor | None = None, used_before: int | None = None) -> Iterator[StoredSession]:
        """Newest use first: those behind that place, and used before that time."""
        end = len(self._by_use)
        if behind is not None:
            end = bisect.bisect_left(self._by_use, behind)
        if used_before is not None:
            end = min(end, bisect.bisect_left(self._by_use, Cursor(used_before, "", "")))
        for place in range(end - 1, -1, -1):
            yield self.entries[name_of(self._by_use[place].key)].session


class Draft:
    """What one edit sees and changes: the sessions as they are now, under the file's lock."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries = entries
        self.changes: dict[str, Entry | None] = {}

    def get(self, key: SessionKey) -> StoredSession | None:
        entry = self._entry(name_of(key))
        return entry.session if entry is not None else None

    def sessions(self) -> Iterator[StoredSession]:
        """Those before this edit's own changes."""
        return (entry.session for entry in self._entries.values())

    def put(self, session: StoredSession) -> None:
        name = name_of(session.key)
        before = self._entry(name)
        if before is None or before.session != session:
            self.changes[name] = encode_entry(session, before)

    def drop(self, key: SessionKey) -> None:
        name = name_of(key)
        if self._entry(name) is not None:
            self.changes[name] = None

    def move(self, key: SessionKey, session: StoredSession) -> None:
        """Puts `session` in place of the one at `key`, with the fields that nobody here knows."""
        before = self._entry(name_of(key))
        self.drop(key)
        self.changes[name_of(session.key)] = encode_entry(session, before)

    def _entry(self, name: str) -> Entry | None:
        return self.changes[name] if name in self.changes else self._entries.get(name)


class Edit(Generic[T]):
    """A change on its way into the file, and afterwards what came of it."""

    result: T

    def __init__(self, change: Callable[[Draft], T]) -> None:
        self.change = change
        self.done = False
        self.error: BaseException | None = None

    def apply(self, entries: Mapping[str, Entry]) -> dict[str, Entry | None]:
        draft = Draft(entries)
        try:
            self.result = self.change(draft)
        except Exception as exc:  # its own caller's, and nobody else's
            self.error = exc
            return {}
        return draft.changes
