"""sessions.json as a person meets it: what is read, what is kept, what is refused."""

import json
import os
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.errors import ConfigurationError, StoreUnavailableError
from gateway.model import Session, SessionKey, Status, parse_time
from gateway.sessions import open_sessions
from gateway.sessions.codec import Codec
from gateway.sessions.jsonfile import SessionsFile
from gateway.sessions.jsonfile.file import VANISH_SECONDS
from gateway.sessions.jsonfile.open import is_mounted
from tests.harness.support import eventually
from tests.harness.writers import session

ALICE = SessionKey("", "user_alice_session")

ORIGINAL = """{
  "user_alice_session": {
    "session_id": "user_alice_session",
    "conversation_id": "conv_abc123xyz",
    "created_at": "2025-10-26T10:00:00.000Z",
    "last_used": "2025-10-26T10:05:00.000Z"
  },
  "user_bob_session": {
    "session_id": "user_bob_session",
    "conversation_id": "conv_def456uvw",
    "created_at": "2025-10-26T11:00:00.000Z",
    "last_used": "2025-10-26T11:00:00.000Z"
  }
}"""

LAYOUTS = {
    "as the original writes it": ORIGINAL,
    "with a line feed at its end": ORIGINAL + "\n",
    "on one line": json.dumps(json.loads(ORIGINAL)),
    "indented by four": json.dumps(json.loads(ORIGINAL), indent=4),
    "two records on a line": ORIGINAL.replace('},\n  "user_bob', '}, "user_bob'),
    "by Notepad": "\ufeff" + ORIGINAL.replace("\n", "\r\n"),
}

CORRUPT = {
    "empty": b"",
    "truncated": ORIGINAL.encode()[:-20],
    "cut between records": ORIGINAL.encode()[: ORIGINAL.index(',\n  "user_bob')],
    "binary": b"\x80\x04\x95\x00\xff",
    "a list": b"[]",
    "a string": b'"sessions"',
    "null": b"null",
    "records that are none": b'{\n  "name": "an-npm-package",\n  "version": "1.0.0"\n}',
    "without a conversation": ORIGINAL.replace('"conversation_id": "conv_def456uvw",\n', "").encode(),
    "an empty conversation": ORIGINAL.replace("conv_def456uvw", "").encode(),
    "a number for a time": ORIGINAL.replace('"2025-10-26T11:00:00.000Z"', "1761476400").encode(),
    "no such time": ORIGINAL.replace("2025-10-26T11", "2025-13-26T11").encode(),
    "an unknown status": ORIGINAL.replace('"session_id"', '"status": "gone", "session_id"').encode(),
    "data that is no object": ORIGINAL.replace('"session_id"', '"data": [1], "session_id"').encode(),
    "turns that are true": ORIGINAL.replace('"session_id"', '"turns": true, "session_id"').encode(),
    "the same name twice": ORIGINAL.replace("user_bob_session", "user_alice_session").encode(),
    "not a number": ORIGINAL.replace('"session_id"', '"cost": NaN, "session_id"').encode(),
    "nested without end": b'{"a":' * 100_000,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.json"


@pytest.fixture
def somewhere() -> Iterator[Path]:
    """A folder that everybody may enter, as pytest's is not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may do anything, so that it could test no permission."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def use(file: SessionsFile, key: SessionKey) -> None:
    """One turn more, as a turn's end writes it."""

    def touch(draft):
        found = draft.get(key)
        draft.put(replace(found, turns=found.turns + 1, last_used=found.last_used + 1000))

    file.edit(touch)


# --- What is read ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_a_file_of_the_original_is_read_however_it_is_laid_out(path: Path, text: str) -> None:
    path.write_bytes(text.encode())
    found = SessionsFile(path).read().get(ALICE)
    assert found is not None
    assert Codec().decode(found) == Session(
        tenant="",
        session_id="user_alice_session",
        conversation_id="conv_abc123xyz",
        created_at=parse_time("2025-10-26T10:00:00Z"),
        last_used=parse_time("2025-10-26T10:05:00Z"),
        status=Status.ACTIVE,
        generation=1,
        turns=0,
    )


@pytest.mark.parametrize("text", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_unknown_fields_survive_a_turn(path: Path, text: str) -> None:
    text = text.replace('"session_id": "user_', '"note": {"vip": [1, 2.5, null]}, "session_id": "user_')
    path.write_bytes(text.encode())
    use(SessionsFile(path), ALICE)
    written = json.loads(path.read_text())
    assert list(written) == ["user_alice_session", "user_bob_session"]
    assert written["user_alice_session"] == {
        "note": {"vip": [1, 2.5, None]},
        "session_id": "user_alice_session",
        "conversation_id": "conv_abc123xyz",
        "created_at": "2025-10-26T10:00:00.000Z",
        "last_used": "2025-10-26T10:05:01.000Z",
        "turns": 1,
    }
    assert written["user_bob_session"]["note"] == {"vip": [1, 2.5, None]}


def test_what_is_written_is_laid_out_as_the_original_does_it(path: Path) -> None:
    path.write_text(ORIGINAL)
    file = SessionsFile(path)
    file.edit(lambda draft: draft.put(session("carol", data='{"level":1}', status=Status.COMPLETED, generation=2)))
    assert path.read_text() == json.dumps(json.loads(path.read_text()), indent=2) + "\n"
    assert path.read_text().startswith(ORIGINAL.removesuffix("\n}"))


def test_a_field_that_is_a_default_again_says_so(path: Path) -> None:
    file = SessionsFile(path)
    file.edit(lambda draft: draft.put(session("a", status=Status.COMPLETED, data='{"k":1}')))
    file.edit(lambda draft: draft.put(session("a")))
    assert SessionsFile(path).read().get(SessionKey("", "a")) == session("a")


def test_times_may_be_written_by_hand(path: Path) -> None:
    path.write_text(
        ORIGINAL.replace("2025-10-26T10:00:00.000Z", "2025-10-26").replace("10:05:00.000Z", "12:05:00+02:00")
    )
    found = SessionsFile(path).read().get(ALICE)
    assert found is not None
    assert (found.created_at, found.last_used) == (parse_time("2025-10-26"), parse_time("2025-10-26T10:05:00Z"))


def test_the_name_of_a_record_rules_over_its_session_id(path: Path) -> None:
    path.write_text(ORIGINAL.replace('"session_id": "user_alice_session"', '"session_id": "copied"'))
    file = SessionsFile(path)
    use(file, ALICE)
    assert json.loads(path.read_text())["user_alice_session"]["session_id"] == "user_alice_session"
    assert file.read().get(SessionKey("", "copied")) is None


def test_a_tenant_stands_before_the_session_id(path: Path) -> None:
    key = SessionKey("acme/eu", "a")
    SessionsFile(path).edit(lambda draft: draft.put(session("a", tenant="acme/eu")))
    assert list(json.loads(path.read_text())) == ["acme/eu/a"]
    assert SessionsFile(path).read().get(key) == session("a", tenant="acme/eu")
    assert SessionsFile(path).read().get(SessionKey("", "a")) is None


def test_a_missing_file_is_empty_and_no_file_is_made_for_it(path: Path) -> None:
    assert not list(SessionsFile(path).read().sessions())
    assert not path.exists()


def test_the_last_session_leaves_an_empty_object(path: Path) -> None:
    path.write_text(ORIGINAL)
    file = SessionsFile(path)
    file.edit(lambda draft: [draft.drop(key) for key in (ALICE, SessionKey("", "user_bob_session"))])
    assert json.loads(path.read_text()) == {}
    assert not list(SessionsFile(path).read().sessions())


# --- Corrupt is never empty --------------------------------------------------------------------------------


@pytest.mark.parametrize("content", CORRUPT.values(), ids=CORRUPT.keys())
def test_a_corrupt_file_stops_the_start_and_stays_as_it_was(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        open_sessions(f"json:{path}")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", CORRUPT.values(), ids=CORRUPT.keys())
def test_a_file_that_becomes_corrupt_is_an_error_until_it_is_mended(path: Path, content: bytes) -> None:
    path.write_text(ORIGINAL)
    with open_sessions(f"json:{path}") as store:
        path.write_bytes(content)
        for _ in range(2):
            with pytest.raises(StoreUnavailableError, match=r"sessions\.json"):
                store.get(ALICE)
            with pytest.raises(StoreUnavailableError, match=r"sessions\.json"), store.turn(SessionKey("", "new")):
                pass
            with pytest.raises(StoreUnavailableError, match=r"sessions\.json"):
                store.store.file.edit(lambda draft: draft.put(session("new")))
            with pytest.raises(StoreUnavailableError):
                store.ping()
        assert path.read_bytes() == content
        path.write_text(ORIGINAL)
        assert store.update(ALICE, status=Status.COMPLETED).status is Status.COMPLETED


def test_without_the_tables_beside_the_file_it_is_not_ready(path: Path) -> None:
    with open_sessions(f"json:{path}") as store:
        store.ping()
        with closing(sqlite3.connect(f"{path}.d/turns.db")) as beside:
            beside.execute("DROP TABLE gateway_turns")
        with pytest.raises(StoreUnavailableError):
            store.ping()


def test_what_is_wrong_with_a_file_names_nobody_in_it(path: Path) -> None:
    path.write_text(ORIGINAL.replace("2025-10-26T11", "2025-13-26T11"))
    with pytest.raises(ConfigurationError, match=r"'created_at' of record 2 is not an ISO 8601 time") as caught:
        open_sessions(f"json:{path}")
    assert "bob" not in str(caught.value)
    assert "conv_" not in str(caught.value)


def test_an_unreadable_file_is_an_error(somewhere: Path) -> None:
    path = somewhere / "sessions.json"
    path.write_text(ORIGINAL)
    somewhere.chmod(0o777)
    file = SessionsFile(path)
    path.chmod(0)
    os.utime(path, (1, 1))
    with as_nobody(), pytest.raises(StoreUnavailableError, match=f"{path} cannot be read: Permission denied"):
        file.read()
    with as_nobody(), pytest.raises(ConfigurationError, match=str(path)):
        open_sessions(f"json:{path}")


def test_a_folder_at_its_place_is_an_error(path: Path) -> None:
    file = SessionsFile(path)
    path.mkdir()
    with pytest.raises(StoreUnavailableError, match=f"{path} is not a file"):
        file.read()
    with pytest.raises(ConfigurationError, match=f"{path} is a folder"):
        open_sessions(f"json:{path}")


def test_a_pipe_at_its_place_is_an_error_and_holds_nobody_up(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(ConfigurationError, match="is not a file"):
        open_sessions(f"json:{path}")


# --- URLs and folders --------------------------------------------------------------------------------------


def test_a_path_may_have_spaces_and_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my folder").mkdir()
    monkeypatch.chdir(tmp_path)
    with open_sessions("json:my folder/all sessions.json") as store, store.turn(ALICE) as turn:
        turn.bind("conv_1")
    assert sorted(p.name for p in (tmp_path / "my folder").iterdir()) == ["all sessions.json", "all sessions.json.d"]


def test_a_path_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    open_sessions("json:~/sessions.json").close()
    assert (tmp_path / "sessions.json.d").is_dir()


@pytest.mark.parametrize("url", ["json:", "json: ", "json://sessions.json", "json:a\0b", "json:~nobody-at-all/s.json"])
def test_a_url_that_names_no_file_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"json:|no file") as caught:
        open_sessions(url)
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"The folder {tmp_path}/nowhere for sessions.json does not exist"):
        open_sessions(f"json:{tmp_path}/nowhere/sessions.json")
    assert not list(tmp_path.iterdir())


def test_an_unwritable_folder_is_refused(somewhere: Path) -> None:
    somewhere.chmod(0o555)
    with as_nobody(), pytest.raises(ConfigurationError, match=f"Cannot write to the folder {somewhere}"):
        open_sessions(f"json:{somewhere}/sessions.json")


# --- The file on the disk ----------------------------------------------------------------------------------


def test_a_link_is_followed_and_shares_its_lock(tmp_path: Path, path: Path) -> None:
    (tmp_path / "data").mkdir()
    target = tmp_path / "data" / "real.json"
    target.write_text(ORIGINAL)
    path.symlink_to(target)
    file = SessionsFile(path)
    use(file, ALICE)
    assert path.is_symlink()
    assert json.loads(target.read_text())["user_alice_session"]["turns"] == 1
    assert file.folder == SessionsFile(target).folder == tmp_path / "data" / "real.json.d"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_the_mode_of_the_file_is_kept(path: Path, mode: int) -> None:
    path.write_text(ORIGINAL)
    path.chmod(mode)
    use(SessionsFile(path), ALICE)
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.slow
def test_a_file_that_is_taken_away_counts_as_empty_after_a_moment(path: Path) -> None:
    path.write_text(ORIGINAL)
    file = SessionsFile(path)
    path.rename(path.with_suffix(".bak"))  # as an editor does while it saves
    with pytest.raises(StoreUnavailableError, match="has just vanished"):
        file.read()
    path.write_text(ORIGINAL)
    assert file.read().get(ALICE)
    path.unlink()

    def empty() -> bool:
        try:
            return not list(file.read().sessions())
        except StoreUnavailableError:
            return False

    assert eventually(empty, VANISH_SECONDS + 10)


def test_a_file_that_is_a_mount_of_its_own_cannot_be_replaced(path: Path, tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        f"41 22 8:1 /home/ann/sessions.json {str(path).replace(' ', chr(92) + '040')} rw - ext4 /dev/sda1 rw\n"
    )
    assert is_mounted(path, mounts)
    assert not is_mounted(path.with_name("another.json"), mounts)
    assert not is_mounted(path, tmp_path / "no such file")


def test_a_disk_that_is_gone_is_not_an_empty_file(path: Path) -> None:
    path.write_text(ORIGINAL)
    file = SessionsFile(path)
    path.unlink()
    file.folder.rename(path.with_suffix(".elsewhere"))
    for _ in range(2):
        with pytest.raises(StoreUnavailableError, match="are gone"):
            file.read()
