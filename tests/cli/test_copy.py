"""gateway copy: from and to every store, interrupted and again, and never over somebody else's mapping."""

import signal
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from gateway.model import Session, SessionKey, Status
from gateway.sessions import open_sessions
from tests.conftest import STORES, StoreAddress
from tests.harness.commands import Inside, Runner, original_file
from tests.harness.gateways import opened
from tests.harness.support import eventually

MANY = 20_000


def records(path: Path) -> dict[str, object]:
    found: dict[str, object] = orjson.loads(path.read_bytes())
    return found


def put(url: str, **changes: object) -> Session:
    """A session in the store at `url`."""
    fields = {"conversation_id": "conv_theirs", "created_at": 1, "last_used": 2, **changes}
    session = Session(tenant="", session_id="user_00000", **fields)
    with open_sessions(url) as store:
        store.put([session], replace=True)
    return session


@pytest.mark.parametrize("name", [name for name in STORES if name != "memory"])
def test_the_originals_file_goes_through_every_store_and_comes_back(
    gateway: Runner, make_store_address: Callable[[str], StoreAddress], name: str
):
    there = make_store_address(name)
    expected = original_file(gateway.folder / "sessions.json", 500)
    forth = gateway.well("copy", "json:sessions.json", there.url, "--to-prefix", there.prefix)
    assert forth.splitlines() == ["500 sessions copied.", "Compared: 500 sessions the same on both sides."]
    with opened(there) as store:
        session = store.get(SessionKey("", "user_00499"))
        assert session is not None
        assert session.conversation_id == expected["user_00499"]["conversation_id"]
        assert (session.status, session.generation, session.turns) == (Status.ACTIVE, 1, 0)
    gateway.well("copy", there.url, "json:back.json", "--from-prefix", there.prefix)
    assert records(gateway.folder / "back.json") == expected


@pytest.mark.slow
def test_a_copy_that_was_killed_and_stopped_goes_on_where_it_was(gateway: Runner):
    expected = original_file(gateway.folder / "sessions.json", MANY)
    target = gateway.folder / "copy.json"
    command = ("copy", "json:sessions.json", "json:copy.json")

    killed = gateway.start(*command)
    eventually(target.exists, 20, every=0.002)
    killed.kill()
    killed.communicate()
    first = len(records(target))
    assert 0 < first < MANY

    size = target.stat().st_size
    stopped = gateway.start(*command)
    eventually(lambda: target.stat().st_size > size, 20, every=0.002)
    stopped.send_signal(signal.SIGINT)
    errors = stopped.communicate()[1].decode()
    assert stopped.returncode == 130, errors
    assert "Run the same command again to go on." in errors
    assert "Traceback" not in errors
    second = len(records(target))
    assert first < second < MANY

    lines = gateway.well(*command).splitlines()
    assert lines[0] == f"{MANY - second:,} sessions copied, {second:,} there already."
    assert lines[1] == f"Compared: {MANY:,} sessions the same on both sides."
    assert records(target) == expected


def test_another_mapping_is_refused_until_it_is_forced(inside: Inside):
    original_file(inside.folder / "sessions.json", 3)
    target = f"sqlite:///{inside.folder / 'there.db'}"
    theirs = put(target)
    done = inside("copy", "json:sessions.json", target)
    assert done.returncode == 1
    assert "2 sessions copied" in done.stdout
    assert "1 session refused" in done.stderr
    assert "1 session different in TO:\n  user_00000\n" in done.stderr
    with open_sessions(target) as store:
        assert store.get(theirs.key) == theirs
    assert "1 session copied, 1 of them over" in inside.well("copy", "json:sessions.json", target, "--force")


def test_a_session_that_was_used_since_is_brought_up_to_date(inside: Inside):
    source, target = (f"sqlite:///{inside.folder / name}.db" for name in ("from", "to"))
    put(source)
    inside.well("copy", source, target)
    used = put(source, last_used=3000, turns=4, data={"step": 2})
    assert "1 session copied, 1 of them over an older state." in inside.well("copy", source, target)
    with open_sessions(target) as store:
        assert store.get(used.key) == used
    # In the other direction it is the other side that is newer.
    put(target, last_used=9000)
    assert inside("copy", source, target).returncode == 1


def test_a_dry_run_writes_nothing(inside: Inside):
    original_file(inside.folder / "sessions.json", 3)
    assert inside.well("copy", "json:sessions.json", "json:new.json", "--dry-run") == "3 sessions would be copied.\n"
    assert not (inside.folder / "new.json").exists()


def test_a_session_that_is_being_erased_stays_behind(inside: Inside):
    put("json:" + str(inside.folder / "sessions.json"), status=Status.ERASING)
    done = inside("copy", "json:sessions.json", "json:new.json")
    assert done.returncode == 0
    assert "1 session left out, being erased" in done.stderr
    assert not (inside.folder / "new.json").exists()


def test_an_id_that_no_client_could_use_is_told(inside: Inside):
    expected = original_file(inside.folder / "sessions.json", 2)
    moved = {"bad id": {**expected.pop("user_00000"), "session_id": "bad id"}, **expected}
    (inside.folder / "sessions.json").write_bytes(orjson.dumps(moved))
    done = inside("copy", "json:sessions.json", "json:new.json")
    assert (done.returncode, done.stdout.splitlines()[0]) == (1, "1 session copied.")
    assert "1 session left out: no client could name" in done.stderr


def test_at_a_terminal_there_is_a_bar_with_a_rate(gateway: Runner):
    original_file(gateway.folder / "sessions.json", 3000)
    with gateway.terminal("copy", "json:sessions.json", "json:new.json") as terminal:
        terminal.expect("A session that a running gateway binds or changes in FROM")
        terminal.expect("3000/3000")
        terminal.expect("3,000 sessions copied.")
        assert terminal.ends() == 0
        assert "/s" in terminal.text


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("json:sessions.json", "json:sessions.json"), 2, "the same store"),
        (("json:mistyped.json", "json:new.json"), 1, "there is no file mistyped.json"),
        (("json:sessions.json", "memory:"), 2, "cannot be copied"),
        (("json:sessions.json", "ftp://there"), 1, "No store is known for the scheme 'ftp'"),
        (("json:sessions.json", "postgresql://u:secret@127.0.0.1:1/x"), 1, "Cannot use the database"),
        (("json:sessions.json",), 2, "Missing argument 'TO'"),
    ],
)
def test_what_cannot_be_copied_is_said_in_one_line(inside: Inside, words: tuple[str, ...], code: int, said: str):
    original_file(inside.folder / "sessions.json", 1)
    done = inside("copy", *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr.splitlines()[-1]
    assert "secret" not in done.stderr
