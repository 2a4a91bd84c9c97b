"""The delivered nginx configuration, in a real nginx before real gateways."""

import threading
from collections.abc import Iterable, Iterator
from typing import NoReturn

import pytest
import requests

from tests.conftest import StoreAddress
from tests.harness.gateways import Clients, GatewayProcess
from tests.harness.nginx import Nginx
from tests.harness.servers import ServerMissingError, Valkey
from tests.harness.support import eventually, not_tested
from tests.harness.upstream import UpstreamProcess
from tests.harness.upstream_http import HangUp, serving


class Front(GatewayProcess):
    """The gateways as a client of nginx sees them."""

    def __init__(self, nginx: Nginx) -> None:
        self.port = nginx.port


def nginx_before(ports: Iterable[int]) -> Nginx:
    try:
        return Nginx(list(ports))
    except ServerMissingError as exc:
        not_tested(exc.what, exc.install)


@pytest.fixture(scope="module")
def upstream() -> Iterator[UpstreamProcess]:
    with UpstreamProcess() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def gateways(valkey: Valkey, upstream: UpstreamProcess) -> Iterator[list[GatewayProcess]]:
    store = StoreAddress("valkey", valkey.url(), "deploy")
    settings = {"GATEWAY_GRACE": "20s", "GATEWAY_ALLOW_ANONYMOUS": "true"}
    one, other = (GatewayProcess.on(store, upstream, **settings) for _ in range(2))
    with one, other:
        yield [one, other]


@pytest.fixture(scope="module")
def nginx(gateways: list[GatewayProcess]) -> Iterator[Nginx]:
    with nginx_before(gateway.port for gateway in gateways) as nginx:
        yield nginx


@pytest.fixture
def front(nginx: Nginx, upstream: UpstreamProcess) -> Iterator[Front]:
    upstream.withdraw()
    yield Front(nginx)
    upstream.withdraw()
    upstream.release()


def test_the_first_words_arrive_while_the_provider_still_thinks(front: Front, upstream: UpstreamProcess) -> None:
    upstream.faults({"match": "POST /v1/responses", "fault": "pause", "events": 8})
    with front.stream("word-by-word", "hello") as events:
        assert [next(events)[0], next(events)[0]] == ["session", "delta"]
        eventually(lambda: upstream.seen()["waiting"] == 1)
        upstream.release()
        assert [name for name, _ in events][-1] == "done"


def test_a_client_that_leaves_nginx_leaves_the_gateway_too_and_loses_nothing(
    front: Front, upstream: UpstreamProcess
) -> None:
    upstream.faults({"match": "POST /v1/responses", "fault": "pause", "events": 8})
    with front.stream("left", "tell me") as events:
        turn_id = next(events)[1]["turn_id"]
        eventually(lambda: upstream.seen()["waiting"] == 1)
    upstream.release()
    record = eventually(lambda: front.record("left", turn_id).get("output_text"))
    assert '"tell me"' in record


def test_a_post_is_never_sent_a_second_time() -> None:
    """A turn whose gateway breaks off may have taken place: no other gateway is asked to run it."""
    asked = []

    def hang_up(environ: dict[str, object], start_response: object) -> NoReturn:
        asked.append(environ["REQUEST_METHOD"])
        raise HangUp

    with (
        serving(hang_up) as one,
        serving(hang_up) as other,
        nginx_before(int(url.rpartition(":")[2]) for url in (one, other)) as nginx,
    ):
        assert Front(nginx).turn("alice", "hello").status_code == 502
    assert asked == ["POST"]


def test_a_body_too_large_is_refused_in_the_gateways_own_words(front: Front) -> None:
    refused = front.turn("large", "x" * 2_000_000)
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "body_too_large")


def test_metrics_are_not_for_whoever_comes_through_nginx(front: Front) -> None:
    """To the gateway nginx is a caller on its own host: the header tells it better."""
    assert front.get("/metrics").status_code == 403


def test_gateways_are_replaced_one_by_one_and_no_request_fails(
    front: Front, nginx: Nginx, gateways: list[GatewayProcess], upstream: UpstreamProcess
) -> None:
    """Under load, with two streams in their middle when their gateway is told to stop."""
    upstream.faults(*[{"match": "POST /v1/responses", "fault": "pause", "events": 8}] * 2)
    over = threading.Event()
    with Clients(9) as clients:
        paused = [clients.start(streamed, front, f"paused-{number}") for number in range(2)]
        eventually(lambda: upstream.seen()["waiting"] == 2)
        talking = [clients.start(talk, front, f"load-{number}", over) for number in range(6)]
        try:
            for number, gateway in enumerate(gateways):
                nginx.take_out(gateway.port)
                ended = clients.start(gateway.terminate)
                if number == 0:
                    # It waits for the stream that it has in hand.
                    eventually(lambda gateway=gateway: refuses(gateway))
                    assert not ended.done()
                    upstream.release()
                assert ended.result() == 0
                gateway.start()
            nginx.take_out(None)
        finally:
            over.set()
        assert [stream.result() for stream in paused] == ["done", "done"]
        assert all(turns.result() > 0 for turns in talking)


def streamed(front: Front, session_id: str) -> str:
    with front.stream(session_id, "hello") as events:
        return [name for name, _ in events][-1]


def talk(front: Front, session_id: str, over: threading.Event) -> int:
    """How many turns went through until then, of a session's every second one streamed: a failed one is raised."""
    turns = 0
    while not over.is_set():
        if turns % 2:
            assert streamed(front, session_id) == "done"
        else:
            front.say(session_id, f"message {turns}")
        turns += 1
    return turns


def refuses(gateway: GatewayProcess) -> bool:
    try:
        requests.get(f"{gateway.url}/healthz", timeout=5)
    except requests.ConnectionError:
        return True
    return False
