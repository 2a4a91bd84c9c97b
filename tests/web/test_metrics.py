"""/metrics counts what happens, and says nothing about whom it happened to."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.config import Settings
from gateway.errors import GatewayError, ProviderError, StoreUnavailableError
from gateway.providers.local import LocalProvider
from gateway.sessions import Lifetime, open_sessions
from gateway.testing.waiting import Clock
from gateway.web import create_app
from tests.harness.app import House, key
from tests.harness.metrics import Growth, Metrics
from tests.harness.support import eventually

OpenHouse = Callable[..., House]


def read(house: House) -> Callable[[], str]:
    return lambda: house.ask("GET", "/metrics").text


@pytest.fixture
def grown(house: House) -> Growth:
    return Growth(read(house))


def test_a_turn_is_counted_and_timed(house: House, grown: Growth) -> None:
    house.say("ann", "hello")
    house.say("ann", "again")
    assert grown("gateway_turns_total", outcome="completed", workflow="default") == 2
    assert grown("gateway_turns_total") == 2
    assert grown("gateway_turn_seconds_count", workflow="default") == 2
    assert grown("gateway_turn_wait_seconds_count") == 2
    assert grown("gateway_provider_calls_total", operation="create_conversation", outcome="ok") == 1
    assert grown("gateway_provider_calls_total", operation="create_response", outcome="ok") == 2
    assert grown("gateway_provider_seconds_count", operation="create_response") == 2
    assert grown("gateway_store_seconds_count", operation="sessions.bind") == 1
    assert grown("gateway_store_seconds_count", operation="records.finish") == 2


def test_a_first_word_is_timed_where_somebody_reads_along(house: House, grown: Growth) -> None:
    house.say("ann", "hello")
    assert grown("gateway_first_word_seconds_count") == 0
    body = {"session_id": "ann", "input_as_text": "hello", "stream": True}
    assert "event: done" in house.ask("POST", "/workflow", body).text
    assert grown("gateway_first_word_seconds_count", workflow="default") == 1
    body = {"conversation": "ann", "input": "hello", "stream": True, "model": "demo"}
    assert "response.completed" in house.ask("POST", "/v1/responses", body).text
    assert grown("gateway_first_word_seconds_count", workflow="/v1/responses") == 1
    assert grown("gateway_provider_calls_total", operation="stream_response", outcome="ok") == 2


def test_a_turn_that_failed_is_counted_by_its_code(house: House, grown: Growth) -> None:
    house.say("ann", "hello")
    house.provider.fail("create_response", ProviderError(), times=1)
    house.error(502, "POST", "/workflow", {"session_id": "ann", "input_as_text": "hello"})
    assert grown("gateway_turns_total", outcome="failed") == 1
    assert grown("gateway_turn_errors_total", code="provider_error") == 1
    assert grown("gateway_provider_calls_total", operation="create_response", outcome="provider_error") == 1


def test_a_turn_that_never_came_is_refused(house: House, grown: Growth) -> None:
    with house.sessions.turn(key("ann")):
        busy = {"session_id": "ann", "input_as_text": "hello", "on_busy": "reject"}
        house.error(409, "POST", "/workflow", busy)
    assert grown("gateway_turns_total", outcome="refused") == 1
    assert grown("gateway_turn_errors_total", code="turn_busy") == 1
    assert grown("gateway_turn_wait_seconds_count") == 0


def test_a_workflow_that_there_is_not_makes_no_label(house: House, grown: Growth) -> None:
    house.error(404, "POST", "/workflow/of-my-own", {"session_id": "ann", "input_as_text": "hello"})
    assert grown("gateway_turns_total") == 0
    assert "of-my-own" not in read(house)()


def test_a_replay_is_no_turn(house: House, grown: Growth) -> None:
    body = {"session_id": "ann", "input_as_text": "hello"}
    replayed = [house.ask("POST", "/workflow", body, Idempotency_Key="k1").get_json()["replayed"] for _ in range(3)]
    assert replayed == [False, True, True]
    assert grown("gateway_turns_total", outcome="completed") == 1
    assert grown("gateway_turns_replayed_total", workflow="default") == 2


def test_nothing_is_under_way_when_all_is_over(house: House) -> None:
    house.say("ann", "hello")
    house.provider.fail("create_response", ProviderError(), times=1)
    house.error(502, "POST", "/workflow", {"session_id": "ann", "input_as_text": "hello"})
    now = Metrics(read(house)())
    assert (now("gateway_turns_under_way"), now("gateway_turns_waiting")) == (0, 0)


def test_a_turn_that_loses_its_session_is_counted(house: House, grown: Growth) -> None:
    def lose(_: object) -> None:
        begun = house.sessions.turns(key("ann"), limit=1)[0]
        house.sessions.store.tickets.withdraw(begun.key, begun.turn_id)

    house.provider.refuse("create_response", lose)
    error = house.error(409, "POST", "/workflow", {"session_id": "ann", "input_as_text": "hello"})
    assert error["code"] == "turn_lost"
    assert grown("gateway_tickets_lost_total") == 1
    assert grown("gateway_turn_errors_total", code="turn_lost") == 1


@pytest.mark.parametrize(
    ("fault", "certain"),
    [("the answer is lost", "no"), ("the store goes away", "no"), ("it cannot be deleted", "yes")],
)
def test_every_orphan_is_counted(
    house: House, grown: Growth, monkeypatch: pytest.MonkeyPatch, fault: str, certain: str
) -> None:
    def raising(error: GatewayError) -> Callable[..., Any]:
        def bind(*args: object, **options: object) -> None:
            raise error

        return bind

    match fault:
        case "the answer is lost":
            house.provider.fail("create_conversation", ProviderError(in_doubt=True))
        case "the store goes away":
            monkeypatch.setattr(house.sessions.store.sessions, "bind", raising(StoreUnavailableError()))
        case _:
            house.provider.fail("delete_conversation")
            monkeypatch.setattr(house.sessions.store.sessions, "bind", raising(ProviderError()))
    answer = house.ask("POST", "/workflow", {"session_id": "ann", "input_as_text": "hello"})
    assert answer.status_code >= 500
    assert grown("gateway_conversations_orphaned_total") == 1
    assert grown("gateway_conversations_orphaned_total", certain=certain) == 1


def test_a_conversation_that_surely_was_not_made_is_no_orphan(house: House, grown: Growth) -> None:
    house.provider.fail("create_conversation", ProviderError())
    house.error(502, "POST", "/workflow", {"session_id": "ann", "input_as_text": "hello"})
    assert grown("gateway_conversations_orphaned_total") == 0


def test_a_store_that_does_not_answer_is_counted(tmp_path: Path) -> None:
    def away(*args: object) -> None:
        raise StoreUnavailableError()

    sessions = open_sessions("memory:")
    sessions.store.sessions.page = away
    house = House(sessions, LocalProvider(str(tmp_path / "provider.db")))
    grown = Growth(read(house))
    house.error(503, "GET", "/sessions")
    house.ask("GET", "/sessions/nobody")
    assert grown("gateway_store_errors_total", operation="sessions.page") == 1
    assert grown("gateway_store_errors_total") == 1
    house.close()


def test_erasures_and_the_sweeper_are_counted(open_house: OpenHouse) -> None:
    clock = Clock()
    house = open_house("memory", clock=clock, lifetime=Lifetime(60.0))
    grown = Growth(read(house))
    for session_id in ("ann", "bob", "eve"):
        house.say(session_id, "hello")
    house.delete("/sessions/ann")
    house.provider.fail("delete_conversation", times=1)
    house.delete("/sessions/bob", 202)
    house.sweeper.sweep()
    clock.advance(61)
    house.sweeper.sweep()
    assert grown("gateway_erasures_total", outcome="failed") == 1
    assert grown("gateway_erasures_total", outcome="done") == 2
    assert grown("gateway_erased_items_total") == 4
    assert grown("gateway_erased_responses_total") == 2
    assert grown("gateway_sweeps_total", outcome="done") == 2
    assert grown("gateway_sessions_expired_total") == 1


def test_requests_are_counted_by_route(house: House, grown: Growth) -> None:
    for method, path in [
        ("GET", "/sessions/a-name"),
        ("HEAD", "/sessions/another-name"),
        ("GET", "/a-path"),
        ("BREW", "/sessions"),
        ("PUT", "/sessions"),
    ]:
        house.client.open(path, method=method, buffered=True)
    assert grown("gateway_requests_total", route="/sessions/<session_id>", method="GET", status="404") == 1
    assert grown("gateway_requests_total", route="/sessions/<session_id>", method="HEAD", status="404") == 1
    assert grown("gateway_requests_total", route="unknown", method="GET", status="404") == 1
    assert grown("gateway_requests_total", route="unknown", method="OTHER", status="405") == 1
    assert grown("gateway_requests_total", route="unknown", method="PUT", status="405") == 1
    text = read(house)()
    assert not [word for word in ("a-name", "another-name", "a-path", "BREW") if word in text]


def test_who_asks_too_often_is_counted(tmp_path: Path) -> None:
    settings = {"GATEWAY_STORE": "memory:", "GATEWAY_LOCAL_DB": f"{tmp_path}/db", "GATEWAY_RATE_LIMIT": "2/minute"}
    app = create_app(Settings.from_env(settings))
    client = app.test_client()
    grown = Growth(lambda: client.get("/metrics").text)
    assert [client.get("/sessions").status_code for _ in range(5)] == [200, 200, 429, 429, 429]
    assert grown("gateway_rate_limited_total") == 3
    app.finish(5)


def test_no_label_says_who_or_what(house: House) -> None:
    body = {"session_id": "ann-s1", "user_id": "ann-u1", "input_as_text": "ann-t1", "data": {"ann-d1": "ann-d2"}}
    house.ask("POST", "/workflow", body, Idempotency_Key="ann-k1")
    house.ask("GET", "/sessions/ann-s1/items?limit=ann-q1")
    house.ask("DELETE", "/sessions?user_id=ann-u1")
    text = read(house)()
    assert "ann-" not in text
    found = Metrics(text).samples
    assert {name for sample in found for name in sample.labels} == {
        "operation", "outcome", "workflow", "code", "route", "method", "status", "certain", "le", "worker"
    }  # fmt: skip
    assert all(sample.name.startswith("gateway_") for sample in found)


def test_when_leases_were_renewed_is_told_from_the_beginning(house: House) -> None:
    """Before any turn, and by which worker: whoever watches it sees a keeper that has ended."""
    assert eventually(lambda: Metrics(read(house)())("gateway_leases_renewed_seconds", worker=str(os.getpid())))
