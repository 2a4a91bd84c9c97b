"""gateway sessions: what scripts read, and what is asked before it is done."""

from pathlib import Path

import orjson
import pytest

from gateway.assembly import assemble
from gateway.config import Settings
from gateway.errors import ConversationGoneError
from gateway.model import Session, SessionKey, Status, TurnRequest
from gateway.sessions import open_sessions
from tests.harness.commands import Inside, Runner

DAY_MS = 86_400_000


@pytest.fixture
def store(inside: Inside) -> str:
    """A store with sessions of several kinds, none of which the provider knows."""
    url = f"json:{inside.folder / 'sessions.json'}"
    with open_sessions(url) as opened:
        now = opened.now()
        opened.put(
            [
                Session("", "new", "conv_1", now - DAY_MS, now, turns=3, user_id="[bold]zoë", data={"a": 1}),
                Session("", "old", "conv_2", now - 60 * DAY_MS, now - 50 * DAY_MS, status=Status.COMPLETED),
                Session("", "older", "conv_3", now - 60 * DAY_MS, now - 51 * DAY_MS),
                Session("acme", "new", "conv_4", now - DAY_MS, now - 40 * DAY_MS, status=Status.COMPLETED),
            ]
        )
    return url


def talk(folder: Path, *session_ids: str) -> Settings:
    """Sessions in which something was said, on the settings that the commands have by default there."""
    store, database = f"json:{folder / 'sessions.json'}", str(folder / "local-provider.db")
    settings = Settings.from_env({"GATEWAY_STORE": store, "GATEWAY_LOCAL_DB": database})
    gateway = assemble(settings)
    try:
        for session_id in session_ids:
            gateway.run_turn("", TurnRequest(input="Hello", session_id=session_id))
    finally:
        gateway.close()
    return settings


def names(text: str) -> list[str]:
    return [f"{found.get('tenant', '')}/{found['session_id']}" for found in orjson.loads(text)]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ((), ["/new", "acme/new", "/old", "/older"]),
        (("--tenant", ""), ["/new", "/old", "/older"]),
        (("--tenant", "acme"), ["acme/new"]),
        (("--user", "[bold]zoë"), ["/new"]),
        (("--status", "completed"), ["acme/new", "/old"]),
        (("--prefix", "old"), ["/old", "/older"]),
        (("--older-than", "45d"), ["/old", "/older"]),
        (("--limit", "2"), ["/new", "acme/new"]),
        (("--all",), ["/new", "acme/new", "/old", "/older"]),
    ],
)
def test_the_listing_is_filtered(inside: Inside, store: str, words: tuple[str, ...], found: list[str]):
    assert names(inside.well("sessions", "list", "--json", *words)) == found


def test_the_table_shows_clients_words_as_they_are(gateway: Runner, store: str):
    done = gateway("sessions", "list", "--limit", "1")
    header, row = done.stdout.splitlines()
    assert header.split()[:2] == ["SESSION", "USER"]
    assert row.split()[:4] == ["new", "[bold]zoë", "active", "3"]
    assert done.stderr == "There are more than 1: --all lists them.\n"


def test_one_session_is_shown_with_its_turns(inside: Inside):
    talk(inside.folder, "alice")
    shown = orjson.loads(inside.well("sessions", "show", "alice", "--json"))
    assert (shown["session_id"], shown["turns"], len(shown["latest_turns"])) == ("alice", 1, 1)
    assert shown["latest_turns"][0]["state"] == "completed"
    assert "Hello" not in inside.well("sessions", "show", "alice")
    done = inside("sessions", "show", "bob")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "Error: There is no session bob.\n")


def test_what_is_forgotten_stays_at_the_provider(inside: Inside):
    settings = talk(inside.folder, "alice")
    conversation_id = orjson.loads(inside.well("sessions", "show", "alice", "--json"))["conversation_id"]
    assert conversation_id in inside.well("sessions", "forget", "alice")
    assert inside("sessions", "forget", "alice").returncode == 1
    behind = assemble(settings)
    try:
        assert behind.provider.list_items(conversation_id)["data"]
    finally:
        behind.close()


def test_what_is_erased_is_gone_from_the_provider(inside: Inside):
    settings = talk(inside.folder, "alice", "bob")
    conversation_id = orjson.loads(inside.well("sessions", "show", "alice", "--json"))["conversation_id"]
    done = inside("sessions", "erase", "alice", "nobody", "--yes")
    assert done.returncode == 1
    assert done.stdout == "alice is erased: 2 items, the conversation, 1 response.\n"
    where, deed, missing = done.stderr.splitlines()
    assert where == "Provider: local with the built-in demo model, conversations in local-provider.db."
    assert orjson.loads(deed)["audit"] == "session_erased"
    assert missing == "There is no session nobody."
    receipt = orjson.loads(inside.well("sessions", "erase", "bob", "--yes", "--json"))
    assert (receipt["session_id"], receipt["items_deleted"], receipt["conversation_deleted"]) == ("bob", 2, True)
    behind = assemble(settings)
    try:
        assert behind.sessions.get(SessionKey("", "alice")) is None
        with pytest.raises(ConversationGoneError):
            behind.provider.list_items(conversation_id)
    finally:
        behind.close()


def test_nothing_is_erased_unasked(gateway: Runner, inside: Inside, store: str):
    for words in (("erase", "new"), ("purge", "--older-than", "30d")):
        done = inside("sessions", *words)
        assert done.returncode == 2
        assert "give --yes if it is meant" in done.stderr
    with gateway.terminal("sessions", "purge", "--older-than", "30d", "--status", "completed") as terminal:
        terminal.expect("Provider: local with the built-in demo model")
        terminal.expect("Erase 2 completed sessions not used since")
        terminal.expect("[y/N]: ")
        terminal.enter("n")
        assert terminal.ends() == 1
    assert len(names(inside.well("sessions", "list", "--json"))) == 4


def test_a_purge_erases_what_was_asked_about(gateway: Runner, inside: Inside, store: str):
    with gateway.terminal("sessions", "purge", "--older-than", "30d", "--status", "completed") as terminal:
        terminal.expect("[y/N]: ")
        terminal.enter("y").expect("2 sessions erased.")
        assert terminal.ends() == 0
    assert names(inside.well("sessions", "list", "--json")) == ["/new", "/older"]
    done = inside("sessions", "purge", "--older-than", "30d", "--yes", "--json")
    assert [orjson.loads(line)["session_id"] for line in done.stdout.splitlines()] == ["older"]
    assert inside("sessions", "purge", "--older-than", "30d", "--yes").stderr == "No sessions to erase.\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("sessions", "purge"), 2, "Missing option '--older-than'"),
        (("sessions", "purge", "--older-than", "soon"), 2, "'soon' is not a duration such as"),
        (("sessions", "show", "conv_1"), 2, "does not start with conv_"),
        (("sessions", "list", "--status", "asleep"), 2, "'asleep' is not one of"),
        (("sessions", "list", "--store", "memory:"), 1, "lives inside the gateway's process alone"),
        (("sessions", "list", "--store", "json:/nowhere/s.json"), 1, "The folder /nowhere for s.json does not exist."),
        (("sessions", "list", "--store", "postgresql://u:secret@127.0.0.1:1/x"), 1, "Cannot use the database at"),
    ],
)
def test_what_is_wrong_is_one_line(inside: Inside, words: tuple[str, ...], code: int, said: str):
    done = inside(*words)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr.splitlines()[-1]
    assert "secret" not in done.stderr


def test_a_corrupt_file_is_said_and_left_alone(gateway: Runner):
    file = gateway.folder / "sessions.json"
    file.write_text("{")
    done = gateway("sessions", "list")
    assert done.returncode == 1
    assert "is not valid JSON" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert file.read_text() == "{"
