"""A gateway that was paused for longer than its lease has lost its turns: when it goes on it asks the provider nothing
more in their name."""

from collections.abc import Iterator

import pytest

from tests.conftest import StoreAddress
from tests.harness.gateways import Clients
from tests.harness.servers import Valkey
from tests.harness.support import eventually
from tests.harness.upstream import UpstreamProcess
from tests.soak.gateways import NamedGateway


@pytest.fixture(scope="module")
def upstream() -> Iterator[UpstreamProcess]:
    with UpstreamProcess() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def pair(valkey: Valkey, upstream: UpstreamProcess) -> Iterator[list[NamedGateway]]:
    store = StoreAddress("valkey", valkey.url(), "pauses")
    settings = {"GATEWAY_STORE": store.url, "GATEWAY_STORE_PREFIX": store.prefix, "OPENAI_BASE_URL": upstream.url}
    one, other = (NamedGateway(f"sk-{number}", GATEWAY_LEASE="1s", **settings) for number in range(2))
    with one, other:
        yield [one, other]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_a_turn_that_lost_its_session_in_a_pause_is_not_run_afterwards(
    stream: bool, pair: list[NamedGateway], upstream: UpstreamProcess
) -> None:
    """It was about to ask again, for the provider had said that the conversation is locked."""
    paused, other = pair
    session_id = f"paused-{stream}"
    other.say(session_id, "hello")
    upstream.withdraw()
    upstream.faults({"match": "POST /v1/responses", "fault": "locked", "times": None})
    with Clients(1) as clients:
        cut_off = clients.start(paused.turn, session_id, "too late", stream=stream)
        eventually(lambda: asked(upstream))
        with paused.paused():
            upstream.withdraw()
            other.say(session_id, "meanwhile")
        answer = cut_off.result()
    assert "turn_lost" in answer.text
    assert asked(upstream) == ["meanwhile"]
    assert '"too late"' not in other.say(session_id, "what was said?")["output_text"]


def asked(upstream: UpstreamProcess) -> list[str]:
    return [seen["body"]["input"] for seen in upstream.seen()["requests"] if seen["path"] == "/v1/responses"]
