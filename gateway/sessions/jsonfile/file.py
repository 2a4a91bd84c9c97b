"""sessions.json itself: read from memory while it is unchanged, replaced whole by one writer for many.

Beside the file `sessions.json` everything else lies in one folder, `sessions.json.d`: the lock, and for a moment the
next version of the file.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import filelock

from gateway.errors import StoreUnavailableError
from gateway.sessions.jsonfile.atomic import clean, replace_file, sync_folder
from gateway.sessions.jsonfile.changes import Changes, Stamp
from gateway.sessions.jsonfile.format import CorruptError, Entry, encode_file, parse_file
from gateway.sessions.jsonfile.snapshot import Draft, Edit, Snapshot

T = TypeVar("T")

LOCK_SECONDS = 20.0
"""How long a write waits for the other processes' writes."""

VANISH_SECONDS = 1.0
"""How long a file that was there must be missing until it counts as empty."""

_POLL_SECONDS = 0.002


class SessionsFile:
    """Safe for threads and for processes. A missing file is empty; one that cannot be read or understood is an error
    at every call until it is mended, and is never written.

    `path` is followed once, so that a link stays a link and all who come by it share one lock.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.realpath(path))
        self.folder = self.path.with_name(self.path.name + ".d")
        self.folder.mkdir(exist_ok=True)
        self._snapshot = Snapshot(None, {})
        self._pinned: int | None = None
        self._outdated: deque[int] = deque()
        self._missed_at: float | None = None
        self._loading = threading.Lock()
        self._changes = Changes(self.folder / "changes")
        self._queue: deque[Edit[Any]] = deque()
        self._leading = threading.Lock()
        self._lock = filelock.FileLock(
            self.folder / "lock", timeout=LOCK_SECONDS, poll_interval=_POLL_SECONDS, thread_local=False
        )
        self.parses = 0
        """How often the file was read and parsed."""
        self.rewrites = 0
        """How often this process replaced it."""
        with self._locked():
            clean(self.folder)
        self.read()

    def close(self) -> None:
        with self._loading:
            self._install(Snapshot(None, {}), None)
        self._close_outdated()

    # --- Reading -------------------------------------------------------------------------------------------

    def read(self) -> Snapshot:
        """The file as it is now: one look at its status while it is unchanged."""
        stamp = self._stamp()
        snapshot = self._snapshot
        if snapshot.stamp == stamp:
            return snapshot
        with self._loading:
            snapshot = self._load()
        self._close_outdated()
        return snapshot

    def _stamp(self) -> Stamp | None:
        try:
            return Stamp.of(self.path.stat())
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise self._unavailable(f"cannot be read: {exc.strerror}") from exc

    def _load(self) -> Snapshot:
        while True:
            stamp = self._stamp()
            if self._snapshot.stamp == stamp:
                return self._snapshot
            if stamp is None:
                self._vanished()
                continue
            try:
                # Not even looked into when it is a pipe, which would block.
                descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            except OSError as exc:
                raise self._unavailable(f"cannot be read: {exc.strerror}") from exc
            try:
                snapshot = self._parse(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
            self._install(snapshot, descriptor)
            return snapshot

    def _vanished(self) -> None:
        """Empties what is in memory once the file has surely been taken away.

        Many editors save by moving the old file aside and writing a new one; and where a disk is gone, the folder is.
        """
        now = time.monotonic()
        self._missed_at = now if self._missed_at is None else self._missed_at
        if not self.folder.exists():
            raise self._unavailable(f"and {self.folder.name} are gone: bring them back, or start again to begin anew")
        if now - self._missed_at < VANISH_SECONDS:
            raise self._unavailable(f"has just vanished; it counts as empty after {VANISH_SECONDS:g} s")
        self._install(Snapshot(None, {}), None)

    def _parse(self, descriptor: int) -> Snapshot:
        known = self._snapshot
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise self._unavailable("is not a file")
            if known.stamp is not None:
                entries = self._changes.follow(known.entries, known.stamp, Stamp.of(status))
                if entries is not None:
                    return Snapshot(Stamp.of(status), entries)
            while True:
                before = Stamp.of(status)
                content = os.pread(descriptor, before.size + 1, 0)
                status = os.fstat(descriptor)
                if Stamp.of(status) == before and len(content) == before.size:
                    break  # else somebody was writing into it
        except OSError as exc:
            raise self._unavailable(f"cannot be read: {exc.strerror}") from exc
        self.parses += 1
        try:
            return Snapshot(before, parse_file(content, known.entries))
        except CorruptError as exc:
            raise self._unavailable(f"{exc}. It is left as it is: mend it, or move it away to begin anew") from exc

    def _install(self, snapshot: Snapshot, descriptor: int | None) -> None:
        # The version in memory stays open: as long as it is, no other file can get its inode and pass for it.
        if self._pinned is not None:
            self._outdated.append(self._pinned)
        self._snapshot, self._pinned, self._missed_at = snapshot, descriptor, None

    def _close_outdated(self) -> None:
        # The last to close a replaced file frees its blocks, which takes longer than it looks: not under a lock.
        with suppress(IndexError):
            while True:
                os.close(self._outdated.popleft())

    # --- Writing -------------------------------------------------------------------------------------------

    def edit(self, change: Callable[[Draft], T]) -> T:
        """What `change` returns or raises; what it put and dropped is durable, and readable by every process, when
        this returns. It runs under the file's lock, perhaps on another thread, must not wait, and sees every edit
        before it. Edits that come in while a rewrite is under way share the next one.
        """
        edit: Edit[T] = Edit(change)
        self._queue.append(edit)
        with self._leading:
            # The one before may have taken this edit along.
            if not edit.done:
                edits = []
                while self._queue:
                    edits.append(self._queue.popleft())
                self._commit(edits)
        if edit.error is not None:
            raise edit.error
        return edit.result

    def _commit(self, edits: list[Edit[Any]]) -> None:
        try:
            with self._locked():
                before = self.read()
                entries = dict(before.entries)
                changes: dict[str, Entry | None] = {}
                for edit in edits:
                    for name, entry in edit.apply(entries).items():
                        changes[name] = entry
                        if entry is None:
                            entries.pop(name, None)
                        else:
                            entries[name] = entry
                if changes:
                    self._replace(entries, before.stamp, changes)
            self._close_outdated()
            if changes:
                # Not under the lock: whoever builds on this version makes it durable before they say so.
                sync_folder(self.path.parent)
        except BaseException as exc:
            for edit in edits:
                # What an edit found was perhaps what another of them had put, so none of them has succeeded.
                edit.error = edit.error or self._as_error(exc)
            if not isinstance(exc, Exception):
                raise
        finally:
            for edit in edits:
                edit.done = True

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._lock.acquire()
        except filelock.Timeout as exc:
            raise self._unavailable("is being written by another process, which does not come to an end") from exc
        try:
            yield
        finally:
            self._lock.release()

    def _replace(self, entries: Mapping[str, Entry], before: Stamp | None, changes: Mapping[str, Entry | None]) -> None:
        def ready(stamp: Stamp) -> None:
            if self._stamp() != before:
                raise self._unavailable("was changed by somebody else while it was being written")
            if before is not None:
                self._changes.add(before, stamp, changes)

        descriptor, stamp = replace_file(
            self.path, encode_file(entries.values()), before=before, folder=self.folder, ready=ready
        )
        self.rewrites += 1
        with self._loading:
            self._install(Snapshot(stamp, entries), descriptor)

    def _as_error(self, exc: BaseException) -> BaseException:
        """An error of its own for every caller."""
        if not isinstance(exc, StoreUnavailableError | OSError):
            return exc
        error = (
            StoreUnavailableError(exc.message, retry_after=1)
            if isinstance(exc, StoreUnavailableError)
            else self._unavailable(f"cannot be written: {exc.strerror or exc}")
        )
        error.__cause__ = exc
        return error

    def _unavailable(self, what: str) -> StoreUnavailableError:
        return StoreUnavailableError(f"{self.path} {what}.", retry_after=1)
