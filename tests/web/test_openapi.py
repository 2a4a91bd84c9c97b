"""/openapi.json tells the truth: every route is in it, every reply is as it says, and a client made from it works."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.generation.modes import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from werkzeug.test import TestResponse

from gateway.auth.keys import new_key
from gateway.errors import ConversationGoneError, GatewayError, ProviderError
from gateway.model import ApiKey, Role
from gateway.web.reference import history, operations, sessions, turns, v1
from gateway.web.reference.pages import document
from gateway.web.routes import Route, routes_of
from tests.harness.app import House, user
from tests.harness.support import run_script
from tests.web.conftest import OpenHouse

JSON = dict[str, Any]

ROWS = [
    row
    for module in (turns, sessions, history, v1, operations)
    for row in vars(module).values()
    if isinstance(row, Route)
]


def title(route: Route) -> str:
    return f"{route.method} {route.address}"


@pytest.fixture
def told(house: House) -> JSON:
    """The document as a client gets it."""
    return house.get("/openapi.json")


class Held:
    """A gateway whose every reply is held against its own document, and against nothing more than that."""

    def __init__(self, house: House, document: JSON) -> None:
        self.house = house
        self._document = closed(document)
        self._map = house.app.url_map.bind("localhost")
        self.seen: set[tuple[str, str, int]] = set()

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> TestResponse:
        answer = self.house.ask(method, path, body, **headers)
        self.check(method, path, answer)
        return answer

    def expect(self, status: int, method: str, path: str, body: object = None, **headers: str) -> JSON:
        answer = self.ask(method, path, body, **headers)
        assert answer.status_code == status, answer.text
        found: JSON = answer.get_json(silent=True) or {}
        return found

    def check(self, method: str, path: str, answer: TestResponse) -> None:
        rule, _ = self._map.match(path.partition("?")[0], method=method, return_rule=True)
        address = rule.rule.replace("<", "{").replace(">", "}")
        self.seen.add((method, address, answer.status_code))
        told = self._document["paths"][address][method.lower()]["responses"]
        assert str(answer.status_code) in told, f"{method} {address} gave {answer.status_code}: {answer.text}"
        reply = told[str(answer.status_code)]
        for name in reply["headers"]:
            assert name in answer.headers or name == "Retry-After", f"{method} {address} has no {name}"
        if not answer.data:
            assert "content" not in reply
            return
        assert answer.mimetype in reply["content"]
        if answer.mimetype == "application/json":
            schema = {**reply["content"]["application/json"]["schema"], "components": self._document["components"]}
            jsonschema_rs.validator_for(schema).validate(answer.get_json())


def closed(document: JSON) -> JSON:
    """The same, but what is not named in a reply of ours is wrong there."""
    schemas = {
        name: schema if "additionalProperties" in schema else {**schema, "unevaluatedProperties": False}
        for name, schema in document["components"]["schemas"].items()
    }
    return {**document, "components": {**document["components"], "schemas": schemas}}


@pytest.fixture
def held(house: House, told: JSON) -> Held:
    return Held(house, told)


# --- The document ------------------------------------------------------------------------------------------


def test_every_route_has_a_row(house: House) -> None:
    """And every row that is written down is served, as it says."""
    for route, rule in routes_of(house.app):
        assert rule.rule in route.addresses
        assert (rule.methods or set()) - {"HEAD", "OPTIONS"} == {route.method}
    served = [route for route, _ in routes_of(house.app) if route.group is not None]
    assert all(any(row is route for route in served) for row in ROWS)
    assert all(any(row is route for row in ROWS) for route in served)


def test_it_is_openapi(told: JSON) -> None:
    assert told["openapi"] == "3.1.0"
    for schema in told["components"]["schemas"].values():
        jsonschema_rs.validator_for({**schema, "components": told["components"]})
    operations = [operation for path in told["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))


def test_every_field_is_told_in_words(told: JSON) -> None:
    """What a request takes is not left to guessing; nothing is described twice by its own name."""
    for operation in (operation for path in told["paths"].values() for operation in path.values()):
        assert operation["summary"]
        for answer in operation["responses"].values():
            assert answer["description"]
    asked = told["components"]["schemas"]["Workflow"]["properties"]
    assert all("description" in field for field in asked.values())
    assert "title" not in asked["stream"]


def test_every_example_is_what_its_type_says(told: JSON) -> None:
    def held_against(content: JSON) -> None:
        if "example" in content and content["schema"] != {"type": "string"}:
            schema = {**content["schema"], "components": closed(told)["components"]}
            jsonschema_rs.validator_for(schema).validate(content["example"])

    for path in told["paths"].values():
        for operation in path.values():
            bodies = operation.get("requestBody", {}).get("content", {})
            replies = [answer.get("content", {}) for answer in operation["responses"].values()]
            for contents in [bodies, *replies]:
                for content in contents.values():
                    held_against(content)


@pytest.mark.parametrize("route", [row for row in ROWS if row.query and row.query.__struct_fields__], ids=title)
def test_a_route_knows_the_parameters_that_it_is_said_to_know(house: House, route: Any) -> None:
    def code(query: str) -> str | None:
        found = house.ask(route.method, re.sub("<.*?>", "s", route.address) + query).get_json()
        return found.get("error", {}).get("code")

    house.make("s")
    for name in route.query.__struct_fields__:
        assert code(f"?{name}=%20") != "unknown_field", name
    assert code("?surprise=1") == "unknown_field"


@pytest.mark.parametrize("route", [row for row in ROWS if row.body], ids=title)
def test_a_route_knows_the_fields_that_it_is_said_to_know(open_house: OpenHouse, route: Any) -> None:
    """Each is taken or refused for its value, and any other is refused for its name."""
    logs_in = route is operations.LOGIN
    house = open_house("memory", settings={"auth": "keys" if logs_in else "none"})
    if not logs_in:
        house.make("s")
    path = route.address.replace("<session_id>", "s")
    passes = route is v1.CREATE_RESPONSE
    for name in route.body.__struct_fields__:
        answer = house.ask(route.method, path, {name: 7})
        assert answer.status_code == 400, f"{name}: {answer.text}"
        assert answer.get_json()["error"]["code"] != "unknown_field", name
    answer = house.ask(route.method, path, {**(route.example or {}), "surprise": 7})
    refused = answer.status_code == 400 and answer.get_json()["error"]["code"] == "unknown_field"
    assert refused != passes, answer.text


def test_with_auth_it_says_who_may_come_in(open_house: OpenHouse) -> None:
    house = open_house("memory", settings={"auth": "keys"})
    with house.app.test_request_context():
        told = document("keys")
    assert told["paths"]["/workflow"]["post"]["security"] == [{"bearer": []}, {"cookie": []}]
    assert told["paths"]["/healthz"]["get"]["security"] == []
    secret, digest = new_key("one")
    house.sessions.store.owners.add_key(ApiKey("one", digest, "acme", Role.USER, None, 1))
    held = Held(house, told)
    held.expect(401, "GET", "/sessions")
    held.expect(401, "POST", "/workflow", {"input_as_text": "a"})
    held.expect(403, "GET", "/sessions/a?user_id=bob", Authorization=f"Bearer {secret}")
    held.expect(200, "GET", "/sessions", Authorization=f"Bearer {secret}")
    held.expect(401, "POST", "/login", {"key": "gw_a_b"})
    held.expect(204, "POST", "/login", {"key": secret})
    held.expect(204, "POST", "/logout")


def test_neither_it_nor_a_turn_needs_what_is_slow_to_load(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from gateway.config import Settings\n"
        "from gateway.web import create_app\n"
        "app = create_app(Settings(store='memory:', local_db='provider.db'))\n"
        "client = app.test_client()\n"
        "assert client.post('/workflow', json={'input_as_text': 'a'}).status_code == 200\n"
        "assert client.get('/openapi.json').status_code == 200\n"
        "assert 'pydantic' not in sys.modules\n"
        "app.finish(5)\n"
    )
    done = run_script(script, tmp_path)
    assert done.returncode == 0, done.stderr


# --- Replies -----------------------------------------------------------------------------------------------


def test_every_reply_is_as_it_says(held: Held) -> None:
    """The life of a session, each route once at least."""
    made = held.expect(201, "POST", "/sessions", {"session_id": "a", "user_id": "alice", "data": {"n": 1}})
    assert made["session_id"] == "a"
    held.expect(200, "POST", "/sessions", {"session_id": "a"})
    reply = held.expect(200, "POST", "/workflow", {"session_id": "a", "input_as_text": "hello"})
    held.expect(200, "GET", "/sessions?limit=1")
    held.expect(200, "GET", "/sessions/a")
    held.expect(200, "PATCH", "/sessions/a", {"data": {"n": 2}, "metadata": {"k": "v"}, "status": "completed"})
    items = held.expect(200, "POST", "/sessions/a/items", {"items": [user("one"), user("two")]})["data"]
    held.expect(200, "GET", "/sessions/a/items")
    held.expect(200, "POST", "/sessions/a/items/pop")
    held.expect(200, "DELETE", f"/sessions/a/items/{items[0]['id']}")
    held.expect(200, "GET", "/sessions/a/turns")
    held.expect(200, "GET", f"/sessions/a/turns/{reply['turn_id']}")
    for form in ("markdown", "text", "json"):
        held.expect(200, "GET", f"/sessions/a/transcript?format={form}")
    held.expect(200, "POST", "/sessions/a/pending_calls/cancel")
    held.expect(201, "POST", "/sessions/a/fork", {"session_id": "b"})
    held.expect(200, "POST", "/sessions/b/rename", {"session_id": "c"})
    held.expect(200, "POST", "/sessions/c/reset", {"keep_history": True})
    held.expect(200, "DELETE", "/sessions/c/items")
    held.expect(200, "DELETE", "/sessions/c")
    held.expect(200, "DELETE", "/sessions/a?keep_conversation=true")
    held.expect(200, "DELETE", "/sessions?user_id=alice")

    held.expect(200, "GET", "/v1/models")
    response = held.expect(200, "POST", "/v1/responses", {"input": "hello", "conversation": "v"})
    held.expect(200, "GET", f"/v1/responses/{response['id']}")
    held.expect(200, "DELETE", f"/v1/responses/{response['id']}")
    held.expect(200, "POST", "/v1/conversations", {"metadata": {"session_id": "w"}})
    held.expect(200, "GET", "/v1/conversations")
    held.expect(200, "GET", "/v1/conversations/w")
    held.expect(200, "POST", "/v1/conversations/w", {"metadata": {"k": "v"}})
    added = held.expect(200, "POST", "/v1/conversations/w/items", {"items": [user("one")]})["data"]
    held.expect(200, "GET", "/v1/conversations/w/items")
    held.expect(200, "GET", f"/v1/conversations/w/items/{added[0]['id']}")
    held.expect(200, "DELETE", f"/v1/conversations/w/items/{added[0]['id']}")
    held.expect(200, "DELETE", "/v1/conversations/w")

    held.expect(200, "GET", "/healthz")
    held.expect(200, "GET", "/readyz")
    held.expect(200, "GET", "/openapi.json")
    held.ask("GET", "/metrics")
    held.expect(404, "POST", "/login", {"key": "a"})
    held.expect(204, "POST", "/logout")
    held.expect(404, "POST", "/workflow/nothing", {"input_as_text": "a"})

    told = {(method.upper(), path) for path, methods in held._document["paths"].items() for method in methods}
    assert told == {(method, path) for method, path, _ in held.seen}


def test_every_error_is_as_it_says(held: Held) -> None:
    house = held.house
    house.make("a", user_id="alice")
    house.make("b")
    held.expect(400, "POST", "/workflow", {})
    held.expect(400, "POST", "/workflow", {"input_as_text": "a", "surprise": 1})
    held.expect(400, "POST", "/workflow", {"input_as_text": "a", "session_id": "a b"})
    held.expect(400, "GET", "/sessions/a%20b")
    held.expect(400, "GET", "/sessions?limit=0")
    held.expect(404, "GET", "/sessions/nobody")
    held.expect(404, "GET", "/sessions/a/turns/nothing")
    held.expect(404, "DELETE", "/sessions/a/items/msg_0")
    held.expect(404, "POST", "/sessions/b/items/pop")
    held.expect(404, "GET", "/v1/responses/resp_0")
    held.expect(404, "GET", "/v1/conversations/nobody")
    held.expect(404, "POST", "/v1/responses", {"input": [{"type": "item_reference", "id": "msg_0"}]})
    held.expect(409, "POST", "/workflow", {"input_as_text": "a", "session_id": "a", "user_id": "bob"})
    held.expect(409, "POST", "/sessions/a/fork", {"session_id": "b"})
    held.expect(409, "POST", "/sessions/a/rename", {"session_id": "b"})
    held.expect(412, "PATCH", "/sessions/a", {"data": {}}, If_Match='"another"')
    held.expect(422, "POST", "/workflow", {"input_as_text": "b"}, Idempotency_Key=_used_key(house))
    held.expect(400, "POST", "/v1/responses", {"input": "a"}, Idempotency_Key="k")
    large = house.client.post("/workflow", data=b"a" * 2_000_000, content_type="application/json")
    held.check("POST", "/workflow", large)
    held.check("POST", "/workflow", house.client.post("/workflow", data=b"{", content_type="application/json"))
    held.check("POST", "/workflow", house.client.post("/workflow", data=b"a=b"))


def _used_key(house: House) -> str:
    assert house.ask("POST", "/workflow", {"input_as_text": "a"}, Idempotency_Key="k").status_code == 200
    return "k"


@pytest.mark.parametrize("error", [ProviderError(), ConversationGoneError()], ids=lambda error: error.code)
def test_what_the_provider_fails_with_is_as_it_says(held: Held, error: GatewayError) -> None:
    house = held.house
    house.make("a")
    house.add("a", user("one"))
    for call in ("stream_response", "create_response", "list_items", "delete_item", "add_items", "delete_conversation"):
        house.provider.fail(call, error)
    held.expect(error.status, "POST", "/workflow", {"session_id": "a", "input_as_text": "a"})
    held.expect(error.status, "POST", "/v1/responses", {"conversation": "a", "input": "a"})
    held.expect(error.status, "GET", "/sessions/a/items")
    held.expect(error.status, "POST", "/sessions/a/items", {"items": [user("two")]})
    held.expect(error.status, "GET", "/sessions/a/transcript")
    assert held.ask("DELETE", "/sessions/a").status_code in (200, 202)


def test_a_stream_is_as_it_says(house: House, told: JSON) -> None:
    answer = house.ask("POST", "/workflow", {"input_as_text": "hello", "stream": True})
    described = told["paths"]["/workflow"]["post"]["responses"]["200"]["content"]["text/event-stream"]["x-events"]
    names = []
    for block in answer.text.strip().split("\n\n"):
        name, _, data = (line.partition(": ")[2] for line in block.split("\n"))
        names.append(name)
        schema = {**described[name], "components": closed(told)["components"]}
        jsonschema_rs.validator_for(schema).validate(orjson.loads(data))
    assert names[0] == "session"
    assert names[-1] == "done"
    assert set(names[1:-1]) == {"delta"}


# --- schemathesis ------------------------------------------------------------------------------------------

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_schemathesis_finds_no_reply_that_is_not_as_it_says(open_house: OpenHouse, mode: GenerationMode) -> None:
    """Requests out of the document itself, sound ones and broken ones, the same in every run."""
    house = open_house("memory", settings={"busy_wait_seconds": 0.2})
    house.make("user_alice_session")
    tried = 0
    for found in schemathesis.openapi.from_wsgi("/openapi.json", house.app).get_all_operations():
        requests = found.ok().as_strategy(generation_mode=mode)

        @settings(max_examples=3, derandomize=True, database=None, deadline=None, suppress_health_check=[*HealthCheck])
        @given(case=requests)
        def hold(case: schemathesis.Case) -> None:
            nonlocal tried
            tried += 1
            case.call_and_validate(checks=CHECKS)

        with suppress(Unsatisfiable):  # what takes nothing cannot be sent anything wrong
            hold()
    assert tried > 50
