"""Two gateways in processes of their own on one store: what each promises holds for both."""

from collections.abc import Callable, Iterator

import pytest
import requests

from tests.conftest import StoreAddress
from tests.harness.gateways import Clients, GatewayProcess, opened
from tests.harness.support import eventually
from tests.harness.upstream import UpstreamProcess

NUMBERS = 15


@pytest.fixture(scope="module", params=["json", "sqlite", "postgresql", "valkey"])
def address(request: pytest.FixtureRequest, make_lasting_address: Callable[[str], StoreAddress]) -> StoreAddress:
    return make_lasting_address(request.param)


@pytest.fixture(scope="module")
def pair(address: StoreAddress, service: UpstreamProcess) -> Iterator[list[GatewayProcess]]:
    service.withdraw()
    # With a short lease, the session that a killed one held is free soon.
    one, other = (GatewayProcess.on(address, service, GATEWAY_LEASE="1s") for _ in range(2))
    with one, other:
        yield [one, other]


def patch(gateway: GatewayProcess, body: object) -> int:
    return requests.patch(f"{gateway.url}/sessions/ann", json=body, timeout=60).status_code


def test_no_edit_no_item_and_no_session_is_lost_between_two_processes(
    pair: list[GatewayProcess], address: StoreAddress
) -> None:
    with Clients(8) as clients:
        made = [clients.start(gateway.post, "/sessions", {"session_id": "ann"}) for gateway in pair * 4]
        answers = [future.result() for future in made]
        assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
        assert len({answer.json()["conversation_id"] for answer in answers}) == 1

        edits = [
            clients.start(patch, gateway, {"data": {f"{side}-{number}": number}})
            for number in range(NUMBERS)
            for side, gateway in enumerate(pair)
        ]
        items = [
            clients.start(
                gateway.post, "/sessions/ann/items", {"items": [{"role": "user", "content": f"{side}.{number}"}] * 25}
            )
            for number in range(2)
            for side, gateway in enumerate(pair)
        ]
        assert {future.result() for future in edits} == {200}
        assert {future.result().status_code for future in items} == {200}
    data = pair[0].get("/sessions/ann").json()["data"]
    assert data == {f"{side}-{number}": number for number in range(NUMBERS) for side in range(2)}
    page = pair[1].get("/sessions/ann/items?limit=100").json()["data"]
    texts = [item["content"][0]["text"] for item in page]
    # Each call's 25 are together, although they came in two portions: nothing got in between.
    assert sorted(texts[start] for start in range(0, 100, 25)) == ["0.0", "0.1", "1.0", "1.1"]
    assert all(len(set(texts[start : start + 25])) == 1 for start in range(0, 100, 25))


def test_an_erasure_outlives_the_gateway_that_began_it(
    pair: list[GatewayProcess], address: StoreAddress, service: UpstreamProcess
) -> None:
    one, other = pair
    one.say("bob", "a word")
    service.faults({"match": "DELETE /v1/conversations/*", "fault": "silence"})
    with Clients(1) as clients:
        cut_off = clients.start(requests.delete, f"{one.url}/sessions/bob", timeout=60)
        eventually(lambda: service.seen()["waiting"])
        with one.crashed():
            with pytest.raises(requests.ConnectionError):
                cut_off.result()
            assert other.get("/sessions/bob").json()["status"] == "erasing"
            assert other.turn("bob", "hello?", on_busy="reject").status_code == 409

            def erased() -> bool:
                return requests.delete(f"{other.url}/sessions/bob", timeout=60).status_code in (200, 404)

            eventually(erased, 60)
            with opened(address) as sessions:
                assert not sessions.erasures()
            assert other.get("/sessions?prefix=bob").json()["data"] == []
