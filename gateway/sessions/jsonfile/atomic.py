"""One file in place of another: whole, durable, and with the same face."""

from __future__ import annotations

import os
import stat
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from gateway.sessions.jsonfile.changes import Stamp

_BUFFER_BYTES = 256 * 1024
_TEMPORARY = ".tmp"


def may_write(path: Path) -> bool:
    """Whether this process, as whom it runs now, may write a file or into a folder."""
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def replace_file(
    path: Path, pieces: Iterable[bytes], *, before: Stamp | None, folder: Path, ready: Callable[[Stamp], None]
) -> tuple[int, Stamp]:
    """Puts a file with these bytes at `path`, in place of the version `before`; `OSError` leaves that one there.

    It is written in `folder`, on the same disk, and `ready` is called when only the last step is left. Returns the
    new file, open, and its stamp. `sync_folder` makes its name durable too.
    """
    temporary = folder / f"{os.getpid()}-{uuid.uuid4().hex}{_TEMPORARY}"
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with open(descriptor, "wb", _BUFFER_BYTES, closefd=False) as file:
            file.writelines(pieces)
        if before is not None:
            _take_after(path, descriptor)
        # A version of its own time, whatever the file system's clock ticks in: an edit in place that follows at once,
        # and is of the same length, is still seen.
        modified_ns = max(time.time_ns(), before.modified_ns + 1 if before else 0)
        os.utime(descriptor, ns=(modified_ns, modified_ns))
        os.fsync(descriptor)
        stamp = Stamp.of(os.fstat(descriptor))
        ready(stamp)
        temporary.replace(path)
    except BaseException:
        os.close(descriptor)
        with suppress(OSError):
            temporary.unlink()
        raise
    return descriptor, stamp


def sync_folder(folder: Path) -> None:
    """Returns when the names in the folder are durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def clean(folder: Path) -> None:
    """Removes what those left in `folder` who died while they wrote. Nobody may be writing."""
    for leftover in folder.glob("*" + _TEMPORARY):
        leftover.unlink(missing_ok=True)


def _take_after(path: Path, descriptor: int) -> None:
    """Mode and owner stay those of the file that is replaced."""
    old, new = path.stat(), os.fstat(descriptor)
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        with suppress(PermissionError):
            os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
