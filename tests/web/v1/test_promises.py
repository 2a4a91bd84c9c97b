"""The promises of a turn hold for OpenAI's clients: over real HTTP, before a hosted provider that can fail."""

import itertools
from collections.abc import Iterator
from typing import Any

import openai
import pytest
import requests

from tests.conftest import StoreAddress
from tests.harness.gateways import Clients, GatewayProcess, opened, turns_before
from tests.harness.support import eventually
from tests.harness.upstream import UpstreamProcess

JSON = dict[str, Any]
PAUSE = {"match": "POST /v1/responses", "fault": "pause", "events": 3}

_numbers = itertools.count(1)


@pytest.fixture
def key() -> str:
    return f"key-{next(_numbers)}"


def post(gateway: GatewayProcess, session_id: str, text: str = "Hello", **fields: Any) -> requests.Response:
    headers = fields.pop("headers", {})
    body = {"model": "demo", "input": text, "conversation": session_id, **fields}
    return requests.post(f"{gateway.url}/v1/responses", json=body, headers=headers, timeout=30)


def turns(gateway: GatewayProcess, session_id: str) -> list[JSON]:
    found: list[JSON] = gateway.get(f"/sessions/{session_id}/turns").json()["data"]
    return found


def waiting(upstream: UpstreamProcess) -> bool:
    return bool(upstream.seen()["waiting"])


def asked(upstream: UpstreamProcess) -> int:
    return sum(entry["path"] == "/v1/responses" for entry in upstream.seen()["requests"])


def hang_up(gateway: GatewayProcess, upstream: UpstreamProcess, session_id: str, *, streamed: bool) -> None:
    """A client that leaves in the middle of its turn."""
    upstream.faults(PAUSE)
    body = {"model": "demo", "input": "Hello", "conversation": session_id, "stream": streamed}
    if streamed:
        with requests.post(f"{gateway.url}/v1/responses", json=body, stream=True, timeout=30) as answer:
            next(answer.iter_lines(chunk_size=1))
    else:
        with pytest.raises(requests.ReadTimeout):
            requests.post(f"{gateway.url}/v1/responses", json=body, timeout=0.3)
    eventually(lambda: waiting(upstream))
    upstream.release()
    eventually(lambda: [turn["state"] for turn in turns(gateway, session_id)] == ["completed"])


# --- Hang-ups and blind retries ----------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [False, True])
def test_a_hang_up_loses_nothing(
    before_hosted: GatewayProcess, upstream: UpstreamProcess, session_id: str, streamed: bool
) -> None:
    hang_up(before_hosted, upstream, session_id, streamed=streamed)
    (turn,) = turns(before_hosted, session_id)
    stored = before_hosted.get(f"/v1/responses/{turn['response_id']}").json()
    assert (stored["status"], stored["conversation"]) == ("completed", {"id": session_id})
    assert "Hello" in post(before_hosted, session_id, "What did I say?").text


RETRY = {"x-stainless-retry-count": "1"}


@pytest.mark.parametrize("streamed", [False, True])
def test_a_blind_retry_gets_the_reply_that_reached_nobody(
    before_hosted: GatewayProcess, upstream: UpstreamProcess, session_id: str, streamed: bool
) -> None:
    hang_up(before_hosted, upstream, session_id, streamed=streamed)
    (turn,) = turns(before_hosted, session_id)
    asked_before = asked(upstream)
    again = post(before_hosted, session_id, stream=streamed, headers=RETRY)
    assert turn["response_id"] in again.text
    assert asked(upstream) == asked_before
    # It is claimed now: whoever says the same once more is somebody else.
    other = post(before_hosted, session_id, stream=False, headers=RETRY)
    assert other.json()["id"] != turn["response_id"]
    assert len(turns(before_hosted, session_id)) == 2


def test_only_the_same_body_again_is_a_blind_retry(
    before_hosted: GatewayProcess, upstream: UpstreamProcess, session_id: str
) -> None:
    hang_up(before_hosted, upstream, session_id, streamed=True)
    post(before_hosted, session_id, "Something else", stream=True, headers=RETRY)
    # Now the newest turn is another one.
    post(before_hosted, session_id, stream=True, headers=RETRY)
    assert len(turns(before_hosted, session_id)) == 3


def test_who_does_not_say_that_it_retries_is_heard_again(
    before_hosted: GatewayProcess, upstream: UpstreamProcess, session_id: str
) -> None:
    hang_up(before_hosted, upstream, session_id, streamed=False)
    for headers in ({}, {"x-stainless-retry-count": "0"}):
        assert post(before_hosted, session_id, stream=False, headers=headers).status_code == 200
    assert len(turns(before_hosted, session_id)) == 3


def test_a_reply_that_was_delivered_is_not_given_again(before_hosted: GatewayProcess, session_id: str) -> None:
    for streamed in (False, True):
        for headers in ({}, RETRY):
            post(before_hosted, session_id, stream=streamed, headers=headers)
    assert len(turns(before_hosted, session_id)) == 4


def test_the_sdk_retries_into_its_own_turn(
    before_hosted: GatewayProcess, upstream: UpstreamProcess, session_id: str
) -> None:
    """The client gives up, and sends the same again while the turn still runs."""
    upstream.faults(PAUSE)
    with (
        openai.OpenAI(base_url=f"{before_hosted.url}/v1", api_key="none", timeout=1.0, max_retries=8) as client,
        Clients(1) as clients,
    ):
        reply = clients.start(client.responses.create, model="demo", input="Hello", conversation=session_id)
        eventually(lambda: waiting(upstream))
        with opened(StoreAddress("sqlite", f"sqlite:///{before_hosted.folder}/sessions.db", "gateway")) as sessions:
            eventually(lambda: turns_before(sessions, session_id) >= 2)
        upstream.release()
        answered = reply.result(60)
    assert [turn["response_id"] for turn in turns(before_hosted, session_id)] == [answered.id]


# --- Idempotency -------------------------------------------------------------------------------------------


def events(answer: requests.Response) -> Iterator[str]:
    for line in answer.text.splitlines():
        if line.startswith("event: "):
            yield line[7:]


def test_a_key_gives_the_same_response_again(
    before_hosted: GatewayProcess, upstream: UpstreamProcess, session_id: str, key: str
) -> None:
    first = post(before_hosted, session_id, headers={"Idempotency-Key": key}).json()
    again = post(before_hosted, session_id, headers={"Idempotency-Key": key}).json()
    assert again["conversation"] == {"id": session_id}
    assert {**again, "billing": 0} == {**first, "billing": 0}
    assert len(turns(before_hosted, session_id)) == 1
    other = post(before_hosted, session_id, "Other words", headers={"Idempotency-Key": key})
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")


def test_a_stream_is_told_again_as_it_was(before_hosted: GatewayProcess, session_id: str, key: str) -> None:
    def told() -> tuple[list[str], str, Any]:
        with openai.OpenAI(base_url=f"{before_hosted.url}/v1", api_key="none") as client:
            stream = client.responses.create(
                model="demo",
                input="Hello",
                conversation=session_id,
                stream=True,
                extra_headers={"Idempotency-Key": key},
            )
            seen = list(stream)
        assert [event.sequence_number for event in seen] == list(range(len(seen)))
        kinds = [kind for kind, _ in itertools.groupby(event.type for event in seen)]
        words = "".join(event.delta for event in seen if event.type == "response.output_text.delta")
        final = seen[-1]
        assert final.type == "response.completed"
        return kinds, words, final.response.model_dump(exclude={"billing"})

    assert told() == told()
    assert len(turns(before_hosted, session_id)) == 1


def test_who_comes_with_the_key_while_the_turn_runs_waits_for_it(
    before_hosted: GatewayProcess, upstream: UpstreamProcess, session_id: str, key: str
) -> None:
    upstream.faults(PAUSE)
    with Clients(2) as clients:
        both = [clients.start(post, before_hosted, session_id, headers={"Idempotency-Key": key}) for _ in range(2)]
        eventually(lambda: waiting(upstream))
        upstream.release()
        ids = {answer.result(30).json()["id"] for answer in both}
    assert len(ids) == 1
    assert asked(upstream) == 1


def test_a_key_needs_a_turn_that_is_recorded_and_stored(before_hosted: GatewayProcess, session_id: str) -> None:
    headers = {"Idempotency-Key": "k"}
    unstored = post(before_hosted, session_id, store=False, headers=headers)
    alone = before_hosted.post("/v1/responses", {"model": "demo", "input": "Hello"}, Idempotency_Key="k")
    for refused in (unstored, alone):
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "idempotency_unsupported")


# --- Busy and gone -----------------------------------------------------------------------------------------


def test_turns_of_a_session_run_one_at_a_time(
    before_hosted: GatewayProcess, upstream: UpstreamProcess, session_id: str
) -> None:
    with Clients(5) as clients:
        answers = [clients.start(post, before_hosted, session_id, f"message {n}") for n in range(5)]
        assert [answer.result(30).status_code for answer in answers] == [200] * 5
    (conversation,) = upstream.seen()["conversations"].values()
    assert conversation == {"turns": 5, "most_at_once": 1}


def test_busy_is_what_stock_clients_retry_by_themselves(
    before_hosted: GatewayProcess, upstream: UpstreamProcess, session_id: str
) -> None:
    upstream.faults(PAUSE)
    with Clients(1) as clients:
        first = clients.start(post, before_hosted, session_id)
        eventually(lambda: waiting(upstream))
        busy = post(before_hosted, session_id, stream=True, headers={"X-On-Busy": "reject"})
        assert (busy.status_code, busy.json()["error"]["code"]) == (409, "turn_busy")
        assert busy.headers["retry-after"]
        assert busy.headers["x-should-retry"] == "true"
        upstream.release()
        assert first.result(30).status_code == 200


@pytest.mark.parametrize("streamed", [False, True])
def test_a_conversation_that_is_gone_is_410_until_a_restart_is_asked_for(
    before_hosted: GatewayProcess, upstream: UpstreamProcess, session_id: str, streamed: bool
) -> None:
    post(before_hosted, session_id)
    raw = before_hosted.get(f"/sessions/{session_id}").json()["conversation_id"]
    requests.delete(f"{upstream.url}/conversations/{raw}", timeout=10).raise_for_status()
    gone = post(before_hosted, session_id, stream=streamed)
    assert (gone.status_code, gone.json()["error"]["code"]) == (410, "conversation_gone")
    assert gone.headers["x-should-retry"] == "false"
    again = post(before_hosted, session_id, stream=streamed, headers={"X-On-Lost": "restart"})
    assert again.status_code == 200
    now = before_hosted.get(f"/sessions/{session_id}").json()
    assert now["generation"] == 2
    assert now["conversation_id"] not in again.text
    assert f'"{session_id}"' in again.text


def test_a_header_that_is_not_known_is_refused(before_hosted: GatewayProcess, session_id: str) -> None:
    for name in ("X-On-Lost", "X-On-Busy"):
        refused = post(before_hosted, session_id, headers={name: "perhaps"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_request")
