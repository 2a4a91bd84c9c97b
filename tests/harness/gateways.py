"""The gateway as its users run it: `gateway serve` in a process of its own, spoken to over HTTP."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import orjson
import requests

from gateway.errors import GatewayError
from gateway.model import SessionKey, TurnRecord, new_turn_id
from gateway.sessions import SessionManager, open_sessions
from tests.conftest import StoreAddress
from tests.harness.server import Server

JSON = dict[str, Any]


class GatewayProcess(Server):
    """One `gateway serve`, with one worker unless `WEB_CONCURRENCY` says otherwise."""

    name = "gateway"

    def __init__(self, **settings: object) -> None:
        super().__init__()
        self._settings = {name: str(value) for name, value in settings.items()}

    @classmethod
    def on(cls, store: StoreAddress, upstream: Any, **settings: object) -> Self:
        """One on this store, with this process as its hosted provider."""
        return cls(
            GATEWAY_STORE=store.url,
            GATEWAY_STORE_PREFIX=store.prefix,
            OPENAI_API_KEY=upstream.key or "sk-test",
            OPENAI_BASE_URL=upstream.url,
            **settings,
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str | Path]:
        return [sys.executable, "-m", "gateway", "serve"]

    def environ(self) -> dict[str, str]:
        clean = {
            name: value for name, value in super().environ().items() if not name.startswith(("GATEWAY_", "OPENAI_"))
        }
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, [root, clean.get("PYTHONPATH", "")]))
        return {**clean, "PYTHONPATH": path, "PORT": str(self.port), "WEB_CONCURRENCY": "1", **self._settings}

    def ping(self) -> None:
        requests.get(f"{self.url}/readyz", timeout=5).raise_for_status()

    def kill(self) -> None:
        """A crash of the whole gateway: its workers die with the process that made them."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        super().kill()

    def terminate(self) -> int:
        """SIGTERM, and the exit code once it is gone."""
        process = self._process
        assert process is not None
        self.stop()
        return process.returncode

    # --- What a client does ----------------------------------------------------------------------------------

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=60, **options)

    def post(self, path: str, body: object, **headers: str) -> requests.Response:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.post(self.url + path, json=body, headers=names, timeout=60)

    def turn(self, session_id: str, text: str, *, key: str | None = None, **fields: object) -> requests.Response:
        headers = {"Idempotency_Key": key} if key else {}
        return self.post("/workflow", {"session_id": session_id, "input_as_text": text, **fields}, **headers)

    def say(self, session_id: str, text: str, **fields: Any) -> JSON:
        """A turn that must succeed."""
        answer = self.turn(session_id, text, **fields)
        assert answer.status_code == 200, answer.text
        reply: JSON = answer.json()
        return reply

    @contextmanager
    def stream(self, session_id: str, text: str, **fields: object) -> Iterator[Iterator[tuple[str, JSON]]]:
        """A streamed turn, event by event; leaving the block hangs up."""
        body = {"session_id": session_id, "input_as_text": text, "stream": True, **fields}
        with requests.post(f"{self.url}/workflow", json=body, stream=True, timeout=60) as answer:
            assert answer.status_code == 200, answer.text
            yield parse_events(answer)

    def record(self, session_id: str, turn_id: str) -> JSON:
        answer = self.get(f"/sessions/{session_id}/turns/{turn_id}")
        assert answer.status_code == 200, answer.text
        record: JSON = answer.json()
        return record


def parse_events(answer: requests.Response) -> Iterator[tuple[str, JSON]]:
    """The named events of a server-sent stream."""
    name = ""
    for line in answer.iter_lines(chunk_size=1):
        if line.startswith(b"event: "):
            name = line[7:].decode()
        elif line.startswith(b"data: "):
            yield name, orjson.loads(line[6:])


class Clients:
    """Many requests at once, each on a thread of its own."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads)

    def start(self, function: Any, *args: Any, **options: Any) -> Future[Any]:
        return self._pool.submit(function, *args, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._pool.shutdown()


@contextmanager
def opened(store: StoreAddress) -> Iterator[SessionManager]:
    with open_sessions(store.url, prefix=store.prefix) as sessions:
        yield sessions


def turns_before(sessions: SessionManager, session_id: str) -> int:
    """How many tickets a new one would find before it: the session's holder and all who wait."""
    key = SessionKey("", session_id)
    ticket = TurnRecord(new_turn_id(), *key)
    try:
        return sessions.store.tickets.enter(ticket, queue_limit=10_000).before
    except GatewayError:
        return -1
    finally:
        sessions.store.tickets.withdraw(key, ticket.turn_id)
