"""The tests' own upstream does to its callers what it is told to do."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
import urllib3

from tests.harness.support import eventually
from tests.harness.upstream import UpstreamProcess

POST = "POST /v1/responses"


@pytest.fixture(scope="module")
def process() -> Iterator[UpstreamProcess]:
    with UpstreamProcess(lease_seconds=1) as process:
        yield process


@pytest.fixture
def upstream(process: UpstreamProcess) -> UpstreamProcess:
    process.withdraw()
    return process


@pytest.fixture
def conversation_id(upstream: UpstreamProcess) -> str:
    return str(requests.post(f"{upstream.url}/conversations", json={}, timeout=10).json()["id"])


def respond(upstream: UpstreamProcess, conversation_id: str, *, stream: bool = True) -> requests.Response:
    body = {"conversation": conversation_id, "input": "Hello", "stream": stream}
    return requests.post(f"{upstream.url}/responses", json=body, timeout=10)


def event_types(answer: requests.Response) -> list[str]:
    return [line.removeprefix("event: ") for line in answer.text.splitlines() if line.startswith("event: ")]


def count_items(upstream: UpstreamProcess, conversation_id: str) -> int:
    page = requests.get(f"{upstream.url}/conversations/{conversation_id}/items?limit=100", timeout=10).json()
    return len(page["data"])


def test_a_status_with_headers_and_an_error(upstream: UpstreamProcess, conversation_id: str) -> None:
    upstream.faults(
        {"match": POST, "fault": "status", "status": 429},
        {"match": POST, "fault": "status", "status": 429, "headers": {"retry-after": "3"}},
        {"match": POST, "fault": "status", "status": 503, "error": {"message": "Overloaded."}},
    )
    first, second, third = (respond(upstream, conversation_id) for _ in range(3))
    assert (first.status_code, first.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert "Please try again in 18.642s" in first.json()["error"]["message"]
    assert "retry-after" not in first.headers
    assert second.headers["retry-after"] == "3"
    assert (third.status_code, third.json()["error"]["message"]) == (503, "Overloaded.")
    assert event_types(respond(upstream, conversation_id))[-1] == "response.completed"
    assert count_items(upstream, conversation_id) == 2


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("fault", "items"), [({}, 0), ({"after": True}, 2)])
def test_a_hang_up_before_or_after_the_work(
    upstream: UpstreamProcess, conversation_id: str, fault: dict[str, Any], items: int, stream: bool
) -> None:
    upstream.faults({"match": POST, "fault": "hangup", **fault})
    with pytest.raises(requests.ConnectionError):
        respond(upstream, conversation_id, stream=stream)
    assert count_items(upstream, conversation_id) == items


@pytest.mark.parametrize(("fault", "items"), [({}, 0), ({"after": True}, 2)])
def test_a_stream_that_is_cut(
    upstream: UpstreamProcess, conversation_id: str, fault: dict[str, Any], items: int
) -> None:
    upstream.faults({"match": POST, "fault": "truncate", "events": 4, **fault})
    body = {"conversation": conversation_id, "input": "Hello", "stream": True}
    seen = []
    with (
        requests.post(f"{upstream.url}/responses", json=body, timeout=10, stream=True) as answer,
        pytest.raises(requests.exceptions.ChunkedEncodingError),
    ):
        seen.extend(line for line in answer.iter_lines() if line.startswith(b"event:"))
    assert len(seen) == 4
    assert count_items(upstream, conversation_id) == items


@pytest.mark.parametrize(("fault", "last"), [("failed", "response.failed"), ("flat_error", "error")])
def test_a_stream_that_fails_on_the_way(upstream: UpstreamProcess, conversation_id: str, fault: str, last: str) -> None:
    error = {"code": "rate_limit_exceeded", "message": "Too much."}
    upstream.faults({"match": POST, "fault": fault, "events": 5, "error": error, "times": 2})
    answer = respond(upstream, conversation_id)
    assert answer.status_code == 200
    assert len(event_types(answer)) == 6
    assert event_types(answer)[-1] == last
    assert '"message":"Too much."' in answer.text
    assert respond(upstream, conversation_id, stream=False).status_code == 429
    assert count_items(upstream, conversation_id) == 0


def test_the_services_own_refusals(upstream: UpstreamProcess, conversation_id: str) -> None:
    there = f"/v1/conversations/{conversation_id}"
    upstream.faults(
        {"match": POST, "fault": "locked"},
        {"match": POST, "fault": "not_found"},
        {"match": f"GET {there}*", "fault": "not_found"},
    )
    locked, gone = respond(upstream, conversation_id), respond(upstream, conversation_id)
    assert (locked.status_code, locked.json()["error"]["code"]) == (400, "conversation_locked")
    message = f"Conversation with id '{conversation_id}' not found."
    assert (gone.status_code, gone.json()["error"]["message"]) == (404, message)
    again = requests.get(f"{upstream.url}/conversations/{conversation_id}/items", timeout=10)
    assert (again.status_code, again.json()["error"]["message"]) == (404, message)


@pytest.mark.parametrize("fault", [{"fault": "silence"}, {"fault": "pause", "events": 4}])
def test_a_wait_until_the_release(upstream: UpstreamProcess, conversation_id: str, fault: dict[str, Any]) -> None:
    upstream.faults({"match": POST, **fault})
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(respond, upstream, conversation_id)
        eventually(lambda: upstream.seen()["waiting"] == 1)
        assert not asked.done()
        upstream.release()
        assert event_types(asked.result())[-1] == "response.completed"
    assert count_items(upstream, conversation_id) == 2


def test_a_caller_who_leaves_a_paused_stream_loses_the_turn(upstream: UpstreamProcess, conversation_id: str) -> None:
    upstream.faults({"match": POST, "fault": "pause", "events": 4})
    body = {"conversation": conversation_id, "input": "Hello", "stream": True}
    with requests.post(f"{upstream.url}/responses", json=body, timeout=10, stream=True):
        eventually(lambda: upstream.seen()["waiting"] == 1)
    eventually(lambda: upstream.seen()["waiting"] == 0)
    assert respond(upstream, conversation_id).status_code in (200, 400)
    eventually(lambda: respond(upstream, conversation_id).status_code == 200)


def test_the_log_tells_what_was_asked_and_how_much_at_once(upstream: UpstreamProcess, conversation_id: str) -> None:
    upstream.faults({"match": POST, "fault": "pause", "times": 1})
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(respond, upstream, conversation_id)
        eventually(lambda: upstream.seen()["waiting"] == 1)
        assert respond(upstream, conversation_id).status_code == 400
        upstream.release()
        asked.result()
    log = upstream.seen()
    assert log["conversations"] == {conversation_id: {"turns": 1, "most_at_once": 2}}
    assert [(seen["method"], seen["path"], seen["status"]) for seen in log["requests"]] == [
        ("POST", "/v1/conversations", 200),
        ("POST", "/v1/responses", 200),
        ("POST", "/v1/responses", 400),
    ]
    assert log["requests"][1]["body"]["input"] == "Hello"
    assert log["requests"][1]["at"] <= log["requests"][2]["at"]


def test_a_connection_is_kept_for_the_next_request(upstream: UpstreamProcess) -> None:
    with urllib3.HTTPConnectionPool(*upstream.address) as pool:
        for _ in range(3):
            assert pool.request("GET", "/v1/models").status == 200
            assert pool.request("POST", "/v1/responses", json={"input": "Hello", "stream": True}).status == 200
            assert pool.request("GET", "/v1/conversations/conv_none").status == 404
        assert pool.num_connections == 1


def test_what_it_kept_survives_a_crash(upstream: UpstreamProcess, conversation_id: str) -> None:
    respond(upstream, conversation_id)
    with upstream.crashed():
        pass
    assert count_items(upstream, conversation_id) == 2
