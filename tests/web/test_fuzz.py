"""Whatever is sent, to any route: an answer below 500, and each error in the one shape."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from itertools import islice

import orjson
import pytest

from gateway.auth.keys import new_key
from gateway.model import ApiKey, Role
from tests.conftest import STORES
from tests.harness.app import House
from tests.harness.fuzzing import SESSION, Attempt, Fuzzer, verdict
from tests.harness.gateways import GatewayProcess
from tests.web.conftest import OpenHouse

JSON_BODY = {"Content-Type": "application/json"}


def key_of(house: House) -> str:
    secret, digest = new_key("fuzzer")
    house.sessions.store.owners.add_key(ApiKey("fuzzer", digest, "acme", Role.ADMIN, None, 1))
    return f"Bearer {secret}"


def failures(house: House, seed: int, *, rounds: int = 1, every: int = 1, **headers: str) -> list[tuple[str, Attempt]]:
    found = []
    for number, attempt in enumerate(islice(Fuzzer(house.app, seed).attempts(rounds), None, None, every)):
        if number % 10 == 0 and (headers or house.app.settings.auth == "none"):
            # Some attempt may have erased it.
            make = Attempt("POST", b"/sessions", headers=JSON_BODY, body=orjson.dumps({"session_id": SESSION}))
            assert make.send(house.app, **headers).status_code in (200, 201)
        if wrong := verdict(attempt.send(house.app, **headers)):
            found.append((wrong, attempt))
    return found


def test_no_request_to_any_route_makes_the_gateway_fail(open_house: OpenHouse) -> None:
    house = open_house("memory", settings={"busy_wait_seconds": 0.2})
    assert failures(house, seed=1, rounds=2) == []


def test_no_request_makes_it_fail_with_auth_either(open_house: OpenHouse) -> None:
    house = open_house("memory", settings={"busy_wait_seconds": 0.2, "auth": "keys"})
    assert failures(house, seed=2, Authorization=key_of(house)) == []
    assert failures(house, seed=3, every=5) == []


@pytest.mark.parametrize("store", [store for store in STORES if store != "memory"])
def test_no_request_makes_any_store_fail(open_house: OpenHouse, store: str) -> None:
    """A text that one store cannot keep is refused before every store."""
    house = open_house(store, settings={"busy_wait_seconds": 0.2})
    assert failures(house, seed=4, every=5) == []


# --- Limits ------------------------------------------------------------------------------------------------


def nested_in(field: str, levels: int) -> bytes:
    """A body with so many levels altogether."""
    return b'{"%b":' % field.encode() + b'{"a":' * (levels - 2) + b"{}" + b"}" * (levels - 1)


def refusal(house: House, method: str, path: str, body: bytes) -> tuple[int, str, str | None]:
    answer = Attempt(method, path.encode(), headers=JSON_BODY, body=body).send(house.app)
    error = answer.get_json()["error"]
    return answer.status_code, error["code"], error["param"]


def test_a_body_is_nested_64_levels_deep_at_most(house: House) -> None:
    house.make("deep")
    kept = Attempt("PATCH", b"/sessions/deep", headers=JSON_BODY, body=nested_in("data", 64)).send(house.app)
    assert kept.status_code == 200
    assert house.get("/sessions/deep")["data"] == kept.get_json()["data"]
    assert refusal(house, "PATCH", "/sessions/deep", nested_in("data", 65)) == (400, "invalid_request", None)
    assert refusal(house, "POST", "/v1/responses", nested_in("text", 500)) == (400, "invalid_request", None)


def test_brackets_in_texts_are_no_levels(house: House) -> None:
    house.make("brackets", data={"a": "[{" * 500})
    assert house.get("/sessions/brackets")["data"] == {"a": "[{" * 500}


def test_a_request_brings_2000_items_at_most(house: House) -> None:
    house.make("many")
    item = {"role": "user", "content": "a"}
    for path, field in (("/sessions/many/items", "items"), ("/workflow", "input"), ("/v1/responses", "input")):
        body = orjson.dumps({field: [item] * 2001})
        assert refusal(house, "POST", path, body) == (400, "invalid_request", field)
    assert len(house.add("many", *[item] * 2000)["data"]) == 2000


@pytest.mark.parametrize(
    "path", ["/sessions/a%00b", "/sessions?prefix=%00", "/sessions/a/turns/%00", "/v1/responses/%00"]
)
def test_an_address_has_no_nul(house: House, path: str) -> None:
    assert house.error(400, "GET", path)["code"] == "invalid_request"


def test_slashes_lead_nowhere_else(house: House) -> None:
    assert refusal(house, "GET", "/sessions//turns", b"") == (404, "not_found", None)


# --- Through a real server ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("fuzzed")
    served = GatewayProcess(GATEWAY_STORE="memory:", GATEWAY_LOCAL_DB=folder / "provider.db", GATEWAY_MAX_BODY="64KiB")
    try:
        yield served.start()
    finally:
        served.close()


Send = Callable[[bytes], tuple[int, bytes]]


@pytest.fixture
def send(process: GatewayProcess) -> Send:
    """Sends these very bytes, and gives the status and the body of what is answered: 0 when nothing is."""

    def send_(request: bytes) -> tuple[int, bytes]:
        with socket.create_connection(("127.0.0.1", process.port), timeout=20) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while part := connection.recv(65536):
                answer += part
        if not answer:
            return 0, b""
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1]), body

    return send_


def post(path: str, body: bytes, *headers: bytes) -> bytes:
    lines = [b"POST %b HTTP/1.1" % path.encode(), b"Host: 127.0.0.1", b"Content-Type: application/json", *headers]
    return b"\r\n".join(lines) + b"\r\nConnection: close\r\n\r\n" + body


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


@pytest.mark.parametrize("path", ["/workflow", "/sessions", "/v1/responses"])
def test_a_body_that_is_too_large_is_413_also_in_chunks(send: Send, path: str) -> None:
    body = orjson.dumps({"input": "a" * 70_000})
    whole = send(post(path, body, b"Content-Length: %d" % len(body)))
    parts = send(post(path, chunked(body), b"Transfer-Encoding: chunked"))
    for status, answer in (whole, parts):
        assert (status, orjson.loads(answer)["error"]["code"]) == (413, "body_too_large")


ODD_REQUESTS = [
    post("/workflow", b"", b"Content-Length: -1"),
    post("/workflow", b"", b"Content-Length: a"),
    post("/workflow", b"{}", b"Content-Length: 2", b"Content-Length: 3"),
    post("/workflow", b"{}", b"Content-Length: 2000"),
    post("/workflow", b"{}", b"Content-Length: 2", b"Transfer-Encoding: chunked"),
    post("/workflow", b"zz\r\n{}\r\n", b"Transfer-Encoding: chunked"),
    post("/workflow", b"{}", b"No colon"),
    post("/workflow", b"{}", b"Odd\xff: 1"),
    post("/workflow", b"{}", b"X: a\x00b"),
    post("/workflow", b"{}", b"X: " + b"a" * 100_000),
    post("/workflow", b"{}", *[b"X-%d: a" % number for number in range(500)]),
    post("/sessions/\xff?\xff=\xfe", b""),
    post("/" + "a" * 10_000, b""),
    post("http://[/workflow", b""),
    b"GET /sessions?a=\xff HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
    b"GET  /sessions HTTP/1.1\r\n\r\n",
    b"GET /sessions HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\r\n\r\n\r\n",
]


@pytest.mark.parametrize("request_bytes", ODD_REQUESTS, ids=lambda sent: repr(sent[:40]))
def test_what_is_no_http_is_the_clients_mistake(send: Send, request_bytes: bytes) -> None:
    status, _ = send(request_bytes)
    assert status == 0 or 400 <= status < 500
