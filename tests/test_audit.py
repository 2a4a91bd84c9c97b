"""The lines about security: one a deed, with who and what, and nothing that was said."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gateway import audit
from gateway.auth.keys import new_key
from gateway.errors import ConfigurationError
from tests.web.conftest import OpenHouse, open_house, service
from tests.web.test_access import Caller, add_key

__all__ = ["open_house", "service"]  # fixtures


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(audit.log, "handlers", [])
    monkeypatch.setattr(audit.log, "propagate", True)
    return tmp_path / "audit.log"


def test_every_deed_leaves_one_line(open_house: OpenHouse, file: Path) -> None:
    house = open_house("memory", settings={"auth": "keys", "v1": "everybody", "audit_log": str(file)})
    key = add_key(house, "ann", user_id="ann")
    ann = Caller(house, key)
    for session_id in ("one", "two", "three"):
        ann.post(
            "/workflow", {"session_id": session_id, "input_as_text": "secret words", "data": {"pin": "secret too"}}
        )
    wrong = new_key("ann")[0]
    deeds = [
        (("POST", "/sessions/one/fork", {"session_id": "copy"}), "session_forked"),
        (("POST", "/sessions/one/rename", {"session_id": "new"}), "session_renamed"),
        (("POST", "/sessions/new/reset", {}), "session_reset"),
        (("DELETE", "/sessions/new", None), "session_erased"),
        (("DELETE", "/v1/conversations/copy", None), "session_erased"),
        (("DELETE", "/sessions/two?keep_conversation=true", None), "session_forgotten"),
        (("DELETE", "/sessions?user_id=ann", None), "user_erased"),
    ]
    expected = []
    for (method, path, body), act in deeds:
        answer = ann.ask(method, path, body)
        assert answer.status_code in (200, 201), answer.text
        expected.append((act, "key:ann", answer.headers["X-Request-Id"], "done"))
    for method, path, body in [("GET", "/sessions", None), ("POST", "/login", {"key": wrong})]:
        answer = Caller(house, wrong).ask(method, path, body)
        expected.append(("login_refused", "unknown", answer.headers["X-Request-Id"], "refused"))
    # Nobody tried anything here.
    Caller(house, None).ask("GET", "/sessions")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["audit"], line["principal"], line["request_id"], line["outcome"]) for line in lines] == expected
    assert lines[1]["session_id"] == "one"
    assert lines[1]["renamed"] == "new"
    assert (lines[2]["session_id"], lines[2]["old_conversation"]) == ("new", "erased")
    assert lines[0]["namespace"] == "acme/ann"
    assert lines[-1]["address"] == "192.0.2.1"
    written = file.read_text()
    for secret in ("secret words", "secret too", key, key.rpartition("_")[2], wrong):
        assert secret not in written


def test_only_its_owner_can_read_the_file(file: Path) -> None:
    os.umask(os.umask(0o022))
    audit.write_to(str(file))
    audit.audit("key_created", principal="operator:ann", key="ci")
    assert file.stat().st_mode & 0o077 == 0
    assert json.loads(file.read_text())["key"] == "ci"


def test_a_file_that_cannot_be_written_stops_the_start(file: Path) -> None:
    with pytest.raises(ConfigurationError, match="missing/audit\\.log' cannot be used"):
        audit.write_to(str(file / "missing" / "audit.log"))
