"""The delivered systemd unit: what systemd itself says of it, and that the gateway starts as it is told there."""

import configparser
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config import Settings
from tests.harness.gateways import GatewayProcess

UNIT = Path(__file__).parents[2] / "deploy/gateway.service"
INSTALLED = "/opt/gateway/bin/gateway"


def service() -> dict[str, str]:
    """The unit's [Service], of what is given several times the last."""
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str
    parser.read(UNIT)
    return dict(parser["Service"])


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program that is there."""
    path = tmp_path / UNIT.name
    text = UNIT.read_text()
    assert f"ExecStart={INSTALLED} serve" in text
    path.write_text(text.replace(INSTALLED, f'"{sys.executable}"'))
    return path


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not on this machine")
def test_systemd_finds_nothing_wrong_and_little_exposed(unit: Path) -> None:
    verified = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
    exposed = ["systemd-analyze", "security", "--offline=true", "--threshold=20", unit]
    assert subprocess.run(exposed, capture_output=True, check=False).returncode == 0


def test_systemd_waits_longer_than_the_gateway_lets_its_turns_finish() -> None:
    grace = Settings().grace_seconds
    # gunicorn's own limit lies 15 s behind the grace, and systemd's behind both.
    assert float(service()["TimeoutStopSec"].removesuffix("s")) > grace + 15


class Unit(GatewayProcess):
    """The gateway as the unit starts it: in its state directory, with a socket to tell that it is ready."""

    def __init__(self, notify: Path) -> None:
        super().__init__(NOTIFY_SOCKET=notify)

    def command(self) -> list[str | Path]:
        return [sys.executable, "-m", "gateway", *service()["ExecStart"].split()[1:]]


def test_the_gateway_tells_systemd_that_it_is_ready_and_keeps_everything_in_its_state_directory(tmp_path: Path) -> None:
    assert service()["Type"] == "notify"
    assert service()["WorkingDirectory"] == f"%S/{service()['StateDirectory']}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(30)
        with Unit(tmp_path / "notify") as gateway:
            assert systemd.recv(4096).startswith(b"READY=1")
            gateway.say("alice", "hello")
            kept = {path.name for path in gateway.folder.iterdir()}
            assert {"sessions.json", "sessions.json.d", "local-provider.db"} <= kept
