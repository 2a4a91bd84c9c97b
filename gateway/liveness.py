"""Which processes of this host are alive: each holds a lock on a file of its own for as long as it lives.

The kernel drops the lock the moment a process dies, however it dies. So on a one-host store a crashed process frees its
sessions at once, and after a reboot too, whatever the clocks say.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
import uuid
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from gateway.errors import ConfigurationError, StoreUnavailableError

_open: weakref.WeakSet[Liveness] = weakref.WeakSet()


def uptime_us() -> int:
    """Microseconds of a clock that all processes of this host share, that never steps, and that goes on in suspend."""
    return time.clock_gettime_ns(_CLOCK) // 1000


_BLOCK = 4096  # less may still fit where nothing else does

# What macOS calls monotonic goes on in suspend by itself.
_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Liveness:
    """This process's mark in `folder`, under the name `owner`, until `close` or its death. A child of a fork has a
    mark and a name of its own.

    With `folder=None` nobody else can look: every owner is taken for alive.
    """

    def __init__(self, folder: Path | None) -> None:
        self.owner = _new_name()
        self._folder = folder
        self._fd: int | None = None
        self._closed = False
        # The mark is put back by whoever misses it first; a second one would take the first for a stranger.
        self._lock = threading.Lock()
        if folder is None:
            return
        try:
            folder.mkdir(exist_ok=True)
            self._fd = _make_mark(folder / self.owner)
            for path in folder.iterdir():
                _is_held(path)  # removes those of the dead
        except OSError as exc:
            raise ConfigurationError(f"Cannot write to the folder {folder}: {exc.strerror or exc}.") from exc
        _open.add(self)

    def is_alive(self, owner: str) -> bool:
        """Whether the process behind `owner` lives. Never waits."""
        if self._folder is None or owner == self.owner:
            return True
        with _translated():
            return _is_held(self._folder / owner)

    def refresh(self) -> None:
        """Puts the mark back if somebody has tidied it away; if that cannot be just now, the next call tries again."""
        with self._lock, _translated():
            self._put_back()

    def check(self) -> None:
        """`StoreUnavailableError` unless files can be made and written here: a disk may be full, or read-only."""
        with self._lock, _translated():
            self._put_back()
            if self._fd is not None:
                os.pwrite(self._fd, bytes(_BLOCK), 0)
                os.ftruncate(self._fd, 0)

    def close(self) -> None:
        _open.discard(self)
        with self._lock:
            self._closed = True
            if self._fd is not None and self._folder is not None:
                (self._folder / self.owner).unlink(missing_ok=True)
                os.close(self._fd)
                self._fd = None

    def _put_back(self) -> None:
        if self._folder is None or self._closed:
            return
        mark = self._folder / self.owner
        if self._fd is None or not _is_at(mark, self._fd):
            self._folder.mkdir(exist_ok=True)
            lost, self._fd = self._fd, _make_mark(mark)
            if lost is not None:
                os.close(lost)

    def _after_fork(self) -> None:
        """The child must not keep its parent alive, nor be taken for it."""
        self._lock = threading.Lock()
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        self.owner = _new_name()
        with suppress(StoreUnavailableError):
            self.refresh()


def _new_name() -> str:
    return f"{os.getpid()}-{uuid.uuid4().hex}"


def _make_mark(path: Path) -> int:
    """A file that is locked until it is closed, be it by this process's death."""
    while True:
        with ExitStack() as undo:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            undo.callback(os.close, fd)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # somebody looks at it at this moment, and is about to remove it
            if _is_at(path, fd):
                undo.pop_all()
                return fd


def _is_held(path: Path) -> bool:
    """Whether the mark's process lives; if not, the mark is removed."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two who look at once do not take each other for the owner.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        # Still under the lock: whoever is just making this mark cannot get it, and makes another.
        path.unlink(missing_ok=True)
        return False
    finally:
        os.close(fd)


def _is_at(path: Path, fd: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(fd).st_ino
    except FileNotFoundError:
        return False


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        # No file can be opened, the disk is full or read-only: that passes, and nobody has died of it.
        raise StoreUnavailableError(retry_after=1) from exc


def _mark_in_child() -> None:
    for liveness in list(_open):
        liveness._after_fork()


os.register_at_fork(after_in_child=_mark_in_child)
