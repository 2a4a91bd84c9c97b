"""The log of a real gateway, after everything that can go well and wrong: a line a request, a line a turn, no texts."""

from __future__ import annotations

import logging
import os
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests

from gateway import logs
from gateway.auth.keys import new_key
from gateway.model import ApiKey, Role
from gateway.sessions import open_sessions
from tests.harness.gateways import GatewayProcess, parse_events
from tests.harness.proxy import TcpProxy
from tests.harness.servers import Postgres
from tests.harness.support import eventually
from tests.harness.upstream import UpstreamProcess

JSON = dict[str, Any]

WORDS = "grandmas-secret-recipe"
"""In everything that anybody says in these tests."""
PASSWORD = "the-stores-password"
PROVIDER_KEY = "sk-the-gateways-own"
WRONG_KEY = f"gw_tester_{'x' * 43}"

WORKFLOWS = f"""
def raises(turn):
    raise ValueError("what {WORDS} says: " + turn.input)
"""


class Scribe:
    """A client that keeps what it was answered, and reads the gateway's log."""

    def __init__(self, gateway: GatewayProcess, key: str | None = None) -> None:
        self.gateway = gateway
        self.secrets = [WORDS, PASSWORD, PROVIDER_KEY, WRONG_KEY, *([key] if key else [])]
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.answers: dict[str, requests.Response] = {}
        """By the ids of the requests."""
        self.turns: set[tuple[str, str]] = set()
        """The turns that were answered or begun, each with its request."""

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> requests.Response:
        named = self._headers | {name.replace("_", "-"): value for name, value in headers.items()}
        answer = requests.request(method, self.gateway.url + path, json=body, headers=named, timeout=60)
        self._keep(answer)
        if "json" in answer.headers["Content-Type"] and "turn_id" in (told := answer.json()):
            self.turns.add((told["turn_id"], answer.headers["X-Request-Id"]))
        return answer

    def say(self, session_id: str, *, path: str = "/workflow", **fields: object) -> requests.Response:
        return self.ask("POST", path, {"session_id": session_id, "input_as_text": WORDS, **fields})

    def stream(self, session_id: str, *, hang_up: bool = False) -> None:
        """A streamed turn, read to its end or to its first event."""
        body = {"session_id": session_id, "input_as_text": WORDS, "stream": True}
        url = f"{self.gateway.url}/workflow"
        with requests.post(url, json=body, headers=self._headers, stream=True, timeout=60) as answer:
            self._keep(answer)
            for _, told in parse_events(answer):
                if "turn_id" in told:
                    self.turns.add((told["turn_id"], answer.headers["X-Request-Id"]))
                if hang_up:
                    break

    def _keep(self, answer: requests.Response) -> None:
        self.answers[answer.headers["X-Request-Id"]] = answer

    # --- What was written ------------------------------------------------------------------------------------

    @property
    def text(self) -> str:
        return self.gateway.log.read_text()

    @property
    def lines(self) -> list[JSON]:
        """The log without the banner: as objects, every one of them."""
        plain = self.text.splitlines()
        begin = next(number for number, line in enumerate(plain) if line.startswith("{"))
        return [orjson.loads(line) for line in plain[begin:]]

    def lines_of(self, logger: str) -> list[JSON]:
        return [line for line in self.lines if line.get("logger") == logger]

    def line_of(self, answer: requests.Response, logger: str = "gateway.turn") -> JSON:
        """The one line of this logger about this request."""
        request_id = answer.headers["X-Request-Id"]
        [line] = [line for line in self.lines_of(logger) if line.get("request_id") == request_id]
        return line


@pytest.fixture(scope="module")
def upstream() -> Iterator[UpstreamProcess]:
    with UpstreamProcess(key=PROVIDER_KEY) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def networked(upstream: UpstreamProcess, postgres_database: str, postgres: Postgres) -> Iterator[Scribe]:
    """Gevent workers, a store behind a password, and keys."""
    key, digest = new_key("tester")
    url = postgres_database.replace("postgres@", f"postgres:{PASSWORD}@")
    assert PASSWORD in url
    with open_sessions(url, prefix="logs") as sessions:
        sessions.store.owners.add_key(ApiKey("tester", digest, "", Role.ADMIN, None, sessions.now()))
    with (
        TcpProxy(postgres.port) as network,
        GatewayProcess(
            GATEWAY_STORE=network.through(url),
            GATEWAY_STORE_PREFIX="logs",
            GATEWAY_AUTH="keys",
            GATEWAY_BUSY_WAIT="100ms",
            OPENAI_API_KEY=PROVIDER_KEY,
            OPENAI_BASE_URL=upstream.url,
        ) as gateway,
    ):
        scribe = Scribe(gateway, key)
        do_everything(scribe, upstream)
        network.cut()
        scribe.say("ann")
        scribe.ask("GET", "/sessions")
        network.heal()
        yield scribe


@pytest.fixture(scope="module")
def local(upstream: UpstreamProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scribe]:
    """Threads, a file, and a workflow that fails with words of its own."""
    folder = tmp_path_factory.mktemp("workflows")
    (folder / "flows.py").write_text(WORKFLOWS)
    with GatewayProcess(
        GATEWAY_STORE="json:sessions.json",
        GATEWAY_WORKFLOW="raises=flows:raises",
        PYTHONPATH=os.pathsep.join([str(folder), str(Path(__file__).parents[1])]),
        GATEWAY_BUSY_WAIT="100ms",
        OPENAI_API_KEY=PROVIDER_KEY,
        OPENAI_BASE_URL=upstream.url,
    ) as gateway:
        scribe = Scribe(gateway)
        do_everything(scribe, upstream)
        yield scribe


@pytest.fixture(params=["networked", "local"])
def scribe(request: pytest.FixtureRequest) -> Scribe:
    """Each of the two gateways, when all is done."""
    found: Scribe = request.getfixturevalue(request.param)
    return found


def do_everything(scribe: Scribe, upstream: UpstreamProcess) -> None:
    """Turns that go well, and others, and all that there is besides."""
    upstream.withdraw()
    scribe.say("ann", metadata={"note": WORDS}, data={"note": WORDS})
    scribe.stream("ann")
    scribe.stream("left", hang_up=True)
    for _ in range(2):
        scribe.ask("POST", "/workflow", {"session_id": "key", "input_as_text": WORDS}, Idempotency_Key=f"{WORDS}-1")
    scribe.ask("POST", "/workflow", {"session_id": "key", "input_as_text": "other"}, Idempotency_Key=f"{WORDS}-1")
    scribe.say("ann", path="/workflow/raises")
    scribe.say("ann", on_busy=WORDS)
    scribe.ask("POST", f"/workflow?{WORDS}={WORDS}", {"session_id": WORDS + "/", "input_as_text": WORDS})
    told = {"message": f"Do not say {WORDS}.", "code": "invalid_prompt"}
    for fault in (
        {"fault": "status", "status": 400, "error": told},
        {"fault": "status", "status": 401, "error": told},
        {"fault": "status", "status": 500, "error": told},
        {"fault": "failed", "error": told},
        {"fault": "flat_error", "error": told},
        {"fault": "hangup"},
        {"fault": "truncate", "events": 5},
        {"fault": "locked", "times": None},
        {"fault": "not_found"},
    ):
        for streamed in (False, True):
            upstream.faults({"match": "POST /v1/responses", **fault})
            scribe.stream("ann") if streamed else scribe.say("ann")
            upstream.withdraw()
    scribe.ask("POST", "/v1/responses", {"conversation": "ann", "input": WORDS, "model": "demo"})
    scribe.ask("POST", "/v1/responses", {"conversation": "ann", "input": WORDS, "model": "demo", "stream": True})
    scribe.ask("POST", "/v1/responses", {"input": WORDS, "model": "demo"})
    scribe.ask("GET", f"/v1/responses/{WORDS}")
    scribe.ask("POST", "/v1/conversations/ann/items", {"items": [{"role": "user", "content": WORDS}]})
    scribe.ask("GET", "/sessions/ann/items")
    scribe.ask("GET", "/sessions/ann/transcript")
    scribe.ask("PATCH", "/sessions/ann", {"data": {"note": WORDS}})
    scribe.ask("POST", "/sessions/ann/fork", {"session_id": "ann2"})
    scribe.ask("POST", "/sessions/ann/reset")
    upstream.faults({"match": "DELETE /v1/conversations/*", "fault": "status", "status": 500, "error": told})
    scribe.ask("DELETE", "/sessions/ann2")
    scribe.ask("DELETE", "/sessions/key")
    scribe.ask("GET", "/sessions", Authorization=f"Bearer {WRONG_KEY}")
    scribe.ask("GET", f"/{WORDS}")
    scribe.ask("PUT", "/sessions")
    broken = f"GET / HTTP/1.1\r\nHost: {WORDS}\r\nAuthorization Bearer {WRONG_KEY}\r\n\r\n"
    with socket.create_connection(scribe.gateway.address) as connection:
        connection.sendall(broken.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 400")


def test_it_has_no_text_no_key_and_no_password(scribe: Scribe) -> None:
    assert [secret for secret in scribe.secrets if secret in scribe.text] == []
    assert {"gateway.request", "gateway.turn", "gunicorn.error"} <= {line.get("logger") for line in scribe.lines}


def test_libraries_do_not_chat_in_it(scribe: Scribe) -> None:
    told = {line["logger"].partition(".")[0] for line in scribe.lines if line.get("level") == "info"}
    assert told == {"gateway", "gunicorn"}


def test_every_request_has_one_line(scribe: Scribe) -> None:
    def written() -> Counter[str]:
        return Counter(line["request_id"] for line in scribe.lines_of("gateway.request"))

    eventually(lambda: scribe.answers.keys() <= written().keys())
    assert set(written().values()) == {1}
    for answer in scribe.answers.values():
        line = scribe.line_of(answer, "gateway.request")
        assert (line["method"], line["status"]) == (answer.request.method, answer.status_code)
        assert line["ms"] > 0
        if answer.status_code >= 400:
            assert line["code"] == answer.json()["error"]["code"]


def test_every_turn_has_one_line_with_the_id_of_its_request(scribe: Scribe) -> None:
    def written() -> list[JSON]:
        return [line for line in scribe.lines_of("gateway.turn") if "outcome" in line]

    def ids(line: JSON) -> tuple[str | None, str]:
        return line.get("turn_id"), line["request_id"]

    eventually(lambda: scribe.turns <= {ids(line) for line in written()})
    assert set(Counter(line["request_id"] for line in written()).values()) == {1}
    # A turn that never came has no id, and one that is given again has two lines, one of them as a replay.
    turns = Counter(line["turn_id"] for line in written() if "turn_id" in line and "replayed" not in line)
    assert set(turns.values()) == {1}
    assert [line["turn_id"] in turns for line in written() if line.get("replayed")] == [True]
    assert all(line["ms"] >= line.get("wait_ms", 0) for line in written())


def test_a_turns_line_says_how_it_went(local: Scribe) -> None:
    lines = [line for line in local.lines_of("gateway.turn") if "outcome" in line]
    ends = {(line["outcome"], line.get("code")) for line in lines}
    assert {("completed", None), ("failed", "provider_error"), ("failed", "conversation_gone")} <= ends
    assert ("refused", "idempotency_key_reused") in ends
    whys = {(line.get("provider_status"), line.get("cause")) for line in lines if line["outcome"] == "failed"}
    assert {(500, None), (400, None), (None, "RemoteProtocolError")} <= whys
    assert {line["workflow"] for line in lines} == {"default", "raises", "/v1/responses"}
    first, streamed = [line for line in lines if line["session_id"] == "ann"][:2]
    assert "first_word_ms" not in first
    assert streamed["wait_ms"] < streamed["first_word_ms"] <= streamed["ms"]


def test_a_turn_whose_client_left_is_told_when_it_is_over(scribe: Scribe) -> None:
    [line] = eventually(lambda: [line for line in scribe.lines_of("gateway.turn") if line.get("session_id") == "left"])
    assert line["outcome"] == "completed"
    [request] = [r for r in scribe.lines_of("gateway.request") if r["request_id"] == line["request_id"]]
    assert request["route"] == "/workflow"


def test_a_failing_workflow_is_told_by_where_it_failed(local: Scribe) -> None:
    [line] = [line for line in local.lines_of("gateway.turn") if line.get("level") == "error"]
    assert line["exception"][0] == "builtins.ValueError"
    assert line["exception"][-1].endswith("flows.py:3 in raises")
    assert line["request_id"] in local.answers


def test_who_called_is_named(networked: Scribe) -> None:
    named = {line.get("principal"): line["status"] for line in networked.lines_of("gateway.request")}
    assert named.keys() == {None, "key:tester"}
    [refused] = [line for line in networked.lines_of("gateway.request") if line["status"] == 401]
    assert "principal" not in refused


def test_a_store_that_is_away_is_told(networked: Scribe) -> None:
    away = [line["route"] for line in networked.lines_of("gateway.request") if line.get("code") == "store_unavailable"]
    assert away == ["/workflow", "/sessions"]


# --- On a terminal ------------------------------------------------------------------------------------------------


@pytest.fixture
def terminal() -> Iterator[Callable[[str], str]]:
    """What a line that is formatted for a terminal reads like."""
    master, slave = os.openpty()
    with os.fdopen(slave, "w") as stream, os.fdopen(master):
        yield lambda message: logs.formatter(stream).format(record(message))


def record(message: str) -> logging.LogRecord:
    made = logging.LogRecord("gateway.turn", logging.WARNING, "", 0, message, None, None)
    made.__dict__["fields"] = {"turn_id": "turn_1", "ms": 12.5}
    return made


def test_a_person_reads_colours_and_a_machine_reads_json(terminal: Callable[[str], str], tmp_path: Path) -> None:
    read = terminal("turn failed")
    assert "\x1b[33mturn failed\x1b[0m" in read
    assert "  turn_id=turn_1  ms=12.5" in read
    with (tmp_path / "log").open("w") as file:
        line = orjson.loads(logs.formatter(file).format(record("turn failed")))
    assert line.items() >= {"level": "warning", "message": "turn failed", "turn_id": "turn_1", "ms": 12.5}.items()


def test_a_text_that_is_no_unicode_is_a_line_too(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        line = logs.formatter(file).format(record("half a \ud83d"))
    assert orjson.loads(line.replace("\\ud83d", "?"))["message"] == "half a ?"
