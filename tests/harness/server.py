"""What every real server of the tests has in common: a process on ports and in a folder of its own."""

import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest

from tests.harness.ports import ClaimedPort

RUNNING: list["Server"] = []  # every server that came up and was not yet closed
START_SECONDS = 30
PORT_TRIES = 5
DEV_EXTRA = "python3 dev.py test"

# The kernel kills a child when the *thread* that made it ends, so all are made by one that lives as long as we do.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="servers")
_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


class ServerError(Exception):
    """A server did not come up; the message ends with the end of its log."""


class ServerMissingError(ServerError):
    """A server is not on this machine; `what` and `install` say what to do about it."""

    def __init__(self, what: str, install: str) -> None:
        super().__init__(f"{what} is missing, install with: {install}")
        self.what, self.install = what, install


def package_folder(name: str, what: str, install: str = DEV_EXTRA) -> Path:
    """Where an installed package lies, without importing it."""
    package = importlib.util.find_spec(name)
    if package is None or package.origin is None:
        raise ServerMissingError(what, install)
    return Path(package.origin).parent


class Server:
    """One server process with a folder and ports of its own; `start` and `stop` may be called in any state.

    Its ports are final once it has started: the first start takes others where a stranger was quicker.
    """

    name: ClassVar[str]
    port_count: ClassVar[int] = 1
    """How many it listens on: `port` and `other_ports`."""
    forbidden: ClassVar[str | None] = None
    """Why none may start now: who starts one is skipped with these words."""
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    crash_signal: ClassVar[signal.Signals] = signal.SIGKILL
    user: ClassVar[str | None] = None  # run as this one when we are root

    def __init__(self) -> None:
        # Not below pytest's tmp_path or root's TMPDIR: those shut every other user out.
        self.folder = Path(tempfile.mkdtemp(prefix="gateway-test-", dir="/tmp" if os.getuid() == 0 else None))
        self._claims: list[ClaimedPort] = []
        self._claim_ports()
        self.log = self.folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._started = False

    def command(self) -> list[str | Path]:
        """What runs the server in the foreground."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Fill the empty folder; called before the first start."""

    def ping(self) -> None:
        """Raise anything as long as the server does not answer."""
        raise NotImplementedError

    def environ(self) -> dict[str, str]:
        return {**os.environ, "LC_ALL": "C"}

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def start(self) -> Self:
        """Return once the server answers; on the port and the data it had before."""
        if Server.forbidden:
            pytest.skip(Server.forbidden)
        if not self.running:
            if self._started:
                self._launch()
            else:
                self._start_first()
        if self not in RUNNING:
            RUNNING.append(self)
        return self

    def stop(self) -> None:
        """An orderly end."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """A crash: the process is gone at once and nothing is flushed."""
        self._end(self.crash_signal)

    @contextmanager
    def crashed(self) -> Iterator[None]:
        """Crashed in this block and up again after it, whatever happens there: for a server that others use too."""
        self.kill()
        try:
            yield
        finally:
            self.start()

    def close(self) -> None:
        """Crash it and remove every trace."""
        self.kill()
        for claim in self._claims:
            claim.close()
        if self in RUNNING:
            RUNNING.remove(self)
        shutil.rmtree(self.folder, ignore_errors=True)

    def log_tail(self, lines: int = 20) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _claim_ports(self) -> None:
        """Take others than before."""
        before, self._claims = self._claims, [ClaimedPort() for _ in range(self.port_count)]
        self.port, *self.other_ports = (claim.number for claim in self._claims)
        for claim in before:
            claim.close()

    def _start_first(self) -> None:
        for tries_left in reversed(range(PORT_TRIES)):
            self._give_away(self.folder)
            self.prepare()
            try:
                self._launch()
                self._started = True
                return
            except ServerError:
                # "Address already in use", "Connection in use": each says it in this way.
                if not tries_left or "in use" not in self.log_tail():
                    raise
            self._claim_ports()
            shutil.rmtree(self.folder)
            self.folder.mkdir(mode=0o700)

    def _launch(self) -> None:
        self._process = _spawner.submit(self._spawn).result()
        try:
            self._await_answer()
        except BaseException:
            self.kill()
            raise

    def _run(self, command: list[str | Path], **options: Any) -> None:
        """Run a tool of the server to its end, as the server's user."""
        with self.log.open("ab") as log:
            done = subprocess.run(
                command, cwd=self.folder, env=self.environ(), stdout=log, stderr=log, **self._identity(), **options
            )
        if done.returncode:
            raise ServerError(f"{self.name}: {Path(command[0]).name} failed\n{self.log_tail()}")

    def _spawn(self) -> subprocess.Popen[bytes]:
        death_signal = self.crash_signal

        def die_with_us() -> None:
            _libc.prctl(_PR_SET_PDEATHSIG, death_signal)

        with self.log.open("ab") as log:
            return subprocess.Popen(
                self.command(),
                cwd=self.folder,
                env=self.environ(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is pytest's; we end the servers
                preexec_fn=die_with_us,
                **self._identity(),
            )

    def _await_answer(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(self.address, timeout=5).close()  # a cheap look, until somebody is there
                return self.ping()
            except Exception as exc:
                if not self.running or time.monotonic() > deadline:
                    raise ServerError(f"{self.name} did not start: {exc}\n{self.log_tail()}") from exc
            time.sleep(0.02)

    def _end(self, with_signal: signal.Signals) -> None:
        if self._process is not None:
            if self.running:
                self._process.send_signal(with_signal)
            try:
                self._process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _identity(self) -> dict[str, Any]:
        if self.user is None or os.getuid() != 0:
            return {}
        entry = pwd.getpwnam(self.user)
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}

    def _give_away(self, folder: Path) -> None:
        """Make a folder with all that is in it the server's user's."""
        if identity := self._identity():
            for path in [folder, *folder.rglob("*")]:
                os.chown(path, identity["user"], identity["group"], follow_symlinks=False)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *exc_info: object) -> None:
        self.close()
