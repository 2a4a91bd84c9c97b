"""A folder to run commands in, and a gateway to talk to."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.commands import Inside, Runner
from tests.harness.gateways import GatewayProcess


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> Iterator[None]:
    """A shell that runs the suite in the background has it ignore SIGINT, which the commands would inherit."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def gateway(tmp_path: Path) -> Runner:
    """Runs `gateway …` in an empty folder, with nothing set."""
    return Runner(tmp_path)


@pytest.fixture
def inside(tmp_path: Path) -> Inside:
    """The same folder, without a process for each command."""
    return Inside(tmp_path)


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway on the local provider's demo model, for all who only talk."""
    folder = tmp_path_factory.mktemp("running")
    settings = {
        "GATEWAY_STORE": f"sqlite:///{folder / 'sessions.db'}",
        "GATEWAY_LOCAL_DB": str(folder / "local.db"),
    }
    with GatewayProcess(**settings) as process:
        yield process
