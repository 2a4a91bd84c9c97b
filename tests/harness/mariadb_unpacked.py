"""MariaDB's server without root: Debian's packages, unpacked once into a cache folder.

No wheel carries MariaDB. `find` prefers the installed server; failing that, apt downloads the package and the
libraries this machine lacks, with lists and a cache of our own. Everything is bounded in time, and a failure is
remembered for an hour, so that a machine without a network does not wait again at every run.
"""

import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock

INSTALL_HINT = "apt-get install mariadb-server-core"
UNPACK_SECONDS = 100
RETRY_AFTER_SECONDS = 3600


@dataclass(frozen=True)
class MariaDBFiles:
    """A server binary, its SQL and message files, and what its environment must hold."""

    binary: Path
    share: Path
    environ: dict[str, str] = field(default_factory=dict)


def find() -> MariaDBFiles | None:
    """The installed server, else the unpacked one (unpacking it if need be), else None."""
    on_path = shutil.which("mariadbd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    if on_path:
        installed = _files(Path(on_path).resolve().parents[1], {})
        if installed:
            return installed
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "conversation-gateway"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / "mariadb.lock", timeout=UNPACK_SECONDS):
            return _unpacked(cache)
    except OSError:  # no place to write: as good as not installed; filelock's Timeout is an OSError too
        return None


def _files(base: Path, environ: dict[str, str]) -> MariaDBFiles | None:
    """The server below `base` (`/usr`, or the same place in an unpacked tree)."""
    binaries = [path for path in (base / "sbin/mariadbd", base / "bin/mariadbd") if path.is_file()]
    tables = [path for folder in ("mysql", "mariadb") for path in base.glob(f"share/{folder}/*_system_tables.sql")]
    return MariaDBFiles(binaries[0], tables[0].parent, environ) if binaries and tables else None


def _unpacked(cache: Path) -> MariaDBFiles | None:
    root, failed = cache / "mariadb", cache / "mariadb.failed"
    if not root.is_dir():
        if failed.exists() and time.time() - failed.stat().st_mtime < RETRY_AFTER_SECONDS:
            return None
        try:
            _unpack(cache / "mariadb.part")
        except (OSError, subprocess.SubprocessError) as exc:
            failed.write_text(f"{exc}\n{getattr(exc, 'stderr', None) or ''}\n")
            return None
        (cache / "mariadb.part" / "root").rename(root)  # whole or not there at all
        shutil.rmtree(cache / "mariadb.part")
        failed.unlink(missing_ok=True)
    libraries = [*root.glob("usr/lib/*-linux-gnu*"), *root.glob("lib/*-linux-gnu*")]
    return _files(root / "usr", {"LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries))})


def _unpack(work: Path) -> None:
    """Download the server and its missing libraries and unpack them below `work/root`."""
    shutil.rmtree(work, ignore_errors=True)
    for folder in ("lists/partial", "archives/partial", "root"):
        (work / folder).mkdir(parents=True)
    deadline = time.monotonic() + UNPACK_SECONDS

    def run(*command: str | Path) -> None:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=deadline - time.monotonic())

    options = {
        "Dir::State::lists": work / "lists",
        "Dir::Cache::archives": work / "archives",
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "Debug::NoLocking": "true",  # the lock files are root's; nothing of the system is changed
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Acquire::http::Timeout": "5",
        "Acquire::https::Timeout": "5",
        "Acquire::Retries": "1",
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    run(*apt, "update")
    # Only downloading, apt resolves against what is installed: the server, and just the libraries missing here.
    run(*apt, "--yes", "--no-install-recommends", "--download-only", "install", "mariadb-server-core")
    for package in (work / "archives").glob("*.deb"):
        run("dpkg-deb", "-x", package, work / "root")


if __name__ == "__main__":
    print(find())
