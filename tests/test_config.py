"""Settings: read once, checked, and whatever is wrong said in one line."""

import dataclasses
import math
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import serving
from gateway.config import Settings
from gateway.errors import ConfigurationError
from gateway.serving import worker_kind_of


def test_an_empty_environment_is_enough() -> None:
    settings = Settings.from_env({})
    assert settings.store == "json:sessions.json"
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8080, 2)
    assert (settings.provider_name, settings.model_name) == ("local", "demo")
    assert (settings.busy_wait_seconds, settings.queue_limit, settings.lease_seconds) == (25, 16, 30)


def test_a_key_chooses_the_hosted_provider() -> None:
    assert Settings.from_env({"OPENAI_API_KEY": "sk-x"}).provider_name == "openai"
    assert Settings.from_env({"OPENAI_API_KEY": "sk-x", "GATEWAY_PROVIDER": "local"}).provider_name == "local"


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("GATEWAY_BUSY_WAIT", "90", "busy_wait_seconds", 90),
        ("GATEWAY_BUSY_WAIT", "1500ms", "busy_wait_seconds", 1.5),
        ("GATEWAY_SESSION_TTL", "30m", "session_ttl_seconds", 1800),
        ("GATEWAY_SESSION_TTL", "12h", "session_ttl_seconds", 43200),
        ("GATEWAY_SESSION_TTL", "7d", "session_ttl_seconds", 604800),
        ("GATEWAY_SESSION_TTL", "never", "session_ttl_seconds", math.inf),
        ("GATEWAY_MAX_BODY", "512KiB", "max_body_bytes", 524288),
        ("GATEWAY_ERASE_EXPIRED", "true", "erase_expired", True),
        ("OPENAI_BASE_URL", "https://example.test/v1/", "openai_base_url", "https://example.test/v1"),
        ("GATEWAY_TOOLS", '[{"type": "web_search"}]', "tools", [{"type": "web_search"}]),
        ("GATEWAY_QUEUE_LIMIT", "", "queue_limit", 16),
    ],
)
def test_values_are_read(name: str, text: str, field: str, value: object) -> None:
    assert getattr(Settings.from_env({name: text}), field) == value


def test_instructions_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "instructions.txt"
    file.write_text("Be brief.", encoding="utf-8")
    assert Settings.from_env({"GATEWAY_INSTRUCTIONS": f"@{file}"}).instructions == "Be brief."


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"GATEWAY_BUSY_WAIT": "soon"}, ["GATEWAY_BUSY_WAIT", "'soon'", "30m"]),
        ({"GATEWAY_LEASE": "0"}, ["GATEWAY_LEASE", "'0'", "1s to 1h"]),
        ({"GATEWAY_AUTH": "jwt"}, ["GATEWAY_JWT_JWKS_URL or GATEWAY_JWT_KEY"]),
        ({"GATEWAY_AUTH": "jwt", "GATEWAY_JWT_KEY": "short"}, ["(hidden)", "32 characters"]),
        (
            {"GATEWAY_AUTH": "jwt", "GATEWAY_JWT_KEY": "-----BEGIN PUBLIC KEY-----", "GATEWAY_JWT_ALGORITHMS": "HS256"},
            ["GATEWAY_JWT_ALGORITHMS", "only others with public keys"],
        ),
        (
            {"GATEWAY_AUTH": "jwt", "GATEWAY_JWT_JWKS_URL": "https://x/", "GATEWAY_JWT_ALGORITHMS": "RS256,HS256"},
            ["GATEWAY_JWT_ALGORITHMS", "only others with public keys"],
        ),
        ({"GATEWAY_JWT_ALGORITHMS": "none"}, ["GATEWAY_JWT_ALGORITHMS", "RS256"]),
        ({"GATEWAY_RATE_LIMIT": "many"}, ["GATEWAY_RATE_LIMIT", "60/minute"]),
        ({"GATEWAY_ENCRYPTION_KEY": "secret"}, ["(hidden)", "Fernet"]),
        ({"GATEWAY_MAX_BODY": "big"}, ["GATEWAY_MAX_BODY", "'big'", "1MiB"]),
        ({"GATEWAY_PROVIDER": "azure"}, ["GATEWAY_PROVIDER", "'azure'", "auto, openai or local"]),
        ({"GATEWAY_STORE_PREFIX": "a-b"}, ["GATEWAY_STORE_PREFIX", "'a-b'", "underscores"]),
        ({"GATEWAY_TOOLS": "{"}, ["GATEWAY_TOOLS", "JSON list"]),
        ({"GATEWAY_INSTRUCTIONS": "@/nowhere"}, ["GATEWAY_INSTRUCTIONS", "@/nowhere", "can be read"]),
        ({"GATEWAY_WORKFLOW": "nonsense"}, ["GATEWAY_WORKFLOW", "'nonsense'", "package.module:attribute"]),
        ({"GATEWAY_WORKFLOW": "a=m:x,a=m:y"}, ["GATEWAY_WORKFLOW", "once"]),
        ({"PORT": "http"}, ["PORT", "'http'", "0 to 65535"]),
        ({"GATEWAY_PROVIDER": "openai"}, ["GATEWAY_PROVIDER", "OPENAI_API_KEY"]),
        ({"HOST": "0.0.0.0"}, ["HOST", "'0.0.0.0'", "GATEWAY_ALLOW_ANONYMOUS"]),
        ({"GATEWAY_GRACE": "9" * 400}, ["GATEWAY_GRACE", "a duration"]),
        ({"GATEWAY_PROVIDER_TIMEOUT": "1000000d"}, ["GATEWAY_PROVIDER_TIMEOUT", "a duration"]),
        ({"GATEWAY_RATE_LIMIT": "60/0 minutes"}, ["GATEWAY_RATE_LIMIT", "60/minute"]),
        ({"OPENAI_BASE_URL": "http://["}, ["OPENAI_BASE_URL", "'http://['", "a URL that begins with"]),
        ({"OPENAI_BASE_URL": "http://:8080"}, ["OPENAI_BASE_URL", "a URL that begins with"]),
        ({"OPENAI_BASE_URL": "http://x:99999"}, ["OPENAI_BASE_URL", "a URL that begins with"]),
        ({"OPENAI_API_KEY": "sk-\N{BULLET}"}, ["OPENAI_API_KEY=(hidden)", "visible ASCII"]),
        ({"GATEWAY_V1": "some"}, ["GATEWAY_V1='some'", "everybody, tenants or off"]),
        ({"GATEWAY_V1_SHARED": "yes"}, ["GATEWAY_V1_SHARED='yes'", "refuse or allow"]),
        ({"GATEWAY_QUEUE_LIMITS": "3"}, ["GATEWAY_QUEUE_LIMITS", "GATEWAY_QUEUE_LIMIT?"]),
        ({"GATEWAY_ZZZZZZZZZZ": "3"}, ["GATEWAY_ZZZZZZZZZZ", "GATEWAY_STORE"]),
    ],
)
def test_what_is_wrong_is_said_in_one_line(environ: dict[str, str], words: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env(environ)
    message = str(caught.value)
    assert "\n" not in message
    assert [word for word in words if word not in message] == []


def test_secrets_are_not_repeated() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env({"OPENAI_BASE_URL": "nonsense", "OPENAI_API_KEY": "sk-secret"})
    assert "sk-secret" not in str(caught.value)


def test_other_addresses_are_served_when_everybody_may_come_in() -> None:
    assert Settings.from_env({"HOST": "0.0.0.0", "GATEWAY_ALLOW_ANONYMOUS": "true"}).host == "0.0.0.0"


@pytest.mark.parametrize(
    ("host", "bind"), [("127.0.0.1", "127.0.0.1:8080"), ("::1", "[::1]:8080"), ("unix:/run/x.sock", "unix:/run/x.sock")]
)
def test_it_listens_on_names_numbers_and_sockets(host: str, bind: str) -> None:
    assert Settings.from_env({"HOST": host, "GATEWAY_AUTH": "keys"}).bind == bind


@pytest.mark.parametrize("host", ["unix:/run/x.sock", "127.example.com", "127.0.0.1.evil.test", "localhost.evil.test"])
def test_without_auth_only_loopback_addresses_are_listened_on(host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"HOST=.* cannot be used without auth"):
        Settings.from_env({"HOST": host})
    assert Settings.from_env({"HOST": host, "GATEWAY_ALLOW_ANONYMOUS": "true"}).host == host


def test_every_setting_is_in_the_readme() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    variables = [field.metadata["variable"] for field in dataclasses.fields(Settings)]
    assert [variable for variable in variables if f"`{variable}`" not in readme] == []


# --- Which worker serves ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "worker"),
    [
        ({}, "gthread"),
        ({"GATEWAY_STORE": "redis://127.0.0.1"}, "gthread"),  # the local provider's SQLite file
        ({"GATEWAY_STORE": "redis://127.0.0.1", "OPENAI_API_KEY": "sk-x"}, "gevent"),
        ({"GATEWAY_STORE": "postgresql://127.0.0.1/x", "GATEWAY_LOCAL_DB": "postgresql://127.0.0.1/y"}, "gevent"),
        ({"GATEWAY_STORE": "sqlite:///x.db", "OPENAI_API_KEY": "sk-x"}, "gthread"),
        ({"GATEWAY_STORE": "SQLITE:///x.db", "OPENAI_API_KEY": "sk-x"}, "gthread"),
        ({"GATEWAY_STORE": "of-another-package://x", "OPENAI_API_KEY": "sk-x"}, "gthread"),
        ({"GATEWAY_STORE": "redis://127.0.0.1", "OPENAI_API_KEY": "sk-x", "GATEWAY_WORKFLOW": "m:f"}, "gthread"),
    ],
)
def test_gevent_serves_where_nothing_blocks(environ: dict[str, str], worker: str) -> None:
    assert worker_kind_of(Settings.from_env(environ)) == worker


def test_gevent_is_refused_where_it_would_freeze() -> None:
    with pytest.raises(ConfigurationError, match="GATEWAY_WORKER"):
        worker_kind_of(Settings.from_env({"GATEWAY_WORKER": "gevent"}))


def _served(tmp_path: Path, *arguments: str, **environ: str) -> str:
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "--config",
        "python:gateway.serving",
        *arguments,
        "gateway:create_app()",
    ]
    root = str(Path(__file__).parents[1])
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PYTHONPATH": root, "PATH": "/usr/bin:/bin", **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode not in (0, None)
    return done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "environ", "words"),
    [
        ((), {"GATEWAY_BUSY_WAIT": "soon"}, "GATEWAY_BUSY_WAIT='soon'"),
        (("-k", "gevent"), {}, "GATEWAY_WORKER"),
        (("--preload",), {}, "preloading"),
        (("--bind", "0.0.0.0:0"), {}, "loopback"),
        (("-k", "gthread"), {}, "GATEWAY_WORKER"),
        (
            (),
            {"GATEWAY_STORE": "mongodb://u:hidden@x"},
            "GATEWAY_STORE='mongodb://x' cannot be used: No store is known",
        ),
        ((), {"GATEWAY_STORE": "nonsense"}, "GATEWAY_STORE='nonsense' cannot be used: "),
        ((), {"GATEWAY_STORE": "json:/nowhere/at/all/sessions.json"}, "GATEWAY_STORE='json:/nowhere/at/all"),
        ((), {"GATEWAY_STORE": "postgresql://127.0.0.1:1/x"}, "GATEWAY_STORE='postgresql://127.0.0.1:1/x'"),
        ((), {"GATEWAY_LOCAL_DB": "/nowhere/at/all/provider.db"}, "GATEWAY_LOCAL_DB='/nowhere/at/all/provider.db'"),
        ((), {"GATEWAY_LOCAL_DB": "nonsense://x"}, "GATEWAY_LOCAL_DB='nonsense://x'"),
        ((), {"GATEWAY_LOCAL_DB": __file__}, "an SQLite file"),
        ((), {"GATEWAY_WORKFLOW": "no_such_module:run"}, "GATEWAY_WORKFLOW='no_such_module:run'"),
        ((), {"GATEWAY_AUDIT_LOG": "/nowhere/at/all/audit.log"}, "GATEWAY_AUDIT_LOG='/nowhere/at/all/audit.log'"),
        (
            (),
            {"GATEWAY_AUTH": "jwt", "GATEWAY_JWT_KEY": "-----BEGIN PUBLIC KEY-----\nhidden\n-----END PUBLIC KEY-----"},
            "GATEWAY_JWT_KEY=(hidden) cannot be used: it takes a public key in PEM",
        ),
        ((), {"HOST": "no.such.host.test", "GATEWAY_ALLOW_ANONYMOUS": "true"}, "HOST='no.such.host.test' and PORT="),
    ],
    ids=lambda value: None,
)
def test_what_is_wrong_stops_the_start_in_one_line(
    arguments: tuple[str, ...], environ: dict[str, str], words: str, tmp_path: Path
) -> None:
    stderr = _served(tmp_path, *arguments, PORT="0", **environ)
    assert "Traceback" not in stderr
    (line,) = [line for line in stderr.splitlines() if line.startswith("gateway: ")]
    assert words in line
    assert "hidden" not in line.replace("(hidden)", "")
    assert "Booting worker" not in stderr


def test_a_port_that_somebody_has_is_told_once(tmp_path: Path, free_port: int) -> None:
    with socket.create_server(("127.0.0.1", free_port)):
        stderr = _served(tmp_path, PORT=str(free_port))
    (line,) = [line for line in stderr.splitlines() if line.startswith("gateway: ")]
    assert f"HOST='127.0.0.1' and PORT={free_port} cannot be used" in line
    assert "Traceback" not in stderr


def test_without_a_shared_memory_to_write_to_the_gateway_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "_SHARED_MEMORY", str(tmp_path / "gone"))
    assert serving._quickest_folder() is None
    monkeypatch.setattr(serving, "_SHARED_MEMORY", str(tmp_path))
    assert serving._quickest_folder() == str(tmp_path)
