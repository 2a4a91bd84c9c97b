"""Plain curl against /v1, as a shell script would use it."""

import json
import shutil
import subprocess
from typing import Any

import pytest

from tests.harness.gateways import GatewayProcess
from tests.harness.support import not_tested


@pytest.fixture
def curl(gateway: GatewayProcess) -> Any:
    if shutil.which("curl") is None:
        not_tested("/v1 with curl", "apt-get install curl")

    def run(path: str, *options: str) -> str:
        command = ["curl", "-sS", "--fail-with-body", "--max-time", "30", *options, f"{gateway.url}/v1{path}"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout

    return run


def test_a_session_from_the_shell(curl: Any, session_id: str) -> None:
    body = json.dumps({"model": "demo", "input": "I like tea", "conversation": session_id})
    first = json.loads(curl("/responses", "--json", body))
    assert first["conversation"] == {"id": session_id}
    encoded = session_id.replace("@", "%40").replace(":", "%3A").replace("+", "%2B")
    streamed = json.dumps({"model": "demo", "input": "And I?", "conversation": session_id, "stream": True})
    told = curl("/responses", "-N", "--json", streamed)
    blocks = told.strip().split("\n\n")
    assert blocks[0].startswith("event: response.created\ndata: {")
    assert blocks[-1].startswith("event: response.completed\ndata: {")
    assert all("conv_" not in block and "sess_" not in block for block in blocks)
    assert json.loads(curl(f"/conversations/{encoded}"))["id"] == session_id
    assert len(json.loads(curl(f"/conversations/{encoded}/items?limit=3"))["data"]) == 3
    assert json.loads(curl(f"/responses/{first['id']}"))["id"] == first["id"]
    assert json.loads(curl(f"/conversations/{encoded}", "-X", "DELETE"))["deleted"] is True
    missing = json.loads(curl(f"/conversations/{encoded}"))["error"]
    assert (missing["code"], missing["type"]) == ("session_not_found", "invalid_request_error")
