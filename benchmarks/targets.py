"""What is compared: each a server of its own in front of the same provider, with two workers on this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import orjson
import requests

from tests.harness.gateways import GatewayProcess
from tests.harness.server import Server, ServerError
from tests.harness.servers import Postgres, Valkey

JSON = dict[str, Any]

WORKERS = 2
_ROOT = Path(__file__).parents[1]
_REQUEST = '{"session_id":"{session}","input_as_text":"What was that about the fox?"}'


class Measured(Server):
    """A server whose CPU time and memory are looked at, its children's included."""

    path: ClassVar[str] = "/workflow"
    request: ClassVar[str] = _REQUEST
    word: ClassVar[str] = "event: delta"
    arguments: list[str | Path]
    settings: dict[str, str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str | Path]:
        return self.arguments

    def environ(self) -> dict[str, str]:
        path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH", "")]))
        return {**super().environ(), "PYTHONPATH": path, **self.settings}

    def ping(self) -> None:
        requests.get(f"{self.url}/readyz", timeout=5).raise_for_status()


class Provider(Measured):
    """The provider of this folder."""

    name = "provider"
    path = "/v1/responses"
    request = f'{{"model":"m","input":"What was that?","conversation":"conv_{"0" * 48}"}}'
    word = "response.output_text.delta"

    def __init__(self) -> None:
        super().__init__()
        self.arguments, self.settings = [sys.executable, "-m", "benchmarks.provider", str(self.port)], {}

    def ping(self) -> None:
        self.counts()

    def pace(self, *, first_ms: int = 0, gap_ms: int = 0, deltas: int = 20) -> None:
        body = {"first_ms": first_ms, "gap_ms": gap_ms, "deltas": deltas}
        requests.post(f"{self.url}/_pace", json=body, timeout=5).raise_for_status()

    def counts(self) -> JSON:
        counts: JSON = requests.get(f"{self.url}/_counts", timeout=5).json()
        return counts


class Bare(Measured):
    """Flask and the SDK (`benchmarks.bare`): as documented in threads, with own parsing on gevent, each at its best."""

    def __init__(self, provider: Provider, way: str) -> None:
        super().__init__()
        self.name = f"Flask + SDK, {'as documented' if way == 'documented' else 'own parsing'}"
        kind = ["-k", "gthread", "--threads", "512"] if way == "documented" else ["-k", "gevent"]
        self.arguments = [sys.executable, "-m", "gunicorn", "-b", f"127.0.0.1:{self.port}", "-w", str(WORKERS), *kind]
        self.arguments += ["--worker-connections", "4000", "--keep-alive", "75", "--no-control-socket"]
        self.arguments += ["benchmarks.bare:app"]
        self.settings = {"BENCH_WAY": way, "OPENAI_API_KEY": "sk-bench", "OPENAI_BASE_URL": f"{provider.url}/v1"}


class LiteLLM(Measured):
    """LiteLLM's proxy, where the `litellm` of PATH (or of BENCH_LITELLM) is: it keeps no sessions either."""

    name = "LiteLLM"
    path = "/v1/responses"
    request = '{"model":"gpt-5.4-mini","input":"What was that about the fox?"}'
    word = "response.output_text.delta"
    program = os.environ.get("BENCH_LITELLM") or shutil.which("litellm")

    def __init__(self, provider: Provider) -> None:
        super().__init__()
        models = {"model_name": "*", "litellm_params": {"model": "openai/*", "api_key": "sk-bench"}}
        models["litellm_params"] |= {"api_base": f"{provider.url}/v1"}
        config = self.folder / "config.yaml"
        config.write_text(json.dumps({"model_list": [models]}))  # JSON is YAML, too
        self.arguments = [str(self.program), "--config", config, "--port", str(self.port), "--host", "127.0.0.1"]
        self.arguments += ["--num_workers", str(WORKERS)]
        self.settings = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "DISABLE_ADMIN_UI": "True"}
        # Without auth, as all the others here.
        self.settings["LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY"] = "true"

    @classmethod
    def version(cls) -> str:
        told = subprocess.run([str(cls.program), "--version"], capture_output=True, text=True, timeout=120).stdout
        return told.strip().rpartition(" ")[2]

    def _await_answer(self) -> None:
        """It takes its time."""
        for _ in range(3):
            try:
                return super()._await_answer()
            except ServerError:
                if not self.running:
                    raise
        return super()._await_answer()

    def ping(self) -> None:
        body = {"model": "gpt-5.4-mini", "input": "hello"}
        requests.post(f"{self.url}/v1/responses", json=body, timeout=20).raise_for_status()


class Gateway(GatewayProcess):
    """This project's gateway on a store."""

    path = Measured.path
    request = Measured.request
    word = Measured.word

    def __init__(self, provider: Provider, name: str, store: str, **settings: object) -> None:
        self.name = f"gateway on {name}"
        super().__init__(
            GATEWAY_STORE=store,
            OPENAI_API_KEY="sk-bench",
            OPENAI_BASE_URL=f"{provider.url}/v1",
            WEB_CONCURRENCY=WORKERS,
            **settings,
        )


Target = Measured | Gateway


class House:
    """Everything that runs during the benchmarks, started when first asked for."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._started: dict[str, Any] = {}

    def __enter__(self) -> House:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def _once(self, name: str, make: Any) -> Any:
        if name not in self._started:
            server = make()
            self._stack.callback(server.close)
            self._started[name] = server.start()
        return self._started[name]

    def stop(self, name: str) -> None:
        """Ends a server, if it runs."""
        if name in self._started:
            self._started[name].stop()

    @property
    def provider(self) -> Provider:
        provider: Provider = self._once("provider", Provider)
        return provider

    def store(self, name: str) -> str:
        """The URL of a store: Redis (Valkey serves it) or PostgreSQL."""
        if name == "Redis":
            return str(self._once("valkey", Valkey).url())
        postgres = self._once("postgres", Postgres)
        if "database" not in self._started:
            self._started["database"] = postgres.database("bench")
        return str(self._started["database"])

    def gateway(self, name: str) -> Gateway:
        gateway: Gateway = self._once(name, lambda: Gateway(self.provider, name, self.store(name)))
        return gateway

    def bare(self, way: str) -> Bare:
        bare: Bare = self._once(way, lambda: Bare(self.provider, way))
        return bare

    def litellm(self) -> LiteLLM | None:
        """None when it is not installed."""
        if LiteLLM.program is None:
            return None
        litellm: LiteLLM = self._once("litellm", lambda: LiteLLM(self.provider))
        return litellm


def processes(target: Target) -> list[int]:
    """The server's process and everything below it."""
    assert target._process is not None
    found, left = [], [target._process.pid]
    while left:
        found.append(left.pop())
        for task in Path(f"/proc/{found[-1]}/task").iterdir():
            left += [int(word) for word in (task / "children").read_text().split()]
    return found


def cpu_seconds(target: Target) -> float:
    """The CPU time of all of them so far."""
    total = 0
    for process in processes(target):
        for task in Path(f"/proc/{process}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def put_load(target: Target, *, clients: int, seconds: float, stream: bool) -> JSON:
    """What the clients saw, and `cpu_us`: the server's CPU time for one turn."""
    body = target.request[:-1] + ',"stream":true}' if stream else target.request
    order = {"url": target.url + target.path, "clients": clients, "seconds": seconds, "stream": stream}
    order |= {"body": body, "word": target.word}
    before, began = cpu_seconds(target), time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load", json.dumps(order)],
        cwd=_ROOT,
        check=True,
        capture_output=True,
        timeout=seconds + 120,
    )
    seen: JSON = orjson.loads(done.stdout)
    spent = cpu_seconds(target) - before
    seen["cpu_us"] = spent / max(seen["turns"] + seen["errors"], 1) * 1e6
    seen["load_share"] = seen["cpu_seconds"] / max(spent, 1e-9)
    seen["took_seconds"] = time.monotonic() - began
    return seen
