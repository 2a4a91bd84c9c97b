"""What a request about sessions may say, and what it is told when it says something else."""

from typing import Any

import pytest

from gateway.errors import ProviderRateLimitedError
from gateway.model import Status
from tests.harness.app import House, key, user
from tests.web.conftest import OpenHouse


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("POST", "/sessions", {"session_id": "conv_x"}, "invalid_session_id"),
        ("POST", "/sessions", {"session_id": "."}, "invalid_session_id"),
        ("POST", "/sessions", {"session_id": None}, "invalid_session_id"),
        ("POST", "/sessions", {"conversation_id": "conv_x"}, "unknown_field"),
        ("POST", "/sessions", {"data": []}, "invalid_request"),
        ("POST", "/sessions", {"metadata": {"a": 1}}, "invalid_request"),
        ("POST", "/sessions", {"user_id": ""}, "invalid_request"),
        ("GET", "/sessions?limit=0", None, "invalid_request"),
        ("GET", "/sessions?limit=101", None, "invalid_request"),
        ("GET", "/sessions?limit=ten", None, "invalid_request"),
        ("GET", "/sessions?limit=1&limit=2", None, "invalid_request"),
        ("GET", "/sessions?user=u", None, "unknown_field"),
        ("GET", "/sessions?user_id=", None, "invalid_request"),
        ("GET", "/sessions?status=gone", None, "invalid_request"),
        ("GET", "/sessions?used_before=yesterday", None, "invalid_request"),
        ("GET", "/sessions?after=nonsense", None, "invalid_request"),
        ("GET", "/sessions/ann?include=all", None, "unknown_field"),
        ("PATCH", "/sessions/ann", {"user_id": "u"}, "unknown_field"),
        ("PATCH", "/sessions/ann", {"status": "erasing"}, "invalid_request"),
        ("PATCH", "/sessions/ann", {"data": None}, "invalid_request"),
        ("DELETE", "/sessions", None, "invalid_request"),
        ("DELETE", "/sessions?user_id=", None, "invalid_request"),
        ("DELETE", "/sessions/ann?keep_conversation=maybe", None, "invalid_request"),
        ("GET", "/sessions/ann/items?limit=1000", None, "invalid_request"),
        ("GET", "/sessions/ann/items?order=random", None, "invalid_request"),
        ("GET", "/sessions/ann/items?after=msg_none", None, "invalid_request"),
        ("POST", "/sessions/ann/items", {}, "invalid_request"),
        ("POST", "/sessions/ann/items", {"items": []}, "invalid_request"),
        (
            "POST",
            "/sessions/ann/items",
            {"items": [{"id": "msg_1", "role": "user", "content": "x"}]},
            "invalid_request",
        ),
        ("POST", "/sessions/ann/items", {"items": [{"type": "item_reference"}]}, "invalid_request"),
        ("POST", "/sessions/ann/items/pop", {"count": 2}, "unknown_field"),
        ("POST", "/sessions/ann/reset", {"keep_history": "yes"}, "invalid_request"),
        ("POST", "/sessions/ann/reset", {"keep": True}, "unknown_field"),
        ("POST", "/sessions/ann/fork", {"session_id": "a b"}, "invalid_session_id"),
        ("POST", "/sessions/ann/rename", {}, "invalid_request"),
        ("GET", "/sessions/ann/turns?after=turn_none", None, "invalid_request"),
        ("GET", "/sessions/ann/transcript?format=pdf", None, "invalid_request"),
    ],
)
def test_what_is_not_understood_is_refused(house: House, method: str, path: str, body: object, code: str) -> None:
    made = house.make("ann")
    assert house.error(400, method, path, body)["code"] == code
    assert house.get("/sessions/ann") == made
    assert house.items("ann") == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("PATCH", "", {"data": {}}),
        ("DELETE", "", None),
        ("DELETE", "?keep_conversation=true", None),
        ("GET", "/items", None),
        ("POST", "/items/pop", None),
        ("DELETE", "/items", None),
        ("DELETE", "/items/msg_1", None),
        ("POST", "/reset", None),
        ("POST", "/fork", None),
        ("POST", "/rename", {"session_id": "bob"}),
        ("GET", "/turns", None),
        ("GET", "/transcript", None),
    ],
)
def test_a_session_that_is_not_there_is_404_everywhere(house: House, method: str, path: str, body: object) -> None:
    answer = house.ask(method, f"/sessions/nobody{path}", body)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (404, "session_not_found")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Request-Id"] == answer.get_json()["error"]["request_id"]
    assert house.ids() == []


def test_an_id_may_come_percent_encoded(house: House) -> None:
    house.make("user@x|1")
    assert house.get("/sessions/user%40x%7C1")["session_id"] == "user@x|1"


def test_no_item_id_reaches_another_address_of_the_provider(house: House) -> None:
    """As a part of a path, `..` would name the conversation itself."""
    conversation_id = house.make("ann")["conversation_id"]
    for item_id in ("%2e%2e", "..", "."):
        assert house.ask("DELETE", f"/sessions/ann/items/{item_id}").status_code in (404, 405)
    assert "delete_item" not in house.provider.calls
    assert house.exists_at_provider(conversation_id)


def test_a_session_without_a_name_gets_one(house: House) -> None:
    made = house.post("/sessions", {}, 201)
    assert made["session_id"].startswith("sess_")
    forked = house.post(f"/sessions/{made['session_id']}/fork", None, 201)
    assert forked["session_id"].startswith("sess_")


def test_any_match_and_several_etags_are_understood(house: House) -> None:
    house.make("ann")
    etag = house.ask("GET", "/sessions/ann").headers["ETag"]
    assert house.ask("PATCH", "/sessions/ann", {}, If_Match="*").status_code == 200
    assert house.ask("PATCH", "/sessions/ann", {}, If_Match=f'"other", {etag}').status_code == 200
    for header in ('"other"', f"W/{etag}", ""):
        assert house.ask("PATCH", "/sessions/ann", {"data": {"a": 1}}, If_Match=header).status_code == 412
    for path in ("/sessions/ann", "/sessions/ann?keep_conversation=true"):
        assert house.ask("DELETE", path, If_Match='"other"').status_code == 412
    assert house.get("/sessions/ann")["data"] == {}
    assert house.ask("DELETE", "/sessions/ann", If_Match=etag).status_code == 200


def test_an_edit_that_came_in_between_is_not_overwritten(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.make("ann")
    etag = house.ask("GET", "/sessions/ann").headers["ETag"]
    update = house.sessions.update

    def be_second(*args: Any, **options: Any) -> Any:
        update(key("ann"), data={"first": 1})
        return update(*args, **options)

    monkeypatch.setattr(house.sessions, "update", be_second)
    assert house.ask("PATCH", "/sessions/ann", {"data": {"second": 2}}, If_Match=etag).status_code == 412
    assert house.get("/sessions/ann")["data"] == {"first": 1}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/items", {"items": [user("x")]}),
        ("POST", "/items/pop", None),
        ("DELETE", "/items", None),
        ("DELETE", "/items/msg_1", None),
        ("POST", "/reset", None),
        ("POST", "/fork", {"session_id": "bob"}),
        ("POST", "/rename", {"session_id": "bob"}),
        ("DELETE", "", None),
        ("DELETE", "?keep_conversation=true", None),
    ],
)
def test_no_change_mixes_with_a_running_turn_and_no_read_waits_for_it(
    open_house: OpenHouse, method: str, path: str, body: object
) -> None:
    house = open_house("memory", settings={"busy_wait_seconds": 0.1})
    made = house.make("ann")
    house.add("ann", user("kept"))
    with house.sessions.turn(key("ann")):
        answer = house.ask(method, f"/sessions/ann{path}", body)
        assert (answer.status_code, answer.get_json()["error"]["code"]) == (409, "turn_busy")
        assert answer.headers["Retry-After"] == "1"
        assert house.get("/sessions/ann") == made
        assert len(house.items("ann")) == 1
        for read in ("turns", "transcript"):
            assert house.ask("GET", f"/sessions/ann/{read}").status_code == 200
        assert house.post("/sessions", {"session_id": "ann"}) == made
        assert house.ask("PATCH", "/sessions/ann", {}).status_code == 200
    assert house.ids() == ["ann"]


def test_erasing_a_user_says_which_sessions_were_in_use(open_house: OpenHouse) -> None:
    house = open_house("memory", settings={"busy_wait_seconds": 0.1})
    for number in range(3):
        house.make(f"u-{number}", user_id="u")
    with house.sessions.turn(key("u-1")):
        error = house.error(409, "DELETE", "/sessions?user_id=u")
    assert (error["code"], error["erased"], error["erasing"], error["busy"]) == ("turn_busy", 2, 0, 1)
    assert house.ids() == ["u-1"]


def test_a_failing_provider_is_not_asked_for_each_session_of_a_user(house: House) -> None:
    for number in range(8):
        house.make(f"u-{number}", user_id="u")
    house.provider.fail("list_items", ProviderRateLimitedError(retry_after=3600))
    found = house.delete("/sessions?user_id=u", 202)
    assert (found["erased"], found["erasing"]) == (0, 8)
    assert house.provider.calls.count("list_items") == 3
    assert {session["status"] for session in house.get("/sessions")["data"]} == {Status.ERASING}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/workflow"),
        ("POST", "/sessions"),
        *(("POST", f"/sessions/ann/{verb}") for verb in ("reset", "fork", "rename", "items", "items/pop")),
        ("POST", "/sessions/ann/pending_calls/cancel"),
        ("PATCH", "/sessions/ann"),
    ],
)
def test_a_query_that_means_nothing_is_not_dropped_silently(open_house: OpenHouse, method: str, path: str) -> None:
    house = open_house("memory")
    house.make("ann")
    assert house.error(400, method, f"{path}?user_id=bob", {})["code"] == "unknown_field"
