"""What the last rewrites changed, beside the file: how another process goes from the version it knows to the newest
one without reading ten thousand records again.

Only a short cut: each line says from which version of the file to which, and whoever finds no way from their own
version to the one on disk, as after a hand edit, reads the file itself. So a line may be torn, missing or too many.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import orjson

from gateway.sessions.jsonfile.format import CorruptError, Entry, parse_entry

_KEEP_BYTES = 256 * 1024
_LINE_BYTES = 16 * 1024  # what changes more at once is read from the file


class Stamp(NamedTuple):
    """What tells one version of the file from another."""

    device: int
    inode: int
    modified_ns: int
    size: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        return cls(status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)


class Changes:
    """The last rewrites, oldest first, one a line. Written under the file's lock, read without it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, before: Stamp, after: Stamp, changes: Mapping[str, Entry | None]) -> None:
        """Before the new version takes its place, so that it is never there without its line. What was dropped leaves
        no trace here: then all begins anew, and the others read the file itself."""
        if None in changes.values():
            with suppress(OSError):
                self._path.write_bytes(b"")
            return
        members = {name: entry.member.decode() for name, entry in changes.items() if entry is not None}
        line = orjson.dumps([tuple(before), tuple(after), members]) + b"\n"
        if len(line) > _LINE_BYTES:
            return
        with suppress(OSError):  # nobody needs it
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                if os.fstat(descriptor).st_size > _KEEP_BYTES:
                    os.ftruncate(descriptor, 0)
                os.write(descriptor, line)
            finally:
                os.close(descriptor)

    def follow(self, entries: Mapping[str, Entry], before: Stamp, after: Stamp) -> dict[str, Entry] | None:
        """The entries at version `after`, out of those at `before`; None when there is no way known."""
        try:
            lines = self._path.read_bytes().split(b"\n")
            steps: list[dict[str, str]] = []
            at = list(after)
            for line in reversed(lines):
                if at == list(before):
                    break
                if line:
                    start, end, members = orjson.loads(line)
                    if end == at:
                        at = start
                        steps.append(members)
            if at != list(before):
                return None
            changed = dict(entries)
            for members in reversed(steps):
                for name, member in members.items():
                    changed[name] = parse_entry(member.encode())
        except (OSError, ValueError, TypeError, AttributeError, CorruptError):
            return None
        return changed
