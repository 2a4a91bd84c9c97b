"""gateway export and import: whole lines, or none."""

from dataclasses import replace

import orjson
import pytest

from gateway.cli.json_lines import LineError, encode_line, parse_lines
from gateway.model import Session, Status
from gateway.sessions import Filter, open_sessions
from tests.harness.commands import Inside, Runner, original_file

WHOLE = Session(
    tenant="acme",
    session_id="a",
    conversation_id="conv_1",
    created_at=1_700_000_000_000,
    last_used=1_700_000_000_001,
    expires_at=4_000_000_000_000,
    status=Status.COMPLETED,
    user_id="zoë",
    data={"deep": [1, {"x": None}]},
    metadata={"plan": "a"},
    generation=2,
    turns=5,
)


def test_what_is_exported_is_imported_field_by_field(inside: Inside):
    sessions = [WHOLE, replace(WHOLE, tenant=""), Session("", "plain", "conv_2", 1000, 2000)]
    with open_sessions(f"json:{inside.folder / 'sessions.json'}") as store:
        store.put(sessions)
    lines = inside.well("export")
    assert len(lines.splitlines()) == 3
    url = f"sqlite:///{inside.folder / 'new.db'}"
    assert inside.well("import", "--store", url, stdin=lines) == "3 sessions imported.\n"
    assert inside.well("import", "--store", url, stdin=lines) == "0 sessions imported, 3 there already.\n"
    with open_sessions(url) as store:
        assert {session.key: session for session in store.walk(Filter())} == {s.key: s for s in sessions}


@pytest.mark.slow
def test_a_reader_who_leaves_early_is_not_complained_about(gateway: Runner):
    original_file(gateway.folder / "sessions.json", 5000)
    done = gateway.shell("gateway export | head -1")
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""
    through = gateway.shell("gateway export | gateway import --store json:new.json")
    assert (through.returncode, through.stdout) == (0, "5,000 sessions imported.\n")


def test_what_comes_before_a_line_that_is_cut_off_is_imported(inside: Inside):
    original_file(inside.folder / "sessions.json", 3)
    lines = inside.well("export")
    done = inside("import", "--store", "json:new.json", stdin=lines[:-40])
    assert (done.returncode, done.stdout) == (1, "2 sessions imported.\n")
    assert done.stderr == "Error: line 3 is cut off. Nothing from there on was read.\n"


def test_the_same_session_twice_is_judged_by_its_first_line(inside: Inside):
    line = encode_line(WHOLE)
    other = encode_line(replace(WHOLE, conversation_id="conv_other"))
    done = inside("import", stdin=line + line + other)
    assert (done.returncode, done.stdout) == (1, "1 session imported, 1 there already.\n")
    assert "1 session refused" in done.stderr
    assert "  acme/a\n" in done.stderr


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"session_id": "b"', "line 2 is cut off"),
        (b"nonsense\n", "line 2 is not valid JSON"),
        (b"[]\n", "line 2 is not a JSON object"),
        (b'{"session_id": "conv_b"}\n', "line 2 has no valid session_id"),
        (b'{"session_id": "b", "conversation_id": "conv_1"}\n', "line 2 cannot be used: record 2 lacks 'created_at'"),
        (b'{"session_id": "b", "secret": 1}\n', "line 2 has a field that no session has: 'secret'"),
        (b'{"session_id": "b", "tenant": 1}\n', "line 2 has the wrong kind of value for 'tenant'"),
        (orjson.dumps({**WHOLE.as_dict(), "status": "asleep"}) + b"\n", "line 2 cannot be used: 'status' of record 2"),
    ],
)
def test_a_line_that_is_no_session_is_named(line: bytes, reason: str):
    with pytest.raises(LineError) as refused:
        list(parse_lines([encode_line(WHOLE), line]))
    assert str(refused.value).startswith(reason)


def test_empty_lines_are_passed_over():
    assert list(parse_lines([b"\n", encode_line(WHOLE), b"  \n"])) == [WHOLE]
