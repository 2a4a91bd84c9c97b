"""The console's static files, read once: each with a packed copy, all under one version."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "static"

_MEDIA_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    media_type: str
    plain: bytes
    packed: bytes
    """The same in gzip."""


@dataclass(frozen=True, slots=True)
class StaticFiles:
    files: dict[str, StaticFile]
    version: str
    """Changes with every change of any file: an address that holds it can be cached for ever."""


@cache
def static_files() -> StaticFiles:
    files = {}
    digest = hashlib.sha256()
    for path in sorted(FOLDER.iterdir()):
        plain = path.read_bytes()
        files[path.name] = StaticFile(_MEDIA_TYPES[path.suffix], plain, gzip.compress(plain, mtime=0))
        digest.update(b"%b\0%d\0%b" % (path.name.encode(), len(plain), plain))
    return StaticFiles(files, digest.hexdigest()[:16])
