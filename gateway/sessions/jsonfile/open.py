"""`json:PATH` to a store: one line says what is wrong with one."""

from __future__ import annotations

import os
import re
from pathlib import Path

import sqlalchemy as sa

from gateway.errors import ConfigurationError, StoreUnavailableError
from gateway.sessions.jsonfile.atomic import may_write
from gateway.sessions.jsonfile.file import SessionsFile
from gateway.sessions.jsonfile.store import JsonStore
from gateway.sessions.sql.opening import open_file
from gateway.sessions.values import Terms


def open_json(url: str, *, prefix: str, terms: Terms) -> JsonStore:
    """A store in the file that `json:PATH` names, taken literally but for a leading `~`: relative to the working
    directory, spaces and all. `sessions.json.d` beside it holds everything else."""
    path = _parse(url)
    file = _open_sessions_file(path)
    try:
        turns = sa.URL.create("sqlite", database=str(file.folder / "turns.db"))
        opened = open_file(turns, prefix=prefix, alive_folder=file.folder / "alive", mapping=False)
        return JsonStore(file, *opened, terms)
    except BaseException:
        file.close()
        raise


def _parse(url: str) -> Path:
    text = url.partition(":")[2]
    if not text.strip() or "\0" in text:
        raise ConfigurationError("json: needs the path of a file, as in json:sessions.json")
    if text.startswith("//") and not text.startswith("///"):
        raise ConfigurationError(
            f"{url!r} names no file: write json:PATH, as in json:sessions.json or json:/var/s.json"
        )
    try:
        return Path(text).expanduser()
    except RuntimeError as exc:
        raise ConfigurationError(f"{url!r} names no file: {exc}") from exc


def _open_sessions_file(path: Path) -> SessionsFile:
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise ConfigurationError(f"{target} is a folder; json: needs the path of a file in it.")
    if not target.parent.is_dir():
        raise ConfigurationError(f"The folder {target.parent} for {target.name} does not exist.")
    if not may_write(target.parent):
        raise ConfigurationError(f"Cannot write to the folder {target.parent}, where {target.name} is to be kept.")
    if target.exists() and not may_write(target):
        raise ConfigurationError(f"Cannot write to the file {target}.")
    if is_mounted(target):
        raise ConfigurationError(
            f"Cannot replace {target}, for the file is a mount of its own: mount the folder that it lies in instead."
        )
    try:
        return SessionsFile(target)
    except StoreUnavailableError as exc:
        raise ConfigurationError(str(exc)) from exc
    except OSError as exc:
        raise ConfigurationError(f"Cannot write to {exc.filename or target}: {exc.strerror or exc}.") from exc


def is_mounted(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> bool:
    """Whether something is mounted at just this path. Where nobody says so (not on Linux) nothing is."""
    try:
        points = [line.split(" ")[4] for line in mounts.read_text().splitlines()]
    except (OSError, IndexError):
        return False
    # Blanks and their like are written in octal there.
    return str(path) in {re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), point) for point in points}
