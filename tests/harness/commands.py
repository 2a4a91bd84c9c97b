"""The commands as their users run them: in processes of their own, through pipes, and at a terminal."""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any, Self
from unittest import mock

from click.testing import CliRunner

from gateway.cli import main

ROOT = str(Path(__file__).parents[2])
COMMAND = [sys.executable, "-m", "gateway"]
SECONDS = 30

_CONTROL = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[=>]|\].*?\x07)|\r|\x07")


def environ(folder: Path, **settings: object) -> dict[str, str]:
    """An environment without anybody else's settings; everything a command writes by default goes to `folder`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "OPENAI_"))}
    path = os.pathsep.join(filter(None, [ROOT, clean.get("PYTHONPATH", "")]))
    ours = {"PYTHONPATH": path, "XDG_STATE_HOME": str(folder / "state"), "TERM": "xterm", "LC_ALL": "C.UTF-8"}
    # A cursor that is asked for its place would have to answer.
    return {**clean, **ours, "PROMPT_TOOLKIT_NO_CPR": "1", **{name: str(value) for name, value in settings.items()}}


class Runner:
    """Runs commands in a folder, on settings."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.folder = folder
        self.environ = environ(folder, **settings)

    def __call__(self, *words: str, stdin: str | bytes = b"") -> subprocess.CompletedProcess[str]:
        """The command at its end. Nothing of what it says may be a traceback."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            [*COMMAND, *words], input=data, capture_output=True, cwd=self.folder, env=self.environ, timeout=SECONDS
        )
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def well(self, *words: str, stdin: str | bytes = b"") -> str:
        """What a command that must succeed writes to stdout."""
        done = self(*words, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def shell(self, line: str) -> subprocess.CompletedProcess[str]:
        """A line of bash, in which `gateway` is ours."""
        script = f'gateway() {{ "{sys.executable}" -m gateway "$@"; }}; set -o pipefail; {line}'
        return subprocess.run(
            ["bash", "-c", script], capture_output=True, text=True, cwd=self.folder, env=self.environ, timeout=SECONDS
        )

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*COMMAND, *words],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def terminal(self, *words: str) -> Terminal:
        return Terminal(self, words)


class Inside(Runner):
    """The same in this process, for the many cases that a process each would take too long for."""

    def __call__(self, *words: str, stdin: str | bytes = b"") -> subprocess.CompletedProcess[str]:
        others = dict.fromkeys((name for name in os.environ if name not in self.environ), None)
        with (
            CliRunner().isolation(stdin, env={**others, **self.environ}) as (output, errors, _),
            contextlib.chdir(self.folder),
            mock.patch.object(sys, "argv", ["gateway", *words]),
        ):
            try:
                main()
                code: object = 0
            except SystemExit as exc:
                code = exc.code or 0
            if isinstance(code, str):  # as Python itself does
                errors.write(f"{code}\n".encode())
                code = 1
        said = output.getvalue().decode(), errors.getvalue().decode()
        return subprocess.CompletedProcess(words, int(str(code)), *said)


class Terminal:
    """A command at a terminal of its own: what is typed, and what is read."""

    def __init__(self, runner: Runner, words: tuple[str, ...]) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
        self._process = subprocess.Popen(
            [*COMMAND, *words],
            cwd=runner.folder,
            env=runner.environ,
            preexec_fn=lambda: os.login_tty(slave),
            pass_fds=[slave],
        )
        os.close(slave)
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._raw = ""
        self._read = 0
        """How much of the text was expected already."""

    @property
    def text(self) -> str:
        """Everything so far, without what only moves the cursor or colours."""
        return _CONTROL.sub("", self._raw)

    def expect(self, words: str, seconds: float = SECONDS) -> str:
        """What came up to these words, which must come in time; the next `expect` goes on behind them."""
        deadline = time.monotonic() + seconds
        while True:
            place = self.text.find(words, self._read)
            if place >= 0:
                passed, self._read = self.text[self._read : place], place + len(words)
                return passed
            left = deadline - time.monotonic()
            assert left > 0, f"no {words!r} in {self.text[self._read :]!r}"
            assert self._receive(left), f"it ended without {words!r}: {self.text[self._read :]!r}"

    def type(self, words: str) -> Self:
        os.write(self._master, words.encode())
        return self

    def enter(self, line: str) -> Self:
        return self.type(line + "\r")

    def ends(self) -> int:
        """The exit code, once it has ended."""
        deadline = time.monotonic() + SECONDS
        while self._receive(max(0, deadline - time.monotonic())):
            assert time.monotonic() < deadline, f"it does not end: {self.text[self._read :]!r}"
        code = self._process.wait(SECONDS)
        assert "Traceback" not in self.text, self.text
        return code

    def _receive(self, seconds: float) -> bool:
        """False when nothing will ever come any more."""
        if select.select([self._master], [], [], seconds)[0]:
            try:
                data = os.read(self._master, 65536)
            except OSError:  # the last process that had it open is gone
                return False
            self._raw += self._decoder.decode(data)
            return bool(data)
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        os.close(self._master)


def original_record(number: int) -> dict[str, Any]:
    """One record of a sessions.json as the TypeScript original wrote it."""
    return {
        "session_id": f"user_{number:05d}",
        "conversation_id": f"conv_{number:048x}",
        "created_at": "2025-10-26T10:00:00.000Z",
        "last_used": f"2025-10-27T{number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d}.{number % 1000:03d}Z",
    }


def original_file(path: Path, count: int) -> dict[str, dict[str, Any]]:
    """A sessions.json of the original with so many sessions."""
    import orjson

    records = {record["session_id"]: record for record in map(original_record, range(count))}
    path.write_bytes(orjson.dumps(records, option=orjson.OPT_INDENT_2))
    return records
