"""gateway sessions make, reset, fork and rename."""

import orjson
import pytest

from tests.cli.test_sessions import talk
from tests.harness.commands import Inside


def shown(inside: Inside, session_id: str) -> dict[str, object]:
    found: dict[str, object] = orjson.loads(inside.well("sessions", "show", session_id, "--json"))
    return found


def test_a_session_is_made_once(inside: Inside):
    made = orjson.loads(inside.well("sessions", "make", "alice", "--user", "u", "--json"))
    assert (made["session_id"], made["user_id"], made["created"]) == ("alice", "u", True)
    assert inside.well("sessions", "make", "alice") == f"alice is there: {made['conversation_id']}.\n"
    assert inside.well("sessions", "make").startswith("sess_")


def test_a_reset_begins_a_new_conversation_and_says_what_became_of_the_old_one(inside: Inside):
    talk(inside.folder, "alice")
    old = shown(inside, "alice")["conversation_id"]
    refused = inside("sessions", "reset", "alice")
    assert refused.returncode == 2
    assert "give --yes if it is meant" in refused.stderr
    assert shown(inside, "alice")["conversation_id"] == old
    done = orjson.loads(inside.well("sessions", "reset", "alice", "--keep-history", "--yes", "--json"))
    assert (done["generation"], done["items_copied"], done["old_conversation"]) == (2, 2, "erased")
    kept = inside("sessions", "reset", "alice", "--keep-old")
    assert kept.stdout.endswith("The old one is kept.\n")
    assert "with" not in kept.stdout
    line = orjson.loads(kept.stderr.splitlines()[-1])
    assert (line["audit"], line["session_id"], line["old_conversation"]) == ("session_reset", "alice", "kept")


def test_a_fork_is_a_second_session_with_the_same_history(inside: Inside):
    talk(inside.folder, "alice")
    assert inside.well("sessions", "fork", "alice", "bob").startswith("bob is made with 2 items: conv_")
    unnamed = orjson.loads(inside.well("sessions", "fork", "alice", "--user", "u", "--json"))
    assert unnamed["session_id"].startswith("sess_")
    assert (unnamed["user_id"], unnamed["items_copied"]) == ("u", 2)
    taken = inside("sessions", "fork", "alice", "bob")
    assert (taken.returncode, taken.stdout) == (1, "")
    assert taken.stderr.startswith("gateway: ")


def test_a_rename_keeps_the_conversation_and_needs_no_provider(inside: Inside):
    talk(inside.folder, "alice")
    before = shown(inside, "alice")
    provider = inside.folder / "local-provider.db"
    provider.unlink()
    done = inside("sessions", "rename", "alice", "bob", "--user", "u")
    assert not provider.exists()
    assert (done.returncode, done.stdout) == (0, "alice is bob from now on.\n")
    line = orjson.loads(done.stderr)
    assert (line["audit"], line["session_id"], line["renamed"]) == ("session_renamed", "alice", "bob")
    after = shown(inside, "bob")
    assert (after["conversation_id"], after["user_id"]) == (before["conversation_id"], "u")
    assert len(after["latest_turns"]) == 1


@pytest.mark.parametrize("words", [("reset", "nobody", "--yes"), ("fork", "nobody"), ("rename", "nobody", "bob")])
def test_what_is_not_there_is_one_line(inside: Inside, words: tuple[str, ...]):
    done = inside("sessions", *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("gateway: ")


@pytest.mark.parametrize("user_id", ["", "a\tb", "u" * 201])
@pytest.mark.parametrize("words", [("make", "bob"), ("fork", "alice", "bob"), ("rename", "alice", "bob")])
def test_a_user_is_one_that_a_client_could_name(inside: Inside, words: tuple[str, ...], user_id: str):
    talk(inside.folder, "alice")
    refused = inside("sessions", *words, "--user", user_id)
    assert (refused.returncode, "1 to 200 printable characters" in refused.stderr) == (2, True)
    assert inside("sessions", "show", "bob").returncode == 1
