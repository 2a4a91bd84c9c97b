import dataclasses
import string

import pytest

from gateway.errors import InvalidSessionIdError
from gateway.model import (
    Reply,
    Session,
    SessionKey,
    Status,
    TurnRecord,
    TurnState,
    encode_time,
    fingerprint,
    new_session_id,
    new_turn_id,
    parse_session_id,
    parse_time,
)

SESSION = Session("t", "s", "conv_1", created_at=1761472800000, last_used=1761473100000)


@pytest.mark.parametrize(
    "value",
    [
        *("a", "A", "0", "user_alice_session", "x" * 200, "...", ".a", "-", "conv", "Conv_1"),
        *("a|b@c:d~e+f=g,h.i-j_k", string.ascii_letters, string.digits),
    ],
)
def test_a_session_id_is_taken_as_it_is(value):
    assert parse_session_id(value) == value


@pytest.mark.parametrize(
    "value",
    [
        *("", ".", "..", "x" * 201, "conv_1", "conv_", "a b", " a", "a ", "a\n", "\na", "a/b", "a%41", "a\0"),
        *("é", "\uff41", "\u0663", "{a}", "a*", "a?", 'a"', "a'", "a\\b", "a;b", "a#b", "a&b", "<a>"),
        *(None, 1, True, ["a"], b"a"),
    ],
)
def test_what_is_no_session_id_is_refused(value):
    with pytest.raises(InvalidSessionIdError) as caught:
        parse_session_id(value)
    assert (caught.value.param, caught.value.status) == ("session_id", 400)


def test_an_invalid_session_id_can_be_another_fields():
    with pytest.raises(InvalidSessionIdError) as caught:
        parse_session_id("a b", param="to")
    assert caught.value.param == "to"


def test_new_ids_are_valid_and_new():
    made = {new_session_id() for _ in range(100)}
    assert len(made) == 100
    assert all(parse_session_id(each) == each and len(each) == 37 for each in made)
    assert new_turn_id() != new_turn_id()


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (1761472800000, "2025-10-26T10:00:00.000Z"),
        (1761472800999, "2025-10-26T10:00:00.999Z"),
        (4102444799999, "2099-12-31T23:59:59.999Z"),
    ],
)
def test_times_are_written_and_read_to_the_millisecond(milliseconds, text):
    assert encode_time(milliseconds) == text
    assert parse_time(text) == milliseconds


def test_every_millisecond_survives():
    for milliseconds in range(1761472800000, 1761472801000):
        assert parse_time(encode_time(milliseconds)) == milliseconds


def test_no_time_is_none():
    assert encode_time(None) is None


@pytest.mark.parametrize("text", ["2025-10-26T10:00:00Z", "2025-10-26T10:00:00", "2025-10-26T12:00:00+02:00"])
def test_times_of_other_writers_are_understood(text):
    assert parse_time(text) == 1761472800000


@pytest.mark.parametrize("text", ["", "yesterday", "2025-13-01T00:00:00Z"])
def test_what_is_no_time_is_a_value_error(text):
    with pytest.raises(ValueError):
        parse_time(text)


def test_a_session_reads_as_promised():
    assert SESSION.as_dict() == {
        "session_id": "s",
        "conversation_id": "conv_1",
        "created_at": "2025-10-26T10:00:00.000Z",
        "last_used": "2025-10-26T10:05:00.000Z",
        "expires_at": None,
        "status": "active",
        "user_id": None,
        "data": {},
        "metadata": {},
        "generation": 1,
        "turns": 0,
    }
    assert SESSION.key == SessionKey("t", "s")


@pytest.mark.parametrize(
    "change", [{"data": {"a": 1}}, {"metadata": {"a": "1"}}, {"status": Status.COMPLETED}, {"user_id": "u"}]
)
def test_the_version_changes_with_what_may_be_edited(change):
    assert dataclasses.replace(SESSION, **change).version != SESSION.version


def test_the_version_does_not_change_with_turns():
    used = dataclasses.replace(
        SESSION, conversation_id="conv_2", last_used=1, created_at=1, expires_at=1, generation=2, turns=9
    )
    assert used.version == SESSION.version


def test_the_version_does_not_depend_on_the_order_of_keys():
    one, other = ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1})
    assert dataclasses.replace(SESSION, data=one).version == dataclasses.replace(SESSION, data=other).version


def test_a_session_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SESSION.turns = 1


@pytest.mark.parametrize(
    ("state", "live", "in_doubt"),
    [
        (TurnState.WAITING, True, False),
        (TurnState.WAITING, False, False),
        (TurnState.RUNNING, True, False),
        (TurnState.RUNNING, False, True),
        (TurnState.COMPLETED, False, False),
        (TurnState.LOST, False, False),
    ],
)
def test_a_turn_is_in_doubt_when_it_ran_and_nobody_is_there(state, live, in_doubt):
    assert TurnRecord("turn_1", "t", "s", state=state, live=live).in_doubt is in_doubt


def test_a_turn_reads_without_its_keys():
    record = TurnRecord("turn_1", "t", "s", idempotency_key="secret", fingerprint="print", response_id="resp_1")
    assert record.as_dict() == {
        "turn_id": "turn_1",
        "response_id": "resp_1",
        "state": "waiting",
        "started_at": None,
        "finished_at": None,
        "usage": None,
    }


def test_equal_bodies_have_one_fingerprint_a_turn():
    body = {"session_id": "s", "input": [{"type": "message", "content": "hi"}]}
    same = {"input": [{"content": "hi", "type": "message"}], "session_id": "s"}
    assert fingerprint("turn_1", body) == fingerprint("turn_1", same)
    assert fingerprint("turn_1", body) != fingerprint("turn_2", body)
    assert fingerprint("turn_1", body) != fingerprint("turn_1", {**body, "stream": True})
    assert fingerprint("turn_1", {"input": ["a", "b"]}) != fingerprint("turn_1", {"input": ["b", "a"]})


def test_a_reply_names_a_reason_only_when_it_is_incomplete():
    reply = Reply("s", "conv_1", "resp_1", "turn_1", "Hello", "completed", True, False, False, 1, "m", None)
    assert "incomplete_reason" not in reply.as_dict()
    assert reply.as_dict()["pending_calls"] == []
    cut = dataclasses.replace(reply, status="incomplete", incomplete_reason="max_output_tokens")
    assert cut.as_dict()["incomplete_reason"] == "max_output_tokens"
