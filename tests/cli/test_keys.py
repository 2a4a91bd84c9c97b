"""gateway keys: shown once, kept as a hash, and gone at once."""

import hashlib
import os
import pwd
import re
from pathlib import Path

import orjson
import pytest

from gateway.model import Role
from gateway.sessions import open_sessions
from tests.harness.commands import Inside, Runner


def everything_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_key_is_shown_once_and_kept_as_a_hash(inside: Inside):
    done = inside("keys", "create", "ci", "--tenant", "acme", "--role", "admin", "--user", "zoë")
    assert done.returncode == 0
    assert re.fullmatch(r"gw_ci_[A-Za-z0-9_-]{43}\n", done.stdout)
    assert "\nThis is the only time that the key is shown." in done.stderr
    secret = done.stdout.strip().removeprefix("gw_ci_")
    with open_sessions(f"json:{inside.folder / 'sessions.json'}") as store:
        key = store.store.owners.find_key("ci")
    assert key is not None
    assert (key.tenant, key.role, key.user_id) == ("acme", Role.ADMIN, "zoë")
    assert key.digest == hashlib.sha256(secret.encode()).hexdigest()
    shown = inside.well("keys", "list") + inside.well("keys", "list", "--json")
    assert "zoë" in shown
    assert secret not in shown
    assert key.digest not in shown
    assert secret.encode() not in everything_below(inside.folder)


def test_a_script_gets_the_key_and_nothing_else(gateway: Runner):
    done = gateway.shell('KEY=$(gateway keys create ci); printf "[%s]" "$KEY"')
    assert re.fullmatch(r"\[gw_ci_[A-Za-z0-9_-]{43}]", done.stdout)


def test_keys_are_listed_by_name(inside: Inside):
    assert inside("keys", "list").stderr == "No keys.\n"
    assert orjson.loads(inside.well("keys", "list", "--json")) == []
    made = orjson.loads(inside.well("keys", "create", "b", "--json"))
    assert re.fullmatch(r"gw_b_[A-Za-z0-9_-]{43}", made.pop("key"))
    inside.well("keys", "create", "a.1-x", "--tenant", "acme", "--user", "[bold]zoë")
    listed = orjson.loads(inside.well("keys", "list", "--json"))
    assert [key["name"] for key in listed] == ["a.1-x", "b"]
    assert listed[1] == made
    assert (made["tenant"], made["role"], made["user_id"]) == ("", "user", None)
    header, first, second = inside.well("keys", "list").splitlines()
    assert header.split() == ["KEY", "TENANT", "USER", "ROLE", "CREATED"]
    assert first.split()[:4] == ["a.1-x", "acme", "[bold]zoë", "user"]
    assert second.split()[:2] == ["b", "user"]


def test_a_name_that_is_taken_is_refused(inside: Inside):
    inside.well("keys", "create", "ci")
    before = inside.well("keys", "list", "--json")
    done = inside("keys", "create", "ci", "--tenant", "acme")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: There is a key ci already; `gateway keys revoke ci` frees the name.\n"
    assert inside.well("keys", "list", "--json") == before


def test_a_revoked_key_is_gone_and_its_name_is_free(inside: Inside):
    inside.well("keys", "create", "ci")
    assert inside.well("keys", "revoke", "ci", "--yes") == "ci is revoked.\n"
    assert orjson.loads(inside.well("keys", "list", "--json")) == []
    done = inside("keys", "revoke", "ci", "--yes")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "Error: There is no key ci.\n")
    inside.well("keys", "create", "ci")


def test_nothing_is_revoked_unasked(gateway: Runner, inside: Inside):
    inside.well("keys", "create", "ci")
    assert "give --yes if it is meant" in inside("keys", "revoke", "ci").stderr
    with gateway.terminal("keys", "revoke", "ci") as terminal:
        terminal.expect("Revoke ci?")
        terminal.expect("[y/N]: ")
        terminal.enter("n")
        assert terminal.ends() == 1
    assert len(orjson.loads(inside.well("keys", "list", "--json"))) == 1


def test_who_made_and_who_revoked_a_key_is_written_down(tmp_path: Path):
    gateway = Runner(tmp_path, GATEWAY_AUDIT_LOG=tmp_path / "audit.log", LOGNAME="somebody_else")
    secret = gateway.well("keys", "create", "ci", "--tenant", "acme", "--user", "zoë").strip()
    gateway.well("keys", "revoke", "ci", "--yes")
    text = (tmp_path / "audit.log").read_text()
    assert secret.removeprefix("gw_ci_") not in text
    lines = [orjson.loads(line) for line in text.splitlines()]
    assert [line["audit"] for line in lines] == ["key_created", "key_revoked"]
    for line in lines:
        assert line["principal"] == f"operator:{pwd.getpwuid(os.getuid()).pw_name}"
        assert (line["key"], line["tenant"], line["role"], line["user_id"]) == ("ci", "acme", "user", "zoë")


def test_what_cannot_be_written_down_does_not_happen(tmp_path: Path):
    gateway = Runner(tmp_path, GATEWAY_AUDIT_LOG=tmp_path / "nowhere" / "audit.log")
    done = gateway("keys", "create", "ci")
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert orjson.loads(Inside(tmp_path).well("keys", "list", "--json")) == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("create", "under_score"), 2, "1 to 64 letters, digits, dots and hyphens"),
        (("create", "n" * 65), 2, "1 to 64 letters, digits, dots and hyphens"),
        (("create", "ci", "--tenant", ""), 2, "1 to 64 characters out of letters"),
        (("create", "ci", "--tenant", "a/b"), 2, "1 to 64 characters out of letters"),
        (("create", "ci", "--tenant", "t" * 65), 2, "1 to 64 characters out of letters"),
        (("create", "ci", "--user", "a\nb"), 2, "1 to 200 printable characters"),
        (("create", "ci", "--user", "u" * 201), 2, "1 to 200 printable characters"),
        (("create", "ci", "--role", "root"), 2, "'root' is not one of"),
        (("create",), 2, "Missing argument 'NAME'"),
        (("create", "ci", "--store", "memory:"), 1, "lives inside the gateway's process alone"),
    ],
)
def test_what_is_wrong_is_one_line(inside: Inside, words: tuple[str, ...], code: int, said: str):
    done = inside("keys", *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr.splitlines()[-1]
    assert not (inside.folder / "sessions.json.d").exists() or inside("keys", "list").stderr == "No keys.\n"
