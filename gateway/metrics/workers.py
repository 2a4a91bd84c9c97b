"""The folder that keeps the numbers of all workers of one gunicorn: each writes its own files, and any can sum them up.

Knows nothing of the numbers: the folder must be there before their module is imported.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

_PREFIX = "gateway-metrics-"


def make_folder(parent: Path) -> Path:
    """A fresh folder below `parent`, gone when this process ends. One that a killed gateway has left behind is
    removed: nobody holds the lock on it any more."""
    for old in parent.glob(f"{_PREFIX}*"):
        _remove_abandoned(old)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        # Held as long as this process or one of its workers lives.
        held = os.open(folder, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX)
        if folder.exists():
            break
        # Another gateway, starting at the same moment, took it for abandoned.
        os.close(held)
    owner = os.getpid()

    def remove() -> None:
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder


def forget_worker(pid: int) -> None:
    """What a worker that died was just doing is done no more; what it has counted stays."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(pid)  # type: ignore[no-untyped-call]


def _remove_abandoned(folder: Path) -> None:
    try:
        held = os.open(folder, os.O_RDONLY)
    except OSError:
        return  # another user's, or gone already
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(held)
