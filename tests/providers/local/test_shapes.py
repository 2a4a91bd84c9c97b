"""Field by field, the local provider looks like the live service in its recordings."""

from typing import Any

import pytest
import requests

from gateway.providers.local import LocalProvider, WireError
from tests.harness.shapes import SEEN, differences, run_together
from tests.harness.upstream import UpstreamProcess
from tests.providers.local.conftest import user

OBJECTS, EVENTS, ORDERS = SEEN["objects"], SEEN["events"], SEEN["orders"]
TOOL = {
    "type": "function",
    "name": "look_up",
    "description": "Looks something up.",
    "parameters": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
}
FORM = {"format": {"type": "json_schema", "name": "form", "schema": TOOL["parameters"], "strict": True}}
REQUESTS: dict[str, dict[str, Any]] = {
    "a plain one": {"input": "Hello", "max_output_tokens": 100},
    "one cut off": {"input": "Hello", "max_output_tokens": 3},
    "one in form": {"input": "Hello", "max_output_tokens": 100, "text": FORM},
    "one with metadata": {"input": "Hello", "metadata": {"a": "b"}, "instructions": "Be brief.", "temperature": 0.5},
}


@pytest.fixture(params=["in process", "over HTTP"])
def call(request: pytest.FixtureRequest) -> Any:
    """Asks the service: by its own functions, or by raw HTTP."""
    if request.param == "in process":
        return _InProcess(request.getfixturevalue("provider"))
    return _OverHTTP(request.getfixturevalue("upstream"))


class _InProcess:
    def __init__(self, provider: LocalProvider) -> None:
        self._service = provider.service

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        service = self._service
        match [method, *path.strip("/").split("/")]:
            case ["POST", "conversations"]:
                return service.create_conversation(body)
            case ["GET", "conversations", name]:
                return service.retrieve_conversation(name)
            case ["DELETE", "conversations", name]:
                return service.delete_conversation(name)
            case ["GET", "conversations", name, "items"]:
                return service.list_items(name)
            case ["POST", "conversations", name, "items"]:
                return service.add_items(name, body)
            case ["GET", "conversations", name, "items", item]:
                return service.retrieve_item(name, item)
            case ["POST", "responses"]:
                return service.create_response(body)
            case ["GET", "responses", name]:
                return service.retrieve_response(name)
        raise AssertionError(path)

    def error(self, method: str, path: str, body: Any = None) -> Any:
        with pytest.raises(WireError) as caught:
            self(method, path, body)
        return caught.value.body()

    def stream(self, body: Any) -> list[Any]:
        return [event.json() for event in self._service.stream_response(body)]


class _OverHTTP:
    def __init__(self, upstream: UpstreamProcess) -> None:
        self._url = upstream.url

    def _send(self, method: str, path: str, body: Any) -> requests.Response:
        return requests.request(method, self._url + path, json=body, timeout=10)

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._send(method, path, body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def error(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._send(method, path, body)
        assert answer.status_code >= 400
        return answer.json()

    def stream(self, body: Any) -> list[Any]:
        answer = self._send("POST", "/responses", {**body, "stream": True})
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = []
        for frame in answer.content.decode().split("\n\n")[:-1]:
            name, data = frame.split("\n")
            event = requests.models.complexjson.loads(data.removeprefix("data: "))
            assert name == f"event: {event['type']}"
            events.append(event)
        return events


def test_a_conversation_and_its_items(call: Any) -> None:
    made = call("POST", "/conversations", {"metadata": {"a": "b"}})
    there = f"/conversations/{made['id']}"
    added = call("POST", f"{there}/items", {"items": [user("One"), user("Two")]})
    call("POST", "/responses", {"conversation": made["id"], "input": "Three"})
    listed = call("GET", f"{there}/items")
    answer = call("GET", f"{there}/items/{listed['first_id']}")
    deleted = call("DELETE", there)
    assert differences(made, OBJECTS["conversation"]) == []
    assert differences(added, OBJECTS["list"]) == []
    assert differences(listed, OBJECTS["list"]) == []
    assert differences(answer, OBJECTS["item"]) == []
    assert differences(deleted, OBJECTS["conversation.deleted"]) == []


@pytest.mark.parametrize("wanted", REQUESTS.values(), ids=REQUESTS)
def test_a_response(call: Any, wanted: dict[str, Any]) -> None:
    response = call("POST", "/responses", wanted)
    assert differences(response, OBJECTS["response"]) == []
    assert call("GET", f"/responses/{response['id']}") == response


def test_a_response_in_a_conversation_that_calls_a_tool(call: Any) -> None:
    conversation = call("POST", "/conversations", {})
    wanted = {"conversation": conversation["id"], "input": "call look_up", "tools": [TOOL]}
    response = call("POST", "/responses", wanted)
    assert response["output"][0]["type"] == "function_call"
    assert differences(response, OBJECTS["response"]) == []


@pytest.mark.parametrize("wanted", [REQUESTS[name] for name in ("a plain one", "one cut off", "one in form")])
def test_every_event_of_a_stream(call: Any, wanted: dict[str, Any]) -> None:
    conversation = call("POST", "/conversations", {})
    events = call.stream({**wanted, "conversation": {"id": conversation["id"]}})
    assert [differences(event, EVENTS[event["type"]], event["type"]) for event in events] == [[]] * len(events)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    order = ORDERS["cut off" if wanted["max_output_tokens"] == 3 else "text"]
    assert run_together([event["type"] for event in events]) == order


def test_an_error(call: Any) -> None:
    assert differences(call.error("GET", "/conversations/conv_none"), OBJECTS["error"]) == []
    assert differences(call.error("POST", "/responses", {"model": "m"}), OBJECTS["error"]) == []


def test_text_that_is_not_json_over_http(upstream: UpstreamProcess) -> None:
    answer = requests.post(f"{upstream.url}/conversations", data='{"metadata": // no\n', timeout=10)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_json"
    assert answer.json()["error"]["message"].startswith("Invalid body: failed to parse JSON value. ")
