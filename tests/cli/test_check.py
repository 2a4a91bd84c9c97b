"""gateway check: what is configured, what is wrong, how to mend it; and never a secret."""

from pathlib import Path

import pytest

from gateway.parsing import shown_url
from tests.harness.commands import Inside
from tests.harness.upstream import UpstreamProcess


def check(folder: Path, **settings: str) -> tuple[int, dict[str, str]]:
    """The exit code, and each line by its subject."""
    done = Inside(folder, **settings)("check")
    assert "hidden-away" not in done.stdout + done.stderr
    lines = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    return done.returncode, {subject: f"{mark} {words}" for mark, subject, words in lines}


def test_with_nothing_set_all_is_well_but_for_the_demo_model(tmp_path: Path):
    code, found = check(tmp_path)
    assert code == 0
    assert list(found) == ["settings", "store", "provider", "workflow", "worker", "auth", "note"]
    assert found["settings"] == "✓ to be served on http://127.0.0.1:8080"
    assert found["store"].startswith("✓ json:sessions.json can be read and written")
    assert found["worker"] == "✓ 2 gthread"
    assert found["note"].startswith("! the demo model only repeats what it read. Set OPENAI_API_KEY")


def test_a_check_leaves_no_session_behind(tmp_path: Path):
    check(tmp_path)
    assert Inside(tmp_path).well("sessions", "list", "--json") == "[]\n"


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path):
    code, found = check(
        tmp_path,
        GATEWAY_STORE="postgresql://user:hidden-away@127.0.0.1:1/x",
        OPENAI_API_KEY="sk-hidden-away",
        OPENAI_BASE_URL="http://127.0.0.1:9/v1",
        GATEWAY_WORKFLOW="nowhere.to:be_found",
        GATEWAY_WORKER="gevent",
    )
    assert code == 1
    assert found["store"].startswith("✗ GATEWAY_STORE='postgresql://127.0.0.1:1/x' cannot be used now: ")
    assert "let GATEWAY_STORE name another" in found["store"]
    assert found["provider"].startswith("✗ openai at http://127.0.0.1:9/v1: The provider cannot be reached.")
    assert "there is no module 'nowhere'" in found["workflow"]
    assert "takes gthread or auto" in found["worker"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"GATEWAY_STOR": "json:x"}, "Did you mean GATEWAY_STORE?"),
        ({"GATEWAY_LEASE": "soon"}, "GATEWAY_LEASE='soon' cannot be used"),
        ({"HOST": "0.0.0.0"}, "cannot be used without auth"),
    ],
)
def test_a_wrong_setting_is_told(tmp_path: Path, settings: dict[str, str], said: str):
    code, found = check(tmp_path, **settings)
    assert code == 1
    assert said in found["settings"]


def test_the_provider_is_asked(tmp_path: Path):
    with UpstreamProcess(key="right") as upstream:
        hosted = {"OPENAI_BASE_URL": upstream.url, "GATEWAY_MODEL": "demo"}
        code, found = check(tmp_path, OPENAI_API_KEY="right", **hosted)
        assert (code, found["provider"]) == (0, f"✓ openai at {upstream.url}, answers")
        code, found = check(tmp_path, OPENAI_API_KEY="wrong-hidden-away", **hosted)
        assert code == 1
        assert "Set OPENAI_API_KEY to a valid key" in found["provider"]
        code, found = check(tmp_path, OPENAI_API_KEY="right", **{**hosted, "GATEWAY_MODEL": "gpt-none"})
        assert code == 1
        assert "has no model 'gpt-none'; GATEWAY_MODEL takes one of demo" in found["provider"]


def test_auth_that_would_let_nobody_in_is_told(tmp_path: Path):
    code, found = check(tmp_path, GATEWAY_AUTH="keys")
    assert code == 1
    assert "make one with `gateway keys create NAME`" in found["auth"]
    Inside(tmp_path).well("keys", "create", "ann")
    code, found = check(tmp_path, GATEWAY_AUTH="keys")
    assert (code, found["auth"]) == (0, "✓ keys of `gateway keys`, 1 of them")
    code, found = check(tmp_path, GATEWAY_AUTH="jwt", GATEWAY_JWT_JWKS_URL="http://127.0.0.1:9/keys")
    assert code == 1
    assert "The identity provider does not answer" in found["auth"]
    code, found = check(tmp_path, GATEWAY_AUTH="jwt", GATEWAY_JWT_KEY="hidden-away" * 4)
    assert (code, found["auth"]) == (0, "✓ tokens, checked with GATEWAY_JWT_KEY")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("json:sessions.json", "json:sessions.json"),
        ("sqlite:////var/lib/s.db?mode=ro", "sqlite:////var/lib/s.db"),
        ("postgresql://user:hidden@host:5432/name?sslmode=require", "postgresql://host:5432/name"),
        ("redis://:hid@den@host:6379/0", "redis://host:6379/0"),
        ("redis://:hid?den@host/0", "redis://…"),
        ("redis://host/0?password=hid@den", "redis://…"),
        ("redis://host/0?password=hidden", "redis://host/0"),
    ],
)
def test_no_url_is_shown_with_what_is_secret_in_it(url: str, shown: str):
    assert shown_url(url) == shown
