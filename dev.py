#!/usr/bin/env python3
"""Everything a developer needs, from a fresh checkout on: an own virtual environment, and what runs in it.

    python3 dev.py COMMAND [WORDS]

It wants Python 3.11 or newer and pip, and nothing else: the standard library only, no root, no python3-venv.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - older Pythons get to this line, too
    sys.exit(f"dev.py: Python 3.11 or newer is needed, and this is {sys.version.split()[0]}")

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "installed.json"
# Not the one of a virtual environment that is active now: ours would vanish with it, and it may have no pip.
BASE_PYTHON = getattr(sys, "_base_executable", None) or sys.executable

TEST_WORKERS = 4  # twice the cores of the smallest machine: much of the suite waits for leases to run out
QUICK_WORKERS = 3  # these wait less, and each worker has everything to load first


def run(words: list[str]) -> NoReturn:
    """Serve on http://127.0.0.1:8080 (or HOST and PORT); WORDS go to `gateway serve`."""
    ensure_installed("all")
    gateway = str(VENV / "bin" / "gateway")
    os.execv(gateway, [gateway, "serve", *words])


def test(words: list[str]) -> int:
    """Lint, check the types and run every test, with `quick` those that start no server; other WORDS: just pytest."""
    ensure_installed("all", "dev")
    quick = words[:1] == ["quick"]
    if words and not quick:
        return in_venv("pytest", *words)
    with tempfile.TemporaryDirectory(dir=quickest_place()) as folder:
        # -rfE: hundreds of lines about what is skipped would hide the one about what failed.
        quickly = ["-n", str(QUICK_WORKERS), "--quick", "-rfE", f"--basetemp={folder}/pytest", *words[1:]]
        steps = [
            ("ruff", "check"),
            ("ruff", "format", "--check"),
            ("mypy", "--strict", "gateway"),
            ("pytest", *(quickly if quick else ["-n", str(TEST_WORKERS)])),  # the last one: its summary closes the run
        ]
        failed = []
        for step in steps:
            say(" ".join(step))
            if in_venv(*step):
                failed.append(" ".join(step))
    if failed:
        say(f"FAILED: {', '.join(failed)}")
    return 1 if failed else 0


def soak(words: list[str]) -> int:
    """Storms on a real store, or many turns in a row, and what came of it; WORDS are its options (--help)."""
    ensure_installed("all", "dev")
    return in_venv("tests.soak", *words)


def screenshots(words: list[str]) -> int:
    """Take the README's pictures of the console again, in Chromium."""
    ensure_installed("all", "dev")
    return in_venv("benchmarks.screenshots", *words)


def bench(words: list[str]) -> int:
    """Measure P1 to P8 (or those named in WORDS) beside a bare Flask + SDK application; --quick for a look."""
    ensure_installed("all", "dev", "bench")
    return in_venv("benchmarks", *words)


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "run": run,
    "test": test,
    "soak": soak,
    "screenshots": screenshots,
    "bench": bench,
}


def in_venv(module: str, *words: str) -> int:
    """Run a module in the virtual environment, at the checkout's root, and return its exit status."""
    environ = {**os.environ}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)  # every one of the suite's many processes would compile all anew
    return subprocess.run([PYTHON, "-m", module, *words], cwd=ROOT, env=environ).returncode


def quickest_place() -> str | None:
    """Where files cost no waiting for a disk, which is a sixth of a quick run: in memory, where that has room."""
    place = "/dev/shm"
    has_room = os.access(place, os.W_OK) and shutil.disk_usage(place).free > 1 << 30
    return place if has_room else None


def ensure_installed(*extras: str) -> None:
    """Return once `.venv` holds the project with these extras; at once when the stamp says that it does.

    The stamp is removed before and written after an install, so an interrupted one is never taken for whole.
    """
    if is_installed(extras):
        return
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # `run` and `test` may be started side by side
        if not is_installed(extras):
            install(extras)
    finally:
        os.close(folder)


def is_installed(extras: tuple[str, ...]) -> bool:
    stamp = read_stamp()
    return stamp.get("venv") == venv_id() and stamp.get("project") == project_id() and {*extras} <= {*stamp["extras"]}


def install(extras: tuple[str, ...]) -> None:
    stamp = read_stamp()
    wanted = sorted({*extras, *stamp.get("extras", [])})
    say(f"installing into {VENV} (a minute or two, this once)")
    if stamp.get("venv") == venv_id():
        STAMP.unlink()
    else:  # there is none, or an unfinished one, or one of another Python, or the checkout was moved
        shutil.rmtree(VENV, ignore_errors=True)
        # Without pip, for which Debian would want python3-venv; the outer pip (22.3 or newer) installs from outside.
        call(BASE_PYTHON, "-m", "venv", "--without-pip", VENV)
    call(BASE_PYTHON, "-m", "pip", "--python", PYTHON, "install", "-qq", "-e", f"{ROOT}[{','.join(wanted)}]")
    unfinished = STAMP.with_suffix(".part")
    unfinished.write_text(json.dumps({"venv": venv_id(), "project": project_id(), "extras": wanted}))
    unfinished.replace(STAMP)


def read_stamp() -> dict[str, Any]:
    try:
        stamp: dict[str, Any] = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return stamp


def venv_id() -> str:
    """Changes when the environment has to be made anew: its scripts name its path, its packages fit one Python."""
    return f"{VENV} {sys.base_prefix} {sys.version}"


def project_id() -> str:
    """Changes when the dependencies may have changed."""
    return hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()


def call(*command: str | Path) -> None:
    environ = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_USER": "0"}
    if status := subprocess.run(command, env=environ).returncode:
        name = " ".join(map(str, command[1:4]))
        sys.exit(f"dev.py: `python3 {name}` ended with status {status} (its own message is above)")


def say(message: str) -> None:
    print(f"dev.py: {message}", flush=True)


def help_text() -> str:
    lines = [f"    {name:<11} {command.__doc__}" for name, command in COMMANDS.items()]
    return f"{(__doc__ or '').strip()}\n\nCommands:\n\n" + "\n".join(lines)


def main(words: list[str]) -> int:
    if not words or words[0] in {"help", "-h", "--help"}:
        print(help_text())
        return 0
    if words[0] not in COMMANDS:
        print(f"dev.py: no command {words[0]!r}; there are {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        return COMMANDS[words[0]](words[1:])
    except KeyboardInterrupt:
        return 130
    except OSError as exc:
        sys.exit(f"dev.py: {exc}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
