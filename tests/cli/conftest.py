"""A folder to run commands in, and a gateway to talk to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import Inside, Runner
from tests.gateways import GatewayProcess


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
