"""/metrics is one for all workers of a gateway, whichever of them answers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from tests.conftest import StoreAddress
from tests.harness.gateways import Clients, GatewayProcess
from tests.harness.metrics import Metrics
from tests.harness.support import eventually
from tests.harness.upstream import UpstreamProcess


@pytest.fixture(scope="module")
def upstream() -> Iterator[UpstreamProcess]:
    with UpstreamProcess() as upstream:
        yield upstream


def read(gateway: GatewayProcess) -> Metrics:
    answer = gateway.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    return Metrics(answer.text)


def workers_with_turns(gateway: GatewayProcess) -> set[int]:
    lines = (line for line in gateway.log.read_text().splitlines() if '"gateway.turn"' in line)
    return {orjson.loads(line)["process"] for line in lines}


@pytest.mark.parametrize("name", ["sqlite", "valkey"], ids=["sqlite and gthread", "valkey and gevent"])
def test_the_numbers_of_all_workers_add_up_and_outlive_them(
    name: str, make_store_address: Callable[[str], StoreAddress], upstream: UpstreamProcess
) -> None:
    with GatewayProcess.on(make_store_address(name), upstream, WEB_CONCURRENCY=2) as gateway, Clients(8) as clients:
        done = 0
        while len(workers_with_turns(gateway)) < 2:
            done += len([turn.result() for turn in [clients.start(gateway.say, f"s{n}", "hi") for n in range(8)]])
        assert [read(gateway)("gateway_turns_total", outcome="completed") for _ in range(6)] == [done] * 6
        assert read(gateway)("gateway_turn_seconds_count") == done

        upstream.faults(*[{"match": "POST /v1/responses", "fault": "pause"}] * 2)
        held = [clients.start(gateway.turn, session_id, "wait") for session_id in ("ann", "bob", "bob")]
        eventually(lambda: read(gateway)("gateway_turns_under_way") == 2)
        eventually(lambda: read(gateway)("gateway_turns_waiting") == 1)
        # A turn is under way before it has asked; a fault that nobody met would be the next gateway's.
        eventually(lambda: upstream.seen()["waiting"] == 2)
        workers = workers_with_turns(gateway)
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        assert all(turn.exception() for turn in held)
        eventually(lambda: read(gateway)("gateway_turns_under_way") == read(gateway)("gateway_turns_waiting") == 0)
        assert read(gateway)("gateway_turns_total") == done
        upstream.release()


MAKER = """
import os, signal, sys
from pathlib import Path
from gateway.metrics.workers import make_folder

folder = make_folder(Path(sys.argv[1]))
(folder / "counter_1.db").touch()
print(folder, flush=True)
if sys.argv[2] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
elif sys.argv[2] == "forks":
    if os.fork() == 0:
        sys.exit()
    os.wait()
    assert folder.exists()
elif sys.argv[2] == "waits":
    sys.stdin.read()
"""


def make(parent: Path, then: str) -> subprocess.Popen[str]:
    root = str(Path(__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-c", MAKER, parent, then],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
    )


def test_a_gateway_leaves_no_files_behind_and_clears_up_after_one_that_was_killed(tmp_path: Path) -> None:
    living = make(tmp_path, "waits")
    assert living.stdout is not None
    of_living = Path(living.stdout.readline().strip())
    of_killed = Path(make(tmp_path, "killed").communicate()[0].strip())
    assert of_living.is_dir()
    assert of_killed.is_dir()
    forking = make(tmp_path, "forks")
    forking.communicate()
    assert forking.returncode == 0
    assert list(tmp_path.iterdir()) == [of_living]
    living.communicate()
    assert list(tmp_path.iterdir()) == []
