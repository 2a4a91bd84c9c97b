"""Two tenants, and the users of one: the same id is another session for each, on every store, and nothing of one can be
seen or touched by another."""

from __future__ import annotations

import pytest

from gateway.model import Role
from tests.conftest import STORES
from tests.harness.app import House, user
from tests.web.conftest import OpenHouse
from tests.web.test_access import Caller, add_key

ITEM = "msg_" + "0" * 48


@pytest.fixture(params=STORES)
def house(request: pytest.FixtureRequest, open_house: OpenHouse) -> House:
    return open_house(request.param, settings={"auth": "keys", "v1": "everybody"})


@pytest.fixture
def callers(house: House) -> dict[str, Caller]:
    made = {
        "acme": add_key(house, "acme"),
        "admin": add_key(house, "admin", role=Role.ADMIN),
        "ann": add_key(house, "ann", user_id="ann"),
        "bob": add_key(house, "bob", user_id="bob"),
        "other": add_key(house, "other", "other"),
        "other-ann": add_key(house, "other-ann", "other", user_id="ann"),
        "other-admin": add_key(house, "other-admin", "other", role=Role.ADMIN),
    }
    return {name: Caller(house, key) for name, key in made.items()}


def test_the_same_id_is_another_session_for_each(house: House, callers: dict[str, Caller]) -> None:
    names = ["acme", "ann", "bob", "other", "other-ann"]
    made = {
        name: callers[name].post("/workflow", {"session_id": "s", "input_as_text": f"I am {name}"}) for name in names
    }
    assert all(reply["created"] for reply in made.values())
    assert len({reply["conversation_id"] for reply in made.values()}) == len(names)
    for name in names:
        assert callers[name].ids() == ["s"]
        text = callers[name].ask("GET", "/sessions/s/transcript?format=text").text
        assert [each for each in names if f"I am {each}\n" in text] == [name]
        assert callers[name].get("/sessions/s")["user_id"] == {"ann": "ann", "bob": "bob", "other-ann": "ann"}.get(name)
    # One key of a tenant is as good as another: both work in the tenant's own namespace.
    assert callers["admin"].get("/sessions/s")["conversation_id"] == made["acme"]["conversation_id"]


def test_what_is_anothers_reads_as_what_is_not_there(house: House, callers: dict[str, Caller]) -> None:
    """Every route about a session, asked by everybody else, and about a session that nobody has."""
    reply = callers["ann"].post("/workflow", {"session_id": "s", "input_as_text": "secret"})
    turn_id, response_id = reply["turn_id"], reply["response_id"]
    item_id = callers["ann"].get("/sessions/s/items")["data"][0]["id"]
    asked = [
        ("GET", "/sessions/{}", None),
        ("PATCH", "/sessions/{}", {"data": {"a": 1}}),
        ("DELETE", "/sessions/{}", None),
        ("DELETE", "/sessions/{}?keep_conversation=true", None),
        ("GET", "/sessions/{}/items", None),
        ("POST", "/sessions/{}/items/pop", None),
        ("DELETE", "/sessions/{}/items", None),
        ("DELETE", f"/sessions/{{}}/items/{item_id}", None),
        ("POST", "/sessions/{}/reset", {}),
        ("POST", "/sessions/{}/fork", {"session_id": "stolen"}),
        ("POST", "/sessions/{}/rename", {"session_id": "stolen"}),
        ("GET", "/sessions/{}/turns", None),
        ("GET", f"/sessions/{{}}/turns/{turn_id}", None),
        ("POST", "/sessions/{}/pending_calls/cancel", None),
        ("GET", "/sessions/{}/transcript", None),
        ("GET", "/v1/conversations/{}", None),
        ("POST", "/v1/conversations/{}", {"metadata": {}}),
        ("DELETE", "/v1/conversations/{}", None),
        ("GET", f"/v1/conversations/{{}}/items/{item_id}", None),
        ("DELETE", f"/v1/conversations/{{}}/items/{item_id}", None),
    ]
    for name in ("acme", "admin", "bob", "other", "other-ann", "other-admin"):
        for method, path, body in asked:
            calls = len(house.provider.calls)
            answers = [callers[name].ask(method, path.format(each), body) for each in ("s", "t")]
            assert [answer.status_code for answer in answers] == [404, 404], (name, method, path)
            errors = [answer.get_json()["error"] for answer in answers]
            foreign, missing = (str({**error, "request_id": ""}).replace("'t'", "'s'") for error in errors)
            assert foreign == missing, (name, method, path)
            assert len(house.provider.calls) == calls, "the provider was asked for what is not the caller's"
        # The first items make a session: another one, of the caller's own.
        assert callers[name].post("/sessions/s/items", {"items": [user(f"I am {name}")]})["data"]
        assert len(callers[name].get("/sessions/s/items")["data"]) == 1
        callers[name].ask("DELETE", "/sessions/s")
        for method in ("GET", "DELETE"):
            assert callers[name].ask(method, f"/v1/responses/{response_id}").status_code == 404
        body = {"model": "demo", "input": "go on", "previous_response_id": response_id}
        assert callers[name].ask("POST", "/v1/responses", body).status_code == 404
        reference = {"model": "demo", "input": [{"type": "item_reference", "id": item_id}]}
        assert callers[name].ask("POST", "/v1/responses", reference).status_code == 404
        assert callers[name].ids() == []
        assert callers[name].get("/v1/conversations")["data"] == []
    assert callers["ann"].ids() == ["s"]
    assert "secret" in callers["ann"].ask("GET", "/sessions/s/transcript").text


def test_an_idempotency_key_is_its_callers_own(callers: dict[str, Caller]) -> None:
    body = {"session_id": "s", "input_as_text": "hello"}
    replies = {
        name: callers[name].ask("POST", "/workflow", body, Idempotency_Key="k").get_json()
        for name in ("acme", "ann", "bob", "other")
    }
    assert not any(reply["replayed"] for reply in replies.values())
    assert len({reply["turn_id"] for reply in replies.values()}) == 4


def test_a_user_is_nobody_else(callers: dict[str, Caller]) -> None:
    ann = callers["ann"]
    ann.post("/sessions", {"session_id": "s", "user_id": "ann"})
    for method, path, body in [
        ("POST", "/sessions", {"session_id": "new", "user_id": "bob"}),
        ("POST", "/workflow", {"session_id": "new", "input_as_text": "x", "user_id": "bob"}),
        ("POST", "/sessions/s/fork", {"session_id": "new", "user_id": "bob"}),
        ("POST", "/sessions/s/rename", {"session_id": "new", "user_id": "bob"}),
    ]:
        assert ann.ask(method, path, body).get_json()["error"]["code"] == "user_mismatch"
    assert ann.ids() == ["s"]
    for name in ("ann", "acme"):
        error = callers[name].ask("GET", "/sessions/s?user_id=bob").get_json()["error"]
        assert error["code"] == "forbidden"
    ann.post("/sessions/s/fork", {"session_id": "copy"})
    ann.post("/v1/conversations", {"metadata": {"session_id": "third"}})
    ann.ask("POST", "/v1/conversations/fourth/items", {"items": [user("x")]})
    ann.post("/v1/responses", {"model": "demo", "input": "x", "conversation": "fifth"})
    assert {session["user_id"] for session in ann.get("/sessions")["data"]} == {"ann"}
    assert len(ann.ids()) == 5


def test_an_admin_reaches_a_users_sessions_by_user_id(callers: dict[str, Caller]) -> None:
    admin, ann = callers["admin"], callers["ann"]
    reply = ann.post("/workflow", {"session_id": "s", "input_as_text": "hello"})
    callers["acme"].post("/sessions", {"session_id": "labelled", "user_id": "ann"})
    callers["other-ann"].post("/sessions", {"session_id": "elsewhere"})
    assert admin.ask("GET", "/sessions/s").status_code == 404
    assert admin.get("/sessions/s?user_id=ann")["conversation_id"] == reply["conversation_id"]
    assert admin.get(f"/v1/responses/{reply['response_id']}?user_id=ann")["conversation"] == {"id": "s"}
    assert admin.post("/workflow?user_id=ann", {"session_id": "s", "input_as_text": "again"})["created"] is False
    made = admin.post("/sessions?user_id=ann", {"session_id": "by-admin"})
    assert made["user_id"] == "ann"
    assert set(ann.ids()) == {"s", "by-admin"}
    # What the tenant's own keys made for the user is the user's too, as far as an admin is concerned.
    assert set(admin.ids("?user_id=ann")) == {"s", "by-admin", "labelled"}
    assert admin.ids("?user_id=bob") == []
    found, after = [], ""
    while after is not None:
        page = admin.get(f"/sessions?user_id=ann&limit=1{after}")
        found += [session["session_id"] for session in page["data"]]
        after = f"&after={page['next']}" if page["has_more"] else None
    assert sorted(found) == ["by-admin", "labelled", "s"]
    assert admin.ask("GET", "/sessions?user_id=ann&after=x").status_code == 400
    receipts = admin.ask("DELETE", "/sessions?user_id=ann")
    assert receipts.status_code == 200
    assert len(receipts.get_json()["data"]) == 3
    assert (ann.ids(), callers["acme"].ids(), callers["other-ann"].ids()) == ([], [], ["elsewhere"])
