"""openai-node against /v1. npm installs it for the test run, into a folder of its own."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.harness.gateways import GatewayProcess
from tests.harness.support import not_tested

CLIENT = Path(__file__).parent / "client.mjs"


@pytest.fixture(scope="package")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `openai` can be imported, with the client of this test."""
    folder = tmp_path_factory.mktemp("node")
    shutil.copy(CLIENT, folder)
    if shutil.which("node") is None or shutil.which("npm") is None:
        not_tested("/v1 with openai-node", "apt-get install nodejs npm")
    command = ["npm", "install", "openai@6", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=110, check=False)
    if done.returncode != 0:
        not_tested(f"/v1 with openai-node: {done.stderr.strip()[-300:]}", "npm install openai@6")
    return folder


def test_openai_node_works_with_session_ids(gateway: GatewayProcess, node_folder: Path, session_id: str) -> None:
    command = ["node", CLIENT.name, f"{gateway.url}/v1", session_id]
    done = subprocess.run(command, cwd=node_folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "passed\n", done.stderr
