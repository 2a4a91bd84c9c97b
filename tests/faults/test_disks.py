"""Disks that are full, or can no longer be written: an error for whoever asks, nothing lost, and all is well again once
there is room."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.harness.gateways import GatewayProcess
from tests.harness.server import ServerError
from tests.harness.support import eventually
from tests.harness.upstream import UpstreamProcess

STORES = {"json": "json:{}/sessions.json", "sqlite": "sqlite:///{}/sessions.db"}


class Disk:
    """A small file system of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Until not a byte is left."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (65536, 4096, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    continue

    def make_room(self) -> None:
        self._filler.unlink()

    def allow_writing(self, allowed: bool) -> None:
        subprocess.run(["mount", "-o", f"remount,{'rw' if allowed else 'ro'}", self.folder], check=True)


@pytest.fixture(scope="module")
def make_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Disk]]:
    with ExitStack() as mounted:

        def make() -> Disk:
            folder = tmp_path_factory.mktemp("disk")
            command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder]
            if os.getuid() or subprocess.run(command, capture_output=True).returncode:
                pytest.skip("only root may mount a small disk, and not in every container")
            mounted.callback(subprocess.run, ["umount", "--lazy", folder], check=True)
            return Disk(folder)

        yield make


@pytest.fixture(scope="module")
def upstream() -> Iterator[UpstreamProcess]:
    with UpstreamProcess() as upstream:
        yield upstream


@pytest.fixture(scope="module", params=STORES)
def settled(
    request: pytest.FixtureRequest, make_disk: Callable[[], Disk], upstream: UpstreamProcess
) -> Iterator[tuple[Disk, GatewayProcess]]:
    disk = make_disk()
    store = STORES[request.param].format(disk.folder)
    settings = {"GATEWAY_STORE": store, "GATEWAY_LEASE": "1s", "GATEWAY_BUSY_WAIT": "5s"}
    with GatewayProcess(OPENAI_API_KEY="sk", OPENAI_BASE_URL=upstream.url, **settings) as gateway:
        yield disk, gateway


def test_a_full_store_is_unavailable_and_loses_nothing(
    settled: tuple[Disk, GatewayProcess], upstream: UpstreamProcess
) -> None:
    disk, gateway = settled
    before = gateway.say("alice", "hello")
    upstream.withdraw()
    disk.fill()
    try:
        for session_id in ("alice", "newcomer"):
            refused = gateway.turn(session_id, "is there room?")
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "store_unavailable")
            assert refused.headers["x-should-retry"] == "true"
        assert upstream.seen()["requests"] == []
        assert gateway.get("/sessions/alice").json()["conversation_id"] == before["conversation_id"]
        assert gateway.get("/sessions/newcomer").status_code == 404
        assert gateway.get("/healthz").status_code == 200
    finally:
        disk.make_room()
    after = eventually(lambda: answered(gateway, "alice"))
    assert (after["conversation_id"], after["created"]) == (before["conversation_id"], False)
    assert '"hello"' in after["output_text"]


def test_a_disk_that_fills_up_during_a_turn_loses_neither_turn_nor_session(
    settled: tuple[Disk, GatewayProcess], upstream: UpstreamProcess
) -> None:
    """Its end is written as soon as there is room."""
    disk, gateway = settled
    gateway.say("bob", "hello")
    upstream.faults({"match": "POST /v1/responses", "fault": "pause", "events": 8})
    with gateway.stream("bob", "tell me") as events:
        assert next(events)[0] == "session"
        eventually(lambda: upstream.seen()["waiting"] == 1)
        disk.fill()
        upstream.release()
        assert next(events)[0] == "delta"
        disk.make_room()
        named = dict(events)
    assert named["done"]["status"] == "completed"
    assert gateway.record("bob", named["done"]["turn_id"])["state"] == "completed"


@pytest.mark.parametrize("name", STORES)
def test_a_disk_that_may_only_be_read_stops_the_start_in_one_line(name: str, make_disk: Callable[[], Disk]) -> None:
    disk = make_disk()
    disk.allow_writing(False)
    gateway = GatewayProcess(GATEWAY_STORE=STORES[name].format(disk.folder), GATEWAY_PROVIDER="local")
    try:
        with pytest.raises(ServerError):
            gateway.start()
        assert gateway.log_tail(1).startswith("gateway: ")
        assert str(disk.folder) in gateway.log_tail(1)
    finally:
        gateway.close()


def answered(gateway: GatewayProcess, session_id: str) -> dict[str, object] | None:
    answer = gateway.turn(session_id, "is there room now?")
    return answer.json() if answer.status_code == 200 else None
