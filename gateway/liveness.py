"""Which processes of this host are alive: each holds a lock on a file of its own for as long as it lives.

The kernel drops the lock the moment a process dies, however it dies. So on a one-host store a crashed process frees its
sessions at once, and after a reboot too, whatever the clocks say.
"""

from __future__ import annotations

import fcntl
import os
import time
import uuid
import weakref
from pathlib import Path

from gateway.errors import ConfigurationError

_held: weakref.WeakSet[Liveness] = weakref.WeakSet()


def uptime_us() -> int:
    """Microseconds of a clock that all processes of this host share, that never steps, and that goes on in suspend."""
    return time.clock_gettime_ns(_CLOCK) // 1000


# What macOS calls monotonic goes on in suspend by itself.
_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Liveness:
    """This process's mark in `folder`, under the name `owner`, until `close` or its death.

    With `folder=None` nobody else can look: every owner is taken for alive.
    """

    def __init__(self, folder: Path | None) -> None:
        self.owner = f"{os.getpid()}-{uuid.uuid4().hex}"
        self._folder = folder
        self._fd: int | None = None
        if folder is None:
            return
        try:
            folder.mkdir(exist_ok=True)
            self._mark()
            self._sweep()
        except OSError as exc:
            raise ConfigurationError(f"Cannot write to the folder {folder}: {exc.strerror or exc}.") from exc
        _held.add(self)

    def is_alive(self, owner: str) -> bool:
        """Whether the process behind `owner` lives. Never waits."""
        if self._folder is None or owner == self.owner:
            return True
        try:
            fd = os.open(self._folder / owner, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            # Shared, so that two who look at once do not take each other for the owner.
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            # Still under the lock: an owner just starting cannot get it, and takes another name.
            (self._folder / owner).unlink(missing_ok=True)
            return False
        finally:
            os.close(fd)

    def refresh(self) -> None:
        """Puts the mark back if somebody has tidied it away."""
        if self._fd is None or self._folder is None:
            return
        try:
            there = (self._folder / self.owner).stat().st_ino
        except OSError:
            there = None
        if there != os.fstat(self._fd).st_ino:
            self._folder.mkdir(exist_ok=True)
            lost, self._fd = self._fd, None
            os.close(lost)
            self._mark(rename=False)

    def close(self) -> None:
        _held.discard(self)
        if self._fd is not None and self._folder is not None:
            (self._folder / self.owner).unlink(missing_ok=True)
            os.close(self._fd)
            self._fd = None

    def _mark(self, *, rename: bool = True) -> None:
        assert self._folder is not None
        while True:
            path = self._folder / self.owner
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(fd).st_ino == path.stat().st_ino:
                    self._fd = fd
                    return
            except (BlockingIOError, FileNotFoundError):
                pass  # a sweeper came between making and locking it
            os.close(fd)
            if rename:
                self.owner = f"{os.getpid()}-{uuid.uuid4().hex}"

    def _sweep(self) -> None:
        assert self._folder is not None
        for path in self._folder.iterdir():
            self.is_alive(path.name)

    def _after_fork(self) -> None:
        """The child must not keep its parent alive."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _let_go_in_child() -> None:
    for alive in list(_held):
        alive._after_fork()
    _held.clear()


os.register_at_fork(after_in_child=_let_go_in_child)
