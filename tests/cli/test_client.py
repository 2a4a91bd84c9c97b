"""What a chat is told when the gateway, or whatever stands in its place, does not answer as it should."""

from typing import Any

import orjson
import pytest
import requests
import responses
from urllib3.exceptions import ProtocolError

from gateway.cli.client import ClientError, GatewayClient
from gateway.cli.words import printable

URL = "http://gateway.test"


def error(code: str, message: str) -> bytes:
    return orjson.dumps({"error": {"message": message, "type": "x", "param": None, "code": code, "request_id": "r"}})


def stream(*events: tuple[str, Any]) -> bytes:
    return b"".join(b"event: %b\nid: 1\ndata: %b\n\n" % (name.encode(), orjson.dumps(data)) for name, data in events)


@pytest.fixture
def answers():
    with responses.RequestsMock() as mocked:
        yield mocked


def turn(answers: responses.RequestsMock, **answer: Any) -> list[tuple[str, Any]]:
    answers.post(f"{URL}/workflow", **answer)
    return list(GatewayClient(URL).turn("a", "hi"))


def refused(answers: responses.RequestsMock, **answer: Any) -> ClientError:
    with pytest.raises(ClientError) as failure:
        turn(answers, **answer)
    return failure.value


def test_the_events_of_a_turn_come_through_up_to_its_end(answers):
    events = [("session", {"created": True}), ("delta", {"text": "Grüße\u2028"}), ("done", {"status": "completed"})]
    body = stream(*events[:2]) + b": still here\n\n" + stream(events[2])
    assert turn(answers, body=body) == events


def test_the_key_is_sent_as_a_bearer_token(answers):
    wanted = responses.matchers.header_matcher({"Authorization": "Bearer secret"})
    answers.get(f"{URL}/sessions/a%7Cb", json={"session_id": "a|b"}, match=[wanted])
    assert GatewayClient(f"{URL}/", key="secret").session("a|b") == {"session_id": "a|b"}


def test_a_wrong_key_says_how_to_give_one(answers):
    failure = refused(answers, status=401, body=error("unauthorized", "A valid key or token is needed."))
    assert str(failure) == f"{URL} answers 401 unauthorized: A valid key or token is needed. Give one with --key."
    assert failure.code == "unauthorized"


def test_an_error_is_told_in_the_gateways_own_words(answers):
    failure = refused(answers, status=409, body=error("turn_busy", "Another turn of this session is running."))
    assert (str(failure), failure.code) == ("Another turn of this session is running.", "turn_busy")
    assert not failure.may_run


def test_an_error_inside_the_stream_ends_it(answers):
    failing = orjson.loads(error("provider_timeout", "The provider fell silent."))
    failure = refused(answers, body=stream(("session", {}), ("delta", {"text": "a"}), ("error", failing)))
    assert (str(failure), failure.code) == ("The provider fell silent.", "provider_timeout")


def test_a_stream_that_breaks_off_leaves_a_turn_that_may_go_on(answers):
    failure = refused(answers, body=stream(("session", {}), ("delta", {"text": "a"})))
    assert str(failure) == "The gateway's answer broke off."
    assert failure.may_run


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 404, "body": b"<html>no</html>"},
        {"status": 502, "body": b""},
        {"status": 500, "json": ["odd"]},
        {"status": 400, "json": {"error": "odd"}},
    ],
)
def test_what_is_no_gateway_is_recognised(answers, answer: dict[str, Any]):
    words = str(refused(answers, **answer))
    assert words == f"{URL} answers {answer['status']}, but not as a gateway does: is the address right?"


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[]"])
def test_a_page_in_the_place_of_a_session_is_recognised(answers, body: bytes):
    answers.get(f"{URL}/sessions/a", body=body)
    with pytest.raises(ClientError, match="is the address right"):
        GatewayClient(URL).session("a")


@pytest.mark.parametrize(
    ("exception", "said", "may_run"),
    [
        (requests.ConnectionError("refused"), "No gateway answers at", False),
        (requests.ConnectTimeout("slow"), "does not answer", False),
        (requests.ReadTimeout("slow"), "does not answer", True),
        (requests.ConnectionError(ProtocolError("aborted")), "broke off", True),
        (requests.exceptions.SSLError("self-signed certificate"), "cannot be reached by TLS: self-signed", False),
        (requests.exceptions.InvalidURL("odd"), "is the address right", False),
    ],
)
def test_a_gateway_that_cannot_be_reached(answers, exception: Exception, said: str, may_run: bool):
    failure = refused(answers, body=exception)
    assert said in str(failure)
    assert failure.may_run is may_run


def test_the_history_is_read_page_by_page(answers):
    pages = [
        {"data": [{"id": "1"}, {"id": "2"}], "has_more": True, "last_id": "2"},
        {"data": [{"id": "3"}], "has_more": False, "last_id": "3"},
    ]
    for after, page in zip([{}, {"after": "2"}], pages, strict=True):
        wanted = responses.matchers.query_param_matcher({"limit": "100", **after})
        answers.get(f"{URL}/sessions/a/items", json=page, match=[wanted])
    assert [item["id"] for item in GatewayClient(URL).items("a")] == ["1", "2", "3"]


def test_what_a_model_says_cannot_steer_the_terminal():
    assert printable("a\x1b[31mred\x07\x9b2J\r\n\tb 🏋\u200d♀ é") == "a[31mred2J\n\tb 🏋\u200d♀ é"
