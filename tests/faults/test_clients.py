"""Clients that are slow, or do nothing at all, on either kind of worker: nobody else notices."""

from __future__ import annotations

import contextlib
import itertools
import resource
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import orjson
import pytest

from tests.harness.servers import Valkey
from tests.harness.stub_provider import CONVERSATION_ID, CREATED, frame, response, words
from tests.harness.support import eventually
from tests.harness.upstream_http import serving
from tests.soak.gateways import NamedGateway

IDLE = 10_000
WORD = "word " * 1000
WORDS = 400
TEXT_BYTES = len(WORD) * WORDS
THREADS = 16
LIMIT = 5

_numbers = itertools.count(1)


def talkative(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """A provider that says two megabytes to one who asks for much, and a word to everybody else."""
    if environ["PATH_INFO"] != "/v1/responses":
        start_response("200 OK", [("Content-Type", "application/json")])
        return [orjson.dumps({"id": CONVERSATION_ID, "object": "conversation", "metadata": {}})]
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    return much() if orjson.loads(environ["wsgi.input"].read())["input"] == "much" else words("a word")


def much() -> Iterator[bytes]:
    yield CREATED
    for _ in range(WORDS):
        yield frame("response.output_text.delta", delta=WORD)
    yield frame("response.completed", response=response(WORD * WORDS))


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    with serving(talkative) as url:
        yield f"{url}/v1"


def settings_of(request: pytest.FixtureRequest, provider: str) -> dict[str, object]:
    """Of a gateway whose worker is of the kind that the test's parameter names."""
    if request.param == "gthread":
        store = {"GATEWAY_STORE": "json:sessions.json", "GATEWAY_THREADS": THREADS}
    else:
        valkey: Valkey = request.getfixturevalue("valkey")
        store = {"GATEWAY_STORE": valkey.url(), "GATEWAY_STORE_PREFIX": f"clients{next(_numbers)}"}
    return {"OPENAI_BASE_URL": provider, **store}


KINDS = ["gthread", "gevent"]


@pytest.fixture(scope="module", params=KINDS)
def gateway(request: pytest.FixtureRequest, provider: str) -> Iterator[NamedGateway]:
    settings = settings_of(request, provider)
    if request.param == "gevent":
        # Who is silent is not sent away before the test is over, however slow the machine.
        settings |= {"GUNICORN_CMD_ARGS": "--keep-alive=600"}
    with NamedGateway("sk", **settings) as gateway:
        yield gateway


@pytest.fixture(params=KINDS)
def fresh(request: pytest.FixtureRequest, provider: str) -> Iterator[NamedGateway]:
    """One for this test alone, with few places."""
    with NamedGateway("sk", GATEWAY_PRINCIPAL_TURN_LIMIT=LIMIT, **settings_of(request, provider)) as gateway:
        yield gateway


def post(gateway: NamedGateway, session_id: str, *, path: str = "/workflow", stream: bool = True) -> bytes:
    """A request for much."""
    named = {"session_id": session_id} if path == "/workflow" else {"model": "m", "conversation": session_id}
    body = orjson.dumps({"input": "much", "stream": stream, **named})
    head = f"POST {path} HTTP/1.1\r\nHost: {gateway.url[7:]}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Content-Type: application/json\r\n\r\n" + body


def test_one_who_reads_byte_by_byte_gets_a_turn_that_ends_at_its_own_pace(gateway: NamedGateway) -> None:
    """The turn is over and recorded while nearly all of it is still to be read."""
    with connected(gateway) as connection:
        connection.sendall(post(gateway, "slow"))
        assert b"".join(connection.recv(1) for _ in range(12)) == b"HTTP/1.1 200"
        eventually(lambda: [turn["state"] for turn in turns(gateway, "slow")] == ["completed"])
        assert connection.recv(1) == b" "


@pytest.mark.parametrize("path", ["/workflow", "/v1/responses"])
def test_those_who_do_not_read_cost_less_than_what_is_said_to_them(gateway: NamedGateway, path: str) -> None:
    gateway.say("warm", "up")
    before = memory(gateway)
    with ExitStack() as stack:
        for number in range(33):
            connection = stack.enter_context(connected(gateway))
            connection.sendall(post(gateway, f"unread{path[1:3]}{number}", path=path))
        eventually(lambda: states(gateway, f"unread{path[1:3]}") == ["completed"] * 33)
        eventually(lambda: memory(gateway) - before < 33 * TEXT_BYTES)


def test_more_than_there_are_threads_who_do_not_read_hold_nobody_up(gateway: NamedGateway) -> None:
    with ExitStack() as stack:
        for number in range(2 * THREADS):
            connection = stack.enter_context(connected(gateway))
            connection.sendall(post(gateway, f"whole{number}", stream=False))
        eventually(lambda: states(gateway, "whole") == ["completed"] * 2 * THREADS)
        assert gateway.say("quick", "hello")["status"] == "completed"
        assert gateway.get("/healthz").status_code == 200


def test_a_turn_has_its_place_until_its_client_has_read_the_reply_or_is_gone(fresh: NamedGateway) -> None:
    with ExitStack() as stack:
        for number in range(LIMIT):
            connection = stack.enter_context(connected(fresh))
            connection.sendall(post(fresh, f"placed{number}", stream=bool(number % 2)))
        eventually(lambda: states(fresh, "placed") == ["completed"] * LIMIT)
        assert fresh.turn("refused", "hello").json()["error"]["code"] == "rate_limited"
    eventually(lambda: fresh.turn("refused", "hello").status_code == 200)


def states(gateway: NamedGateway, prefix: str) -> list[str]:
    """What became of the turns of all sessions whose names begin like this."""
    found = gateway.get("/sessions", params={"prefix": prefix, "limit": 100}).json()["data"]
    return [turn["state"] for session in found for turn in turns(gateway, session["session_id"])]


HEAD = b"POST /workflow HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
BEGINNINGS = {
    "nothing": b"",
    "a byte": b"P",
    "half a head": HEAD,
    "half a body": HEAD + b'Content-Length: 100\r\n\r\n{"input_as_text": "',
    "half a chunk": HEAD + b'Transfer-Encoding: chunked\r\n\r\nff\r\n{"input_as_text": "',
    "half a second request": b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nPOST /work",
}


def test_those_who_begin_and_do_not_go_on_hold_nobody_up(gateway: NamedGateway) -> None:
    with ExitStack() as stack:
        slow = []
        for beginning in BEGINNINGS.values():
            for _ in range(4 * THREADS):
                slow.append(stack.enter_context(connected(gateway)))
                slow[-1].sendall(beginning)
            assert gateway.say("quick", "hello")["status"] == "completed"
        for byte in b"abcd":
            for connection in slow:
                with contextlib.suppress(OSError):  # what is no request any more has been refused
                    connection.send(bytes([byte]))
            assert gateway.say("quick", "hello")["status"] == "completed"


def test_one_who_sends_a_byte_at_a_time_is_served_like_others(gateway: NamedGateway) -> None:
    body = orjson.dumps({"session_id": "patient", "input_as_text": "hello"})
    whole = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with connected(gateway) as connection:
        for _ in range(2):  # kept alive in between
            for byte in whole:
                connection.send(bytes([byte]))
            assert connection.recv(12) == b"HTTP/1.1 200"
            while b"pending_calls" not in connection.recv(65536):
                pass


@pytest.mark.parametrize("expecting", [b"", b"Expect: 100-continue\r\n"])
@pytest.mark.parametrize("apart", [1000, 65536, 10_000_000])
def test_long_bodies_come_through_whole(gateway: NamedGateway, apart: int, expecting: bytes) -> None:
    text = "x" * 500_000
    body = orjson.dumps({"session_id": f"long{apart}", "input_as_text": text})
    with connected(gateway) as connection:
        connection.sendall(HEAD + expecting + b"Content-Length: %d\r\n\r\n" % len(body))
        if expecting:
            assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        for start in range(0, len(body), apart):
            connection.sendall(body[start : start + apart])
        answer = connection.recv(65536)
        assert b"HTTP/1.1 200" in answer, answer
    body = b"{" + b" " * 2_000_000 + b"}"
    with connected(gateway) as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body))
        with contextlib.suppress(OSError):  # it may be refused before its end
            connection.sendall(body)
        assert connection.recv(12) == b"HTTP/1.1 413"


def test_requests_may_come_before_the_replies_to_those_before_them(gateway: NamedGateway) -> None:
    one = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with connected(gateway) as connection:
        connection.sendall(one * 50)
        said = b""
        while said.count(b'{"status":"ok"}') < 50:
            said += connection.recv(65536)
        assert said.count(b"HTTP/1.1 200 OK") == 50


def test_ten_thousand_who_are_connected_and_say_nothing_hold_nobody_up(gateway: NamedGateway) -> None:
    with many_files(IDLE), ExitStack() as stack:
        for _ in range(IDLE):
            stack.enter_context(connected(gateway))
        (worker,) = gateway.workers()
        eventually(lambda: len(list((worker / "fd").iterdir())) > IDLE)
        assert gateway.say("quick", "hello")["status"] == "completed"
        assert gateway.get("/healthz").status_code == 200


def test_none_of_them_holds_up_a_stop(fresh: NamedGateway) -> None:
    """Its grace is five minutes, and what is no request does not get them."""
    with ExitStack() as stack:
        for beginning in BEGINNINGS.values():
            connection = stack.enter_context(connected(fresh))
            connection.sendall(beginning)
        assert fresh.say("ann", "hello")["status"] == "completed"
        assert fresh.terminate() == 0


# --- What cannot be read -------------------------------------------------------------------------------------

REFUSED = [
    (b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 9000 + b"\r\n\r\n", 431),
    (b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
    (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 414),
    (b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: foo\r\n\r\n", 417),
    (b"GET /healthz HTTP/9.1\r\nHost: 127.0.0.1\r\n\r\n", 400),
    (b"GET /healthz HTTP/1.1\r\nBad Header: x\r\n\r\n", 400),
    (b"POST /workflow HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: foo\r\n\r\n", 501),
    (b"no HTTP at all\r\n\r\n", 400),
]


@pytest.mark.parametrize(("said", "status"), REFUSED)
def test_what_is_refused_before_it_is_a_request_is_refused_in_the_same_shape(
    gateway: NamedGateway, said: bytes, status: int
) -> None:
    with connected(gateway) as connection:
        connection.sendall(said)
        head, _, body = read_to_the_end(connection).partition(b"\r\n\r\n")
    error = orjson.loads(body)["error"]
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert (error["code"], error["type"], error["param"]) == ("invalid_request", "invalid_request_error", None)
    assert b"\r\nX-Request-Id: %b\r\n" % error["request_id"].encode() in head
    assert b"\r\nx-should-retry: false\r\n" in head
    assert error["request_id"] in gateway.log.read_text()


def test_no_header_stands_for_what_the_server_says(gateway: NamedGateway) -> None:
    with connected(gateway) as connection:
        connection.sendall(
            b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nSCRIPT_NAME: /x\r\nPATH_INFO: /metrics\r\n"
            b"Connection: close\r\n\r\n"
        )
        answer = read_to_the_end(connection)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b'{"status":"ok"}')


def read_to_the_end(connection: socket.socket) -> bytes:
    said = b""
    while piece := connection.recv(65536):
        said += piece
    return said


def connected(gateway: NamedGateway) -> socket.socket:
    connection = socket.socket()
    connection.settimeout(30)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(gateway.address)
    return connection


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
