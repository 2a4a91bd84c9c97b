"""The connections to the provider: which are used again, which never, and what each failure says of the request."""

from __future__ import annotations

import gc
import gzip
import multiprocessing
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import httpx2
import pytest

from gateway.errors import (
    GatewayError,
    ProviderError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    UnreadableAnswerError,
)
from gateway.metrics.meters import MeteredProvider
from gateway.providers import transport
from gateway.providers.openai import OpenAIProvider
from gateway.providers.retry import Patience
from gateway.providers.transport import PooledTransport
from gateway.sockets import peek
from gateway.testing.waiting import eventually
from gateway.workflows.conversation import Conversation

JSON_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
SECONDS = 10.0


class Service:
    """A provider whose every byte the test decides: `answers` is called with each connection and request."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.connections: list[socket.socket] = []
        self.answer: Callable[[socket.socket, bytes], None] = lambda connection, _: connection.sendall(JSON_ANSWER)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            while request := self._read(connection):
                self.requests.append(request)
                self.answer(connection, request)

    @staticmethod
    def _read(connection: socket.socket) -> bytes:
        read = b""
        while b"\r\n\r\n" not in read:
            piece = connection.recv(65536)
            if not piece:
                return b""
            read += piece
        head, _, body = read.partition(b"\r\n\r\n")
        named = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        while named and len(body) < int(named[0].split(b":")[1]):
            body += connection.recv(65536)
        return head + b"\r\n\r\n" + body

    def hang_up(self) -> None:
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits on it, which close() does not
        self._listener.close()
        self.hang_up()


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def client() -> Iterator[httpx2.Client]:
    with httpx2.Client(transport=PooledTransport(), timeout=SECONDS) as client:
        yield client


@pytest.fixture
def provider(service: Service) -> Iterator[OpenAIProvider]:
    provider = OpenAIProvider(api_key="sk-test", base_url=service.url + "/v1", timeout_seconds=SECONDS)
    yield provider
    provider.close()


def json_answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def frames(*events: str) -> bytes:
    """Server-sent events, each as a chunk of its own."""
    whole = [f'event: {event}\ndata: {{"type":"{event}"}}\n\n'.encode() for event in events]
    return b"".join(b"%x\r\n%b\r\n" % (len(frame), frame) for frame in whole)


def stream(*events: str) -> bytes:
    """A whole answer that is made of these."""
    return STREAM_HEAD + frames(*events) + b"0\r\n\r\n"


def saying(said: bytes, *, apart: int = 65536, then_ends: bool = False) -> Callable[[socket.socket, bytes], None]:
    """An answer of these bytes, so many of them at a time; `then_ends`: and nothing ever comes after it."""

    def answer(connection: socket.socket, request: bytes) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(said), apart):
            connection.sendall(said[start : start + apart])
        if then_ends:
            connection.shutdown(socket.SHUT_WR)

    return answer


def hang_up(connection: socket.socket, request: bytes) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def reset(connection: socket.socket, request: bytes) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


# --- Which connections are used again ------------------------------------------------------------------------


def test_calls_one_after_the_other_share_a_connection(service: Service, client: httpx2.Client) -> None:
    for _ in range(3):
        assert client.post(service.url, json={"a": 1}).json() == {}

    assert (len(service.requests), len(service.connections)) == (3, 1)


def test_nobody_waits_for_the_connection_of_another(service: Service, client: httpx2.Client) -> None:
    everybody_is_there = threading.Barrier(64)

    def answer(connection: socket.socket, request: bytes) -> None:
        everybody_is_there.wait(SECONDS)
        connection.sendall(JSON_ANSWER)

    service.answer = answer
    with ThreadPoolExecutor(64) as threads:
        for _ in range(2):
            assert all(reply.status_code == 200 for reply in threads.map(client.post, [service.url] * 64))

    assert len(service.connections) == 64, "the second burst found the connections of the first"


def test_a_connection_that_the_server_has_closed_meanwhile_costs_no_call(
    service: Service, client: httpx2.Client
) -> None:
    client.post(service.url)
    service.hang_up()

    assert client.post(service.url).status_code == 200
    assert len(service.requests) == 2


def test_an_answer_that_nobody_asked_for_is_never_taken_for_the_next_one(
    service: Service, client: httpx2.Client
) -> None:
    client.post(service.url)
    service.connections[0].sendall(JSON_ANSWER.replace(b"200 OK", b"500 No"))

    assert client.post(service.url).status_code == 200
    assert len(service.connections) == 2


def test_a_server_that_wants_to_close_is_believed(service: Service, client: httpx2.Client) -> None:
    service.answer = lambda connection, _: connection.sendall(
        JSON_ANSWER.replace(b"Content-Length", b"Connection: close\r\nContent-Length")
    )

    client.post(service.url)
    client.post(service.url)

    assert len(service.connections) == 2


@pytest.mark.parametrize(
    ("said", "kept_seconds"),
    [
        (b"", 4),
        (b"Keep-Alive: timeout=20\r\n", 19),
        (b"keep-alive: max=100, Timeout = 3\r\n", 2),
        (b"Keep-Alive: timeout=1\r\n", 0),
        (b"Keep-Alive: timeout=0\r\n", 0),
        (b"Keep-Alive: timeout=99999999999\r\n", 60),
        (b"Keep-Alive: max=100\r\n", 4),
    ],
)
def test_a_connection_is_kept_for_less_than_its_server_keeps_it(
    service: Service, client: httpx2.Client, monkeypatch: pytest.MonkeyPatch, said: bytes, kept_seconds: int
) -> None:
    now = 1000.0
    monkeypatch.setattr(transport, "time", SimpleNamespace(monotonic=lambda: now))
    service.answer = saying(JSON_ANSWER.replace(b"Content-Length", said + b"Content-Length"))
    client.post(service.url)
    if kept_seconds:
        now += kept_seconds - 0.1
        client.post(service.url)
    assert len(service.connections) == 1

    now += kept_seconds + 0.1
    client.post(service.url)
    assert len(service.connections) == 2


def test_what_a_burst_has_left_is_closed_when_it_has_grown_old(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "IDLE_SECONDS", 0.0)
    with httpx2.Client(transport=PooledTransport(), timeout=SECONDS) as client:
        client.post(service.url)
        client.post(service.url)

        assert len(service.connections) == 2
        eventually(lambda: service.connections[0].recv(1) == b"")


def test_a_stream_that_was_left_in_the_middle_is_closed_and_never_used_again(
    service: Service, client: httpx2.Client
) -> None:
    service.answer = lambda connection, _: connection.sendall(STREAM_HEAD + frames("one", "two"))
    with client.stream("POST", service.url) as answer:
        next(answer.iter_bytes())

    assert service.connections[0].recv(1) == b""
    service.answer = lambda connection, _: connection.sendall(JSON_ANSWER)
    assert client.post(service.url).json() == {}
    assert len(service.connections) == 2


def test_a_stream_that_said_its_last_word_leaves_its_connection_for_the_next_call(
    service: Service, provider: OpenAIProvider
) -> None:
    service.answer = saying(stream("response.created", "response.completed"))
    for _ in range(3):
        events = provider.stream_response({"input": "hello"})
        # A turn reads no further than to the event that ends its response.
        assert [next(events).type, next(events).type] == ["response.created", "response.completed"]
        events.close()

    assert len(service.connections) == 1


def test_an_error_holds_no_connection(service: Service, provider: OpenAIProvider) -> None:
    """Its traceback holds all that was under way."""
    service.answer = saying(stream("response.created"))
    conversation = Conversation(
        MeteredProvider(provider),
        "conv_1",
        patience=Patience(0),
        check=lambda: None,
        note=lambda response_id: None,
        stream=True,
    )
    errors = []
    for _ in range(2):
        with pytest.raises(UnreadableAnswerError) as caught:
            list(conversation.respond({"input": "hello"}))
        errors.append(caught)

    assert len(service.connections) == 1


def test_the_garbage_collector_closes_no_connection_that_another_call_may_have(
    service: Service, provider: OpenAIProvider
) -> None:
    service.answer = saying(stream("response.created", "response.completed"))
    for _ in range(2):
        circle: list[object] = [events := provider.stream_response({"input": "hello"})]
        circle.append(circle)
        assert [next(events).type, next(events).type] == ["response.created", "response.completed"]
        del circle, events
        gc.collect()

    assert len(service.connections) == 1


def test_a_connection_is_given_back_once_whoever_closes_its_answer(service: Service) -> None:
    class Owner:
        def __init__(self, answer: httpx2.Response) -> None:
            self.circle = self
            self.answer = answer

        def __del__(self) -> None:
            self.answer.close()

    with PooledTransport() as transport:
        owner = Owner(transport.handle_request(httpx2.Request("POST", service.url)))
        del owner
        gc.collect()
        both = [transport.handle_request(httpx2.Request("POST", service.url)) for _ in range(2)]

        assert len(service.connections) == 2, "neither call has the other's connection"
        for answer in both:
            answer.close()


def test_the_end_of_a_stream_is_waited_for_that_comes_just_after_its_last_word(
    service: Service, client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "LINGER_SECONDS", SECONDS)
    is_read = threading.Event()

    def answer(connection: socket.socket, request: bytes) -> None:
        connection.sendall(STREAM_HEAD + frames("response.completed"))
        is_read.wait(SECONDS)
        connection.sendall(b"0\r\n\r\n")

    service.answer = answer
    for _ in range(2):
        is_read.clear()
        with client.stream("POST", service.url) as stream:
            words = stream.iter_bytes()
            next(words)
            is_read.set()

    assert len(service.connections) == 1


@pytest.mark.parametrize("said", [b"5\r\nwords\r\nno length\r\n", b"5\r\nwords\r\n"], ids=["nonsense", "silence"])
def test_a_connection_whose_answer_could_not_be_read_is_never_used_again(service: Service, said: bytes) -> None:
    with httpx2.Client(transport=PooledTransport(), timeout=0.2) as client:
        service.answer = lambda connection, _: connection.sendall(STREAM_HEAD + said)
        with pytest.raises(httpx2.TransportError), client.stream("POST", service.url, content=b"{}") as answer:
            list(answer.iter_bytes())
        service.answer = lambda connection, _: connection.sendall(JSON_ANSWER)
        assert client.post(service.url, content=b"{}").json() == {}
    assert len(service.connections) == 2


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
@pytest.mark.parametrize("die", [hang_up, reset])
def test_what_does_no_harm_twice_is_sent_again_when_its_kept_connection_dies(
    service: Service, client: httpx2.Client, method: str, die: Callable[[socket.socket, bytes], None]
) -> None:
    client.post(service.url)
    answers = iter([die, saying(JSON_ANSWER)])
    service.answer = lambda connection, request: next(answers)(connection, request)

    assert client.request(method, service.url).status_code == 200
    assert [request.partition(b" ")[0].decode() for request in service.requests] == ["POST", method, method]
    assert len(service.connections) == 2


@pytest.mark.parametrize(
    ("method", "kept", "said", "requests"),
    [
        ("POST", True, b"", 1),
        ("GET", True, b"", 2),
        ("GET", False, b"", 1),
        ("GET", True, b"H", 1),
    ],
    ids=["a POST", "the second time", "on a new connection", "when its answer has begun"],
)
def test_it_is_never_sent_again(
    service: Service, client: httpx2.Client, method: str, kept: bool, said: bytes, requests: int
) -> None:
    if kept:
        client.post(service.url)
        service.requests.clear()
    service.answer = saying(said, then_ends=True)

    with pytest.raises(httpx2.RemoteProtocolError):
        client.request(method, service.url)
    assert len(service.requests) == requests


def test_silence_is_no_reason_to_send_it_again(service: Service) -> None:
    with httpx2.Client(transport=PooledTransport(), timeout=0.1) as client:
        client.post(service.url)
        service.answer = lambda connection, _: None
        with pytest.raises(httpx2.ReadTimeout):
            client.get(service.url)
    assert len(service.requests) == 2


def test_a_child_process_never_speaks_on_a_connection_of_its_parent(service: Service, client: httpx2.Client) -> None:
    client.post(service.url)
    child = multiprocessing.get_context("fork").Process(target=client.post, args=(service.url,))
    child.start()
    child.join(SECONDS)

    assert child.exitcode == 0
    client.post(service.url)
    assert (len(service.requests), len(service.connections)) == (3, 2)


# --- What goes over it ---------------------------------------------------------------------------------------


def test_a_request_goes_out_whole_with_the_key_and_no_retry_of_the_sdk(
    service: Service, provider: OpenAIProvider
) -> None:
    service.answer = lambda connection, request: connection.sendall(json_answer(b'{"id":"resp_1","data":[]}'))
    provider.list_items("conv_1", limit=2, include=["a", "b"])
    provider.create_response({"input": "h\N{LATIN SMALL LETTER E WITH ACUTE}"})

    first, second = service.requests
    assert first.startswith(b"GET /v1/conversations/conv_1/items?")
    assert b"include[]=a&include[]=b" in first.split(b" ")[1].replace(b"%5B", b"[").replace(b"%5D", b"]")
    head, _, body = second.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/responses HTTP/1.1\r\n")
    assert b"Authorization: Bearer sk-test" in head
    assert b"Content-Type: application/json" in head
    assert b"User-Agent: OpenAI/Python" in head
    assert body.decode() == '{"input":"h\N{LATIN SMALL LETTER E WITH ACUTE}","stream":true}'


def test_an_answer_comes_back_with_every_header_and_unpacked(service: Service, client: httpx2.Client) -> None:
    packed = gzip.compress(b'{"words":"as they were"}')
    service.answer = lambda connection, _: connection.sendall(
        b"HTTP/1.1 200 OK\r\nX-Request-Id: req_1\r\nX-Two: a\r\nX-Two: b\r\nX-Odd: \xe9\r\n"
        b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(packed), packed)
    )

    answer = client.post(service.url)

    assert answer.json() == {"words": "as they were"}
    assert (answer.headers["x-request-id"], answer.headers.get_list("x-two")) == ("req_1", ["a", "b"])


def test_a_line_break_in_a_header_is_sent_to_nobody(service: Service, client: httpx2.Client) -> None:
    with pytest.raises(httpx2.LocalProtocolError):
        client.post(service.url, headers={"X-Tenant": "a\r\nX-Admin: yes"})

    assert service.requests == []


def test_the_proxies_of_the_environment_are_used(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", service.url)
    provider = OpenAIProvider(api_key="sk-test", base_url="http://provider.invalid/v1", timeout_seconds=SECONDS)

    provider.list_models()

    assert service.requests[0].startswith(b"GET http://provider.invalid/v1/models HTTP/1.1")


# --- What a failure says of the request ----------------------------------------------------------------------


def fail(provider: OpenAIProvider) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        provider.create_response({"input": "hello"})
    return caught.value


def test_where_nobody_listens_the_call_surely_did_not_happen(free_port: int) -> None:
    error = fail(OpenAIProvider(api_key="sk-test", base_url=f"http://127.0.0.1:{free_port}/v1"))

    assert isinstance(error, ProviderUnavailableError)
    assert not error.in_doubt


def test_where_tls_cannot_be_agreed_on_the_call_surely_did_not_happen() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=lambda: listener.accept()[0].close(), daemon=True).start()
    error = fail(OpenAIProvider(api_key="sk-test", base_url=f"https://127.0.0.1:{listener.getsockname()[1]}/v1"))
    listener.close()

    assert isinstance(error, ProviderUnavailableError)
    assert not error.in_doubt


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"nonsense\r\n\r\n",
        JSON_ANSWER[:-1],
        STREAM_HEAD,
        STREAM_HEAD + b"zz\r\n",
    ],
    ids=["nothing", "half a head", "nonsense", "half a body", "no chunk", "no number"],
)
def test_a_connection_that_breaks_after_the_request_leaves_it_in_doubt_and_is_never_sent_again(
    service: Service, provider: OpenAIProvider, said: bytes
) -> None:
    provider.list_models()  # on a connection that has served before: there a retry would be most tempting

    def break_off(connection: socket.socket, request: bytes) -> None:
        connection.sendall(said)
        hang_up(connection, request)

    service.answer = break_off
    error = fail(provider)

    assert isinstance(error, ProviderError)
    assert error.in_doubt
    assert len(service.requests) == 2


@pytest.mark.parametrize("said", [b"", STREAM_HEAD + frames("response.created")], ids=["before", "in the middle of"])
def test_silence_ends_a_call_and_leaves_it_in_doubt(service: Service, said: bytes) -> None:
    service.answer = lambda connection, _: connection.sendall(said) if said else None
    provider = OpenAIProvider(api_key="sk-test", base_url=service.url + "/v1", timeout_seconds=0.05)

    with pytest.raises(ProviderTimeoutError) as caught:
        list(provider.stream_response({"input": "hello"}))

    assert caught.value.in_doubt
    assert service.connections[0].recv(1) == b"", "and the connection is not kept"


def test_an_answer_that_comes_before_the_request_was_read_is_heard(service: Service, client: httpx2.Client) -> None:
    """A server may refuse a large body, and hang up on the rest of it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def refuse() -> None:
        connection, _ = listener.accept()
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        connection.close()

    thread = threading.Thread(target=refuse, daemon=True)
    thread.start()

    answer = client.post(f"http://127.0.0.1:{listener.getsockname()[1]}", content=b"x" * 10_000_000)

    assert answer.status_code == 413
    listener.close()


def test_a_redirect_is_followed_as_the_sdk_would(service: Service, provider: OpenAIProvider) -> None:
    def answer(connection: socket.socket, request: bytes) -> None:
        moved = b"HTTP/1.1 307 Moved\r\nLocation: /v2/responses\r\nContent-Length: 0\r\n\r\n"
        connection.sendall(moved if b"/v1/" in request else json_answer(b'{"id":"resp_1"}'))

    service.answer = answer

    for _ in range(2):
        assert provider.create_response({"input": "hello"}) == {"id": "resp_1"}
    asked = [request.split(b" ")[1] for request in service.requests]
    # The first answer tells that there are redirects here.
    assert asked == [b"/v1/responses", *[b"/v1/responses", b"/v2/responses"] * 2]


# --- What is an answer, and what is none -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\nContent-Length:2\n\n{}",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\nContent-Length:\r\n 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nContent-Length: 9\r\n\r\n"
        b"1;a=b\r\n{\r\n01\r\n}\r\n0\r\nX: y\r\n\r\n",
    ],
    ids=["no reason", "line feeds", "after a 100", "folded headers", "chunks before a length"],
)
@pytest.mark.parametrize("apart", [1, 7, 65536], ids=["byte by byte", "in pieces", "at once"])
def test_an_answer_is_read_however_it_comes(service: Service, client: httpx2.Client, said: bytes, apart: int) -> None:
    service.answer = saying(said, apart=apart)
    for _ in range(2):
        assert client.post(service.url, content=b"{}").json() == {}
    assert len(service.connections) == 1


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}and more",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}",
    ],
    ids=["an old server", "no length", "more than it says", "a length beside another encoding"],
)
def test_after_some_answers_the_connection_is_done_with(service: Service, client: httpx2.Client, said: bytes) -> None:
    service.answer = saying(said, then_ends=b"Length" not in said)
    for _ in range(2):
        assert client.post(service.url, content=b"{}").json() == {}
    assert len(service.connections) == 2


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\n{}",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 200_000,
        STREAM_HEAD + b"2\r\n{}",
        STREAM_HEAD + b"1\r\n{}\r\n0\r\n\r\n",
        STREAM_HEAD + b"-2\r\n{}\r\n0\r\n\r\n",
        STREAM_HEAD + b"2\r\n{}\r\n" + b"0" * 200_000,
    ],
)
def test_what_is_no_answer_or_not_all_of_one_is_an_error(service: Service, client: httpx2.Client, said: bytes) -> None:
    service.answer = saying(said, then_ends=True)
    for _ in range(2):
        with pytest.raises(httpx2.RemoteProtocolError):
            client.post(service.url, content=b"{}")
    assert len(service.connections) == 2, "and its connection is not used again"


# --- A look at a connection -----------------------------------------------------------------------------------


def test_a_look_takes_nothing_and_waits_for_nothing() -> None:
    here, there = socket.socketpair()
    assert peek(here) == "quiet"
    there.sendall(b"!")
    assert peek(here) == "talks"
    assert here.recv(10) == b"!"
    there.close()
    assert peek(here) == "closed"
    here.close()
    assert peek(here) == "closed"


def test_a_connection_that_another_thread_closes_meanwhile_is_closed() -> None:
    class Closing(socket.socket):
        number: int

        def fileno(self) -> int:
            return self.number

    with Closing() as connection, Path(__file__).open() as file:
        for connection.number in (1 << 20, file.fileno()):  # nothing's any more, and a file's that was opened since
            assert peek(connection) == "closed"
