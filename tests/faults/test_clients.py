"""Clients that are slow, or do nothing at all, on a gevent gateway: nobody else notices."""

import contextlib
import resource
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import orjson
import pytest

from tests.conftest import StoreAddress
from tests.servers import Valkey
from tests.soak.gateways import NamedGateway
from tests.support import eventually
from tests.upstream_http import serving

IDLE = 10_000
WORD = "word " * 1000
WORDS = 400
TEXT_BYTES = len(WORD) * WORDS


def talkative(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """A provider that says two megabytes to one who wants a stream, and a word to everybody else."""
    if environ["PATH_INFO"] != "/v1/responses":
        start_response("200 OK", [("Content-Type", "application/json")])
        return [orjson.dumps({"id": f"conv_{'0' * 48}", "object": "conversation", "metadata": {}})]
    if not orjson.loads(environ["wsgi.input"].getbuffer()).get("stream"):
        start_response("200 OK", [("Content-Type", "application/json")])
        return [orjson.dumps(response("a word"))]
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    return stream()


def stream() -> Iterator[bytes]:
    yield frame("response.created", response=response("") | {"status": "in_progress"})
    for _ in range(WORDS):
        yield frame("response.output_text.delta", delta=WORD)
    yield frame("response.completed", response=response(WORD * WORDS))


def response(text: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": content}
    return {"id": f"resp_{'0' * 50}", "object": "response", "status": "completed", "model": "m", "output": [message]}


def frame(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind, **fields}))


@pytest.fixture(scope="module")
def gateway(valkey: Valkey) -> Iterator[NamedGateway]:
    store = StoreAddress("valkey", valkey.url(), "clients")
    with serving(talkative) as url:
        settings = {"GATEWAY_STORE": store.url, "GATEWAY_STORE_PREFIX": store.prefix, "OPENAI_BASE_URL": f"{url}/v1"}
        # Who is silent is not sent away before the test is over, however slow the machine.
        with NamedGateway("sk", GUNICORN_CMD_ARGS="--keep-alive=600", **settings) as gateway:
            yield gateway


def test_one_who_reads_byte_by_byte_gets_a_turn_that_ends_at_its_own_pace(gateway: NamedGateway) -> None:
    """The turn is over and recorded while nearly all of it is still to be read, and the text is kept a few times at
    most, not once for every word."""
    gateway.say("warm", "up")
    before = memory(gateway)
    with connected(gateway) as connection:
        body = orjson.dumps({"session_id": "slow", "input_as_text": "hello", "stream": True})
        head = f"POST /workflow HTTP/1.1\r\nHost: {gateway.url[7:]}\r\nContent-Length: {len(body)}\r\n"
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
        assert b"".join(connection.recv(1) for _ in range(12)) == b"HTTP/1.1 200"
        eventually(lambda: [turn["state"] for turn in turns(gateway, "slow")] == ["completed"])
        assert connection.recv(1) == b" "
        assert memory(gateway) - before < 20 * TEXT_BYTES


def test_those_who_send_a_byte_now_and_then_hold_nobody_up(gateway: NamedGateway) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(connected(gateway)) for _ in range(300)]
        for byte in b"POST":
            for connection in slow:
                connection.send(bytes([byte]))
            assert gateway.say("quick", "hello")["status"] == "completed"


def test_ten_thousand_who_are_connected_and_say_nothing_hold_nobody_up(gateway: NamedGateway) -> None:
    with many_files(IDLE), ExitStack() as stack:
        for _ in range(IDLE):
            stack.enter_context(connected(gateway))
        (worker,) = gateway.workers()
        eventually(lambda: len(list((worker / "fd").iterdir())) > IDLE)
        assert gateway.say("quick", "hello")["status"] == "completed"
        assert gateway.get("/healthz").status_code == 200


def connected(gateway: NamedGateway) -> socket.socket:
    return socket.create_connection(gateway.address, timeout=30)


def turns(gateway: NamedGateway, session_id: str) -> list[dict[str, Any]]:
    answer = gateway.get(f"/sessions/{session_id}/turns").json()
    found: list[dict[str, Any]] = answer.get("data", [])
    return found


def memory(gateway: NamedGateway) -> int:
    (worker,) = gateway.workers()
    return int((worker / "statm").read_text().split()[1]) * resource.getpagesize()


@contextmanager
def many_files(number: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < number * 3 // 2:  # the gateway takes three quarters of them for its clients
        pytest.skip(f"a process may open {hard} files here at most")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, number + 1000), hard))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
