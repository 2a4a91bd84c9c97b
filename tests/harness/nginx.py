"""A real nginx with the very configuration that is delivered, as root or as a user."""

from __future__ import annotations

import shutil
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

from tests.harness.server import Server, ServerMissingError
from tests.harness.support import eventually

CONFIGURATION = Path(__file__).parents[2] / "deploy/nginx.conf"


class Nginx(Server):
    """nginx before gateways. Of the configuration only the addresses are replaced."""

    name = "nginx"
    stop_signal = signal.SIGQUIT
    user = "nobody"

    def __init__(self, ports: Sequence[int]) -> None:
        # It may lie where only root's PATH leads.
        found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
        if found is None:
            raise ServerMissingError("nginx before the gateway", "apt-get install nginx")
        self._binary = found
        self._ports = list(ports)
        super().__init__()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def prepare(self) -> None:
        self._write_upstream(down=None)
        own = "".join(
            f"    {kind}_temp_path {self.folder}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (self.folder / "main.conf").write_text(
            f"daemon off;\nworker_processes 2;\npid {self.folder}/pid;\nerror_log stderr;\n"
            f"events {{}}\nhttp {{\n    access_log off;\n{own}    include {self.folder}/gateway.conf;\n}}\n"
        )

    def command(self) -> list[str | Path]:
        return [self._binary, "-e", "stderr", "-c", self.folder / "main.conf"]

    def ping(self) -> None:
        socket.create_connection(self.address, timeout=1).close()

    def take_out(self, port: int | None) -> None:
        """Sends nothing new to the gateway at this port (None: takes all in again), by the way that the
        configuration names; returns when it holds for every request that comes from now on."""
        self._write_upstream(down=port)
        assert self._process is not None
        old = self._workers()
        self._process.send_signal(signal.SIGHUP)

        def reloaded() -> bool:
            now = self._workers()
            return len(now.keys() - old.keys()) == 2 and all("shutting down" in now[pid] for pid in now.keys() & old)

        eventually(reloaded)

    def _workers(self) -> dict[int, str]:
        """The processes that serve, and what they say of themselves."""
        assert self._process is not None
        pid = self._process.pid
        found = {}
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            try:
                found[int(child)] = Path(f"/proc/{child}/cmdline").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
        return found

    def _write_upstream(self, *, down: int | None) -> None:
        servers = "".join(f"server 127.0.0.1:{port}{' down' if port == down else ''}; " for port in self._ports)
        text = CONFIGURATION.read_text()
        for delivered, ours in [("server 127.0.0.1:8080;", servers), ("listen 80;", f"listen 127.0.0.1:{self.port};")]:
            assert text.count(delivered) == 1
            text = text.replace(delivered, ours)
        (self.folder / "gateway.conf").write_text(text)
