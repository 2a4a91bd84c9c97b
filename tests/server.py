"""What every real server of the tests has in common: a process on a free port, in a folder of its own."""

import ctypes
import importlib.util
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Self

RUNNING: list["Server"] = []  # every server that was started and not yet closed
START_SECONDS = 30
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


def claim_port() -> socket.socket:
    """A port for one server: nobody listens on it, nobody else is given it while this socket is open, and it stays
    free after a crash, being below those that the kernel gives to outgoing connections."""
    while True:
        claim = socket.socket(type=socket.SOCK_DGRAM)  # whoever wants the port for TCP claims its twin of UDP first
        try:
            claim.bind(("127.0.0.1", random.randrange(12_000, 32_000)))
            with socket.socket() as probe:
                probe.bind(claim.getsockname())
            return claim
        except OSError:
            claim.close()


class Server:
    """One server process with a folder and a port of its own; `start` and `stop` may be called in any state."""

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    crash_signal: ClassVar[signal.Signals] = signal.SIGKILL
    user: ClassVar[str | None] = None  # run as this one when we are root

    def __init__(self) -> None:
        # Not below pytest's tmp_path or root's TMPDIR: those shut every other user out.
        self.folder = Path(tempfile.mkdtemp(prefix="gateway-test-", dir="/tmp" if os.getuid() == 0 else None))
        self._claim = claim_port()
        self.port: int = self._claim.getsockname()[1]
        self.log = self.folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._prepared = False

    def command(self) -> list[str | Path]:
        """What runs the server in the foreground."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Make the data folder; called once, before the first start."""

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
        if self not in RUNNING:
            RUNNING.append(self)
        if not self.running:
            if not self._prepared:
                self._give_away(self.folder)
                self.prepare()
                self._prepared = True
            self._process = _spawner.submit(self._spawn).result()
            self._await_answer()
        return self

    def stop(self) -> None:
        """An orderly end."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """A crash: the process is gone at once and nothing is flushed."""
        self._end(self.crash_signal)

    def restart(self) -> Self:
        self.stop()
        return self.start()

    def close(self) -> None:
        """Crash it and remove every trace."""
        self.kill()
        self._claim.close()
        if self in RUNNING:
            RUNNING.remove(self)
        shutil.rmtree(self.folder, ignore_errors=True)

    def log_tail(self, lines: int = 20) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

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
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.close()
