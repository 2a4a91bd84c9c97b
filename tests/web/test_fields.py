"""What a type of a request refuses: each field by its name, in words, and with the error that it always had."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from gateway.errors import GatewayError, InvalidRequestError, InvalidSessionIdError, UnknownFieldError
from gateway.web.bodies import (
    AddConversationItems,
    AddItems,
    CreateConversation,
    CreateResponse,
    EditConversation,
    EditSession,
    Fork,
    Login,
    MakeSession,
    Nothing,
    Rename,
    Reset,
    Workflow,
)
from gateway.web.fields import MOST_ITEMS, Asked, checked
from gateway.web.queries import (
    ConversationItemsQuery,
    ConversationsQuery,
    EraseQuery,
    ItemsQuery,
    ResponseHeaders,
    SessionsQuery,
    TranscriptQuery,
    TurnHeaders,
    UserQuery,
    VersionHeaders,
    parse_headers,
    parse_query,
)

SAID = {"input_as_text": "a"}
NOT_SESSION_IDS = ["", "conv_abc", ".", "..", "a/b", "a b", "ä", "a" * 201, "a\n", None, 7, ["a"], {}]
NOT_NAMES = ["", "a" * 201, "a\n", "\u202e", 7, []]

WRONG: list[tuple[type[Asked], dict[str, Any], str, str]] = [
    (Workflow, {}, "input_as_text", "Exactly one of input_as_text and input is needed."),
    (Workflow, SAID | {"input": "b"}, "input_as_text", "Exactly one of input_as_text and input is needed."),
    (Workflow, {"input_as_text": 7}, "input_as_text", "input_as_text must be a text that is not empty."),
    (Workflow, {"input": None}, "input", "input must be a text that is not empty or a list of 1 to 2,000 items."),
    (Workflow, {"input": []}, "input", "input must be a text that is not empty or a list of 1 to 2,000 items."),
    (Workflow, SAID | {"on_busy": "never"}, "on_busy", "on_busy must be reject or wait."),
    (Workflow, SAID | {"on_busy": None}, "on_busy", "on_busy must be reject or wait."),
    (Workflow, SAID | {"on_lost": True}, "on_lost", "on_lost must be error or restart."),
    (Workflow, SAID | {"stream": None}, "stream", "stream must be true or false."),
    (Workflow, SAID | {"data": []}, "data", "data must be a JSON object."),
    (EditSession, {"data": None}, "data", "data must be a JSON object."),
    (EditSession, {"status": "erasing"}, "status", "status must be abandoned or active or completed."),
    (AddItems, {}, "items", "items is needed. What is added to a history."),
    (AddItems, {"items": [{}] * (MOST_ITEMS + 1)}, "items", "items must be a list of 1 to 2,000 items."),
    (Reset, {"keep_history": 1}, "keep_history", "keep_history must be true or false."),
    (Rename, {}, "session_id", "session_id is needed. The session's new id, and the user of one that had none."),
    (Login, {}, "key", "key is needed. What a browser logs in with."),
    (Login, {"key": "a" * 3501}, "key", "key must be a text of 1 to 3,500 printable characters."),
    (Login, {"key": "a\n"}, "key", "key must be a text of printable characters."),
    (CreateResponse, {"stream": "yes"}, "stream", "stream must be true or false."),
    (CreateResponse, {"previous_response_id": 7}, "previous_response_id", "previous_response_id must be a text."),
    (CreateResponse, {"input": [{}] * (MOST_ITEMS + 1)}, "input", "input has more than 2,000 items."),
    (CreateConversation, {"items": ["a"]}, "items", "items must be a list of at most 2,000 objects."),
    (EditConversation, {}, "metadata", "metadata is needed. What a client may change of a conversation."),
    (AddConversationItems, {"items": None}, "items", "items must be a list of at most 2,000 objects."),
    (EraseQuery, {"keep_conversation": "yes"}, "keep_conversation", "keep_conversation must be false or true."),
    (TranscriptQuery, {"format": "pdf"}, "format", "format must be json or markdown or text."),
    (ItemsQuery, {"order": "up"}, "order", "order must be asc or desc."),
    (ItemsQuery, {"after": ""}, "after", "after must be a text of 1 to 1,000 characters."),
    (SessionsQuery, {"limit": 0}, "limit", "limit must be a whole number from 1 to 100."),
    (SessionsQuery, {"limit": "5.0"}, "limit", "limit must be a whole number from 1 to 100."),
    (SessionsQuery, {"prefix": "a" * 201}, "prefix", "prefix must be a text of at most 200 characters."),
    (
        SessionsQuery,
        {"status": "gone"},
        "status",
        "status must be one of active, completed, abandoned, erasing.",
    ),
    (
        UserQuery,
        {},
        "user_id",
        "user_id is needed. Whose sessions are erased: there is no way to erase every session at once.",
    ),
    (
        TurnHeaders,
        {"Idempotency-Key": "a b"},
        "Idempotency-Key",
        "Idempotency-Key must be a text of 1 to 255 visible characters.",
    ),
    (ResponseHeaders, {"X-On-Busy": "never"}, "X-On-Busy", "X-On-Busy must be reject or wait."),
]


def refusal(kind: type[Asked], given: dict[str, Any]) -> GatewayError:
    with pytest.raises(GatewayError) as found:
        checked(kind, given)
    return found.value


@pytest.mark.parametrize(("kind", "given", "param", "message"), WRONG, ids=lambda value: str(value)[:40])
def test_what_is_wrong_is_told_by_its_name(kind: type[Asked], given: dict[str, Any], param: str, message: str) -> None:
    error = refusal(kind, given)
    assert (type(error), error.param, error.message) == (InvalidRequestError, param, message)


@pytest.mark.parametrize("value", NOT_SESSION_IDS, ids=repr)
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Workflow, "session_id"),
        (MakeSession, "session_id"),
        (Fork, "session_id"),
        (Rename, "session_id"),
        (CreateResponse, "conversation"),
        (ConversationsQuery, "after"),
    ],
)
def test_no_session_has_such_an_id(kind: type[Asked], name: str, value: object) -> None:
    may_be_null = value is None and name in ("conversation", "after")
    given = {name: value} | (SAID if kind is Workflow else {})
    if may_be_null:
        checked(kind, given)
        return
    error = refusal(kind, given)
    assert (type(error), error.param) == (InvalidSessionIdError, name)


@pytest.mark.parametrize("value", NOT_NAMES, ids=repr)
@pytest.mark.parametrize("kind", [Workflow, MakeSession, Fork, Rename, SessionsQuery, UserQuery])
def test_no_user_has_such_a_name(kind: type[Asked], value: object) -> None:
    given = {"user_id": value} | (SAID if kind is Workflow else {}) | ({"session_id": "a"} if kind is Rename else {})
    error = refusal(kind, given)
    assert (type(error), error.param) == (InvalidRequestError, "user_id")


@pytest.mark.parametrize(
    "value",
    [[], "a", {"k": 1}, {"k": None}, {"k" * 65: "v"}, {"k": "v" * 513}, {str(n): "v" for n in range(17)}],
    ids=lambda value: repr(value)[:30],
)
@pytest.mark.parametrize("kind", [Workflow, MakeSession, EditSession, CreateConversation, EditConversation])
def test_metadata_is_what_the_provider_takes_too(kind: type[Asked], value: object) -> None:
    error = refusal(kind, {"metadata": value} | (SAID if kind is Workflow else {}))
    assert (type(error), error.param) == (InvalidRequestError, "metadata")
    assert "16 pairs, with keys of up to 64 and texts of up to 512 characters" in error.message


def test_as_much_as_may_be_is_taken() -> None:
    most = {"k" * 64: "v" * 512} | {str(number): "" for number in range(15)}
    made = checked(MakeSession, {"session_id": "a" * 200, "user_id": "ä" * 200, "metadata": most})
    assert (made.session_id, made.user_id, made.metadata) == ("a" * 200, "ä" * 200, most)
    assert checked(TurnHeaders, {"Idempotency-Key": "~" * 255}).idempotency_key == "~" * 255


def test_what_is_not_known_is_told_before_what_is_wrong() -> None:
    error = refusal(Workflow, {"on_busy": 7, "surprise": 1})
    assert (type(error), error.param, error.message) == (UnknownFieldError, "surprise", "Unknown field: 'surprise'.")
    assert isinstance(refusal(Nothing, {"x" * 500: 1}), UnknownFieldError)


def test_what_is_passed_on_may_have_other_fields() -> None:
    body = checked(CreateResponse, {"conversation": {"id": "ann"}, "model": 7, "surprise": {}})
    assert body.session_id == "ann"
    assert checked(CreateResponse, {"conversation": "ann"}).session_id == "ann"
    assert checked(CreateResponse, {}).session_id is None


# --- Out of a request --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["1", "7", "007", "100"])
def test_a_limit_is_read_as_a_number(text: str) -> None:
    with Flask(__name__).test_request_context(f"/?limit={text}"):
        assert parse_query(ItemsQuery).limit == int(text)


@pytest.mark.parametrize("text", ["0", "101", "0100", "%2B5", "-1", "5.0", "1e1", "%20", "", "٣", "null"])
def test_a_limit_is_a_whole_number_from_1_to_100(text: str) -> None:
    with Flask(__name__).test_request_context(f"/?limit={text}"), pytest.raises(InvalidRequestError) as found:
        parse_query(ItemsQuery)
    assert found.value.param == "limit"


def test_a_parameter_is_known_and_given_once() -> None:
    with (
        Flask(__name__).test_request_context("/?after=a&after=b"),
        pytest.raises(InvalidRequestError, match="more than once") as twice,
    ):
        parse_query(ItemsQuery)
    assert twice.value.param == "after"
    with (
        Flask(__name__).test_request_context("/?surprise=1"),
        pytest.raises(UnknownFieldError, match="Unknown query parameter: 'surprise'"),
    ):
        parse_query(Nothing)


def test_what_is_to_be_included_may_be_said_in_three_ways() -> None:
    with Flask(__name__).test_request_context("/?include=a&include[]=b&include[2]=c&include[]=d"):
        assert parse_query(ConversationItemsQuery).include == ["a", "b", "d", "c"]


def test_headers_are_read_by_their_names() -> None:
    headers = {"idempotency-key": "k", "X-ON-LOST": "restart"}
    with Flask(__name__).test_request_context("/", headers=headers):
        asked = parse_headers(ResponseHeaders)
        assert (asked.idempotency_key, asked.on_busy, asked.on_lost) == ("k", "wait", "restart")
        assert parse_headers(VersionHeaders).if_match is None
