"""What every request gets: one error shape, a request id, and nothing dropped silently."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

import gateway.web.sse
from gateway.config import Settings
from gateway.events import Delta
from gateway.turn.worker import Reading
from gateway.web import create_app
from gateway.web.app import GatewayApp
from tests.harness.support import run_script


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayApp]:
    folder = tmp_path_factory.mktemp("gateway")
    app = create_app(
        Settings.from_env(
            {"GATEWAY_STORE": "memory:", "GATEWAY_LOCAL_DB": f"{folder}/provider.db", "GATEWAY_MAX_BODY": "64KiB"}
        )
    )
    yield app
    app.finish(10)


@pytest.fixture
def client(app: GatewayApp) -> FlaskClient:
    return app.test_client()


def _refusal(answer: Any) -> tuple[int, str, str | None]:
    error = answer.get_json()["error"]
    assert set(error) >= {"message", "type", "param", "code", "request_id"}
    assert error["request_id"] == answer.headers["X-Request-Id"]
    assert answer.headers["x-should-retry"] == "false"
    assert "Traceback" not in error["message"]
    return answer.status_code, error["code"], error["param"]


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({}, (400, "invalid_request", "input_as_text")),
        ({"input_as_text": ""}, (400, "invalid_request", "input_as_text")),
        ({"input_as_text": 7}, (400, "invalid_request", "input_as_text")),
        ({"input_as_text": "a", "input": "b"}, (400, "invalid_request", "input_as_text")),
        ({"input": []}, (400, "invalid_request", "input")),
        ({"input": ["a"]}, (400, "invalid_request", "input[0]")),
        ({"input": [{"role": "user", "content": "a", "id": "msg_1"}]}, (400, "invalid_request", "input[0].id")),
        ({"input": [{"type": "item_reference"}]}, (400, "invalid_request", "input[0].type")),
        ({"input_as_text": "a", "sesion_id": "x"}, (400, "unknown_field", "sesion_id")),
        ({"input_as_text": "a", "conversation_id": "conv_1"}, (400, "unknown_field", "conversation_id")),
        ({"input_as_text": "a", "on_busy": "never"}, (400, "invalid_request", "on_busy")),
        ({"input_as_text": "a", "on_lost": True}, (400, "invalid_request", "on_lost")),
        ({"input_as_text": "a", "stream": "yes"}, (400, "invalid_request", "stream")),
        ({"input_as_text": "a", "user_id": ""}, (400, "invalid_request", "user_id")),
        ({"input_as_text": "a", "metadata": {"k": 1}}, (400, "invalid_request", "metadata")),
        ({"input_as_text": "a", "data": []}, (400, "invalid_request", "data")),
        *(
            ({"input_as_text": "a", "session_id": wrong}, (400, "invalid_session_id", "session_id"))
            for wrong in ["", "conv_abc", ".", "..", "a/b", "a b", "ä", "a" * 201, "a\n", "{a}", None, 7, ["a"]]
        ),
        ([], (400, "invalid_request", None)),
        ("text", (400, "invalid_request", None)),
    ],
    ids=repr,
)
def test_bad_input_gets_a_clear_error(client: FlaskClient, body: object, refusal: tuple[int, str, str | None]) -> None:
    assert _refusal(client.post("/workflow", json=body)) == refusal


@pytest.mark.parametrize(
    "session_id", ["a", "A", "user@example.com", "a.b_c~d:e@f+g=h,i|j-k", "a" * 200, "...", "Conv_1"]
)
def test_session_ids_are_the_clients_own(client: FlaskClient, session_id: str) -> None:
    reply = client.post("/workflow", json={"input_as_text": "hi", "session_id": session_id}).get_json()
    assert reply["session_id"] == session_id
    assert client.get(f"/sessions/{session_id}").get_json()["conversation_id"] == reply["conversation_id"]


def test_without_a_session_id_one_is_made(client: FlaskClient) -> None:
    reply = client.post("/workflow", json={"input_as_text": "hi"}).get_json()
    assert reply["session_id"].startswith("sess_")
    assert len(reply["session_id"]) == 37


def test_what_is_no_json_is_refused(client: FlaskClient) -> None:
    typed = {"content_type": "application/json"}
    assert _refusal(client.post("/workflow", data="{", **typed)) == (400, "invalid_json", None)
    assert _refusal(client.post("/workflow", data=b"\xff", **typed)) == (400, "invalid_json", None)
    assert _refusal(client.post("/workflow", data="a=b")) == (415, "unsupported_media_type", None)
    assert _refusal(client.post("/workflow", data=" " * 70_000, **typed)) == (413, "body_too_large", None)


def test_a_page_of_another_site_changes_nothing(client: FlaskClient) -> None:
    """What a browser sends for it needs no body, so that nobody is asked beforehand."""
    client.post("/workflow", json={"input_as_text": "a", "session_id": "visited"})
    before = client.get("/sessions/visited").get_json()
    answer = client.post("/sessions/visited/reset", headers={"Sec-Fetch-Site": "cross-site"})
    assert _refusal(answer) == (403, "forbidden", None)
    assert client.get("/sessions/visited").get_json() == before
    assert client.post("/sessions/visited/reset", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


def test_nothing_is_at_other_addresses(client: FlaskClient) -> None:
    assert _refusal(client.get("/nowhere")) == (404, "not_found", None)
    assert _refusal(client.get("/workflow")) == (405, "method_not_allowed", None)
    assert "POST" in client.get("/workflow").headers["Allow"]
    assert _refusal(client.post("/workflow/unknown", json={"input_as_text": "a"})) == (404, "not_found", None)
    assert _refusal(client.get("/sessions/nobody")) == (404, "session_not_found", None)


@pytest.mark.parametrize("key", ["", "a b", "ä", "k" * 256])
def test_a_key_has_visible_characters(client: FlaskClient, key: str) -> None:
    answer = client.post("/workflow", json={"input_as_text": "a"}, headers={"Idempotency-Key": key})
    assert _refusal(answer) == (400, "invalid_request", "Idempotency-Key")


def test_a_defect_shows_no_stack(app: GatewayApp, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(app.gateway, "stream_turn", fail)
    monkeypatch.setattr(app, "testing", False)
    answer = client.post("/workflow", json={"input_as_text": "a"})
    assert _refusal(answer) == (500, "internal_error", None)
    assert "secret detail" not in answer.get_data(as_text=True)


def test_every_reply_may_not_be_kept(client: FlaskClient) -> None:
    for path in ("/sessions/nobody", "/workflow"):
        assert client.get(path).headers["Cache-Control"] == "no-store"


def test_a_silent_stream_is_kept_awake(app: GatewayApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.web.sse, "KEEP_ALIVE_SECONDS", 0.01)
    reading = Reading(iter(()))
    with app.test_request_context():
        frames = gateway.web.sse.encode_stream(reading, [Delta("a")], gateway.web.sse.TurnWriter())
        assert next(frames).startswith(b"event: delta\nid: 1\n")
        assert next(frames).startswith(b":")
        reading.run()
        assert list(frames) == []


def test_a_stream_knows_whether_its_client_stayed_to_the_end(app: GatewayApp) -> None:
    class Writer(gateway.web.sse.TurnWriter):
        has_left = False

        def left(self) -> None:
            self.has_left = True

    def writer_of(frames_read: int) -> Writer:
        reading, writer = Reading(iter(())), Writer()
        reading.run()
        with app.test_request_context():
            frames = gateway.web.sse.encode_stream(reading, [Delta("a")], writer)
            for _ in range(frames_read):
                next(frames, None)
            frames.close()
        return writer

    assert writer_of(1).has_left
    assert not writer_of(2).has_left


def test_a_script_speaks_to_the_same_sessions(tmp_path: Path) -> None:
    script = (
        "from gateway import run_workflow\n"
        "first = run_workflow('my cat is called Tom', session_id='alice')\n"
        "second = run_workflow('what did I say?', session_id='alice')\n"
        "assert first.conversation_id == second.conversation_id\n"
        "print(first.created, second.created, second.output_text)\n"
    )
    done = run_script(script, tmp_path)
    assert done.stderr == ""
    assert done.stdout.startswith("True False ")
    assert "my cat is called Tom" in done.stdout
    assert (tmp_path / "sessions.json").exists()
