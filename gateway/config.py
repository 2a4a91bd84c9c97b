"""The settings: read once from an environment that is handed in, checked, and frozen.

Every setting is one field below: its variable, its default, how it is read and what is allowed. Whatever is wrong
raises one `ConfigurationError` that names the variable, the value and what is allowed.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.errors import ConfigurationError

Parser = Callable[[str], Any]


# --- How values are read: each parser raises ValueError with what is allowed --------------------------------

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}
_SIZE = re.compile(r"(\d+)\s*(B|KiB|MiB|GiB)?", re.IGNORECASE)
_BYTES = {"b": 1, "kib": 1024, "mib": 1024**2, "gib": 1024**3}


def parse_duration(value: str) -> float:
    """Seconds, from `90`, `500ms`, `30m`, `12h` or `7d`."""
    found = _DURATION.fullmatch(value.strip())
    if not found:
        raise ValueError("a duration such as 90, 500ms, 30m, 12h or 7d")
    return float(found[1]) * _SECONDS[found[2]]


def parse_positive_duration(value: str) -> float:
    seconds = parse_duration(value)
    if seconds <= 0:
        raise ValueError("a duration above zero, such as 30s, 30m or 7d")
    return seconds


def parse_lease(value: str) -> float:
    seconds = parse_duration(value)
    if not 1 <= seconds <= 3600:
        raise ValueError("a duration from 1s to 1h")
    return seconds


def parse_lifetime(value: str) -> float:
    """A duration, or infinity for `never` (left out, it is the store's own default)."""
    if value.strip().lower() == "never":
        return math.inf
    try:
        return parse_positive_duration(value)
    except ValueError:
        raise ValueError("never, or a duration above zero, such as 30m, 12h or 7d") from None


def parse_size(value: str) -> int:
    """Bytes, from `1048576`, `512KiB` or `1MiB`."""
    found = _SIZE.fullmatch(value.strip())
    if not found or int(found[1]) == 0:
        raise ValueError("a size such as 65536, 512KiB or 1MiB")
    return int(found[1]) * _BYTES[(found[2] or "B").lower()]


def parse_flag(value: str) -> bool:
    word = value.strip().lower()
    if word not in ("true", "false", "1", "0", "yes", "no", "on", "off"):
        raise ValueError("true or false")
    return word in ("true", "1", "yes", "on")


def parse_text(value: str) -> str:
    """The words themselves, or those of the file in `@path`."""
    if not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ValueError(f"a text, or @path of a file that can be read ({type(exc).__name__})") from exc


def parse_prefix(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,31}", value):
        raise ValueError("1 to 32 letters, digits and underscores, beginning with a letter")
    return value


def parse_http_url(value: str) -> str:
    if not re.fullmatch(r"https?://\S+", value):
        raise ValueError("a URL that begins with http:// or https://")
    return value.rstrip("/")


def parse_tools(value: str) -> list[dict[str, Any]]:
    """A JSON list of the Responses API's tools, or `@path` of a file with one."""
    try:
        tools = json.loads(parse_text(value))
    except json.JSONDecodeError:
        tools = None
    if not isinstance(tools, list) or not all(isinstance(tool, dict) and "type" in tool for tool in tools):
        raise ValueError('a JSON list of tools, each an object with a "type", or @path of a file with one')
    return tools


def one_of(*words: str) -> Parser:
    def parse(value: str) -> str:
        if value not in words:
            raise ValueError(", ".join(words[:-1]) + f" or {words[-1]}" if len(words) > 1 else words[0])
        return value

    return parse


def whole(low: int, high: int) -> Parser:
    def parse(value: str) -> int:
        if not re.fullmatch(r"\d+", value.strip()) or not low <= int(value) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(value)

    return parse


# --- The settings -------------------------------------------------------------------------------------------


def _setting(variable: str, default: Any, parse: Parser, meaning: str, *, secret: bool = False) -> Any:
    return dataclasses.field(
        default=default, metadata={"variable": variable, "parse": parse, "meaning": meaning, "secret": secret}
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the gateway runs on."""

    store: str = _setting("GATEWAY_STORE", "json:sessions.json", str, "where sessions live", secret=True)
    store_prefix: str = _setting("GATEWAY_STORE_PREFIX", "gateway", parse_prefix, "begins table names and Redis keys")
    provider: str = _setting("GATEWAY_PROVIDER", "auto", one_of("auto", "openai", "local"), "who hosts conversations")
    openai_api_key: str | None = _setting("OPENAI_API_KEY", None, str, "the key for the provider", secret=True)
    openai_base_url: str | None = _setting("OPENAI_BASE_URL", None, parse_http_url, "another address of the provider")
    model: str | None = _setting("GATEWAY_MODEL", None, str, "the built-in workflow's model")
    instructions: str | None = _setting("GATEWAY_INSTRUCTIONS", None, parse_text, "its instructions, or @path of them")
    tools: Sequence[dict[str, Any]] = _setting("GATEWAY_TOOLS", (), parse_tools, "its tools as JSON, or @path of them")
    truncation: str = _setting("GATEWAY_TRUNCATION", "auto", one_of("auto", "disabled"), "its truncation")
    workflow: str | None = _setting("GATEWAY_WORKFLOW", None, str, "package.module:attribute, or name=…,name=…")
    session_ttl_seconds: float | None = _setting(
        "GATEWAY_SESSION_TTL", None, parse_lifetime, "how long an unused session lives"
    )
    session_max_age_seconds: float | None = _setting(
        "GATEWAY_SESSION_MAX_AGE", None, parse_lifetime, "how long any session lives"
    )
    erase_expired: bool = _setting("GATEWAY_ERASE_EXPIRED", False, parse_flag, "erase what an expired session leaves")
    busy_wait_seconds: float = _setting("GATEWAY_BUSY_WAIT", 25.0, parse_duration, "how long a turn waits for its turn")
    queue_limit: int = _setting("GATEWAY_QUEUE_LIMIT", 16, whole(1, 10_000), "how many turns may wait a session")
    lease_seconds: float = _setting("GATEWAY_LEASE", 30.0, parse_lease, "how long a crashed process holds a session")
    provider_timeout_seconds: float = _setting(
        "GATEWAY_PROVIDER_TIMEOUT", 300.0, parse_positive_duration, "silence from the provider that ends a turn"
    )
    local_model_url: str | None = _setting(
        "GATEWAY_LOCAL_MODEL_URL",
        None,
        parse_http_url,
        "the local provider's model: any OpenAI-compatible server; a key may stand before its host",
        secret=True,
    )
    local_model_api: str = _setting(
        "GATEWAY_LOCAL_MODEL_API", "responses", one_of("responses", "chat"), "which API of it is spoken"
    )
    local_db: str = _setting(
        "GATEWAY_LOCAL_DB", "local-provider.db", str, "where the local provider keeps its conversations", secret=True
    )
    auth: str = _setting("GATEWAY_AUTH", "none", one_of("none"), "who may call")
    allow_anonymous: bool = _setting(
        "GATEWAY_ALLOW_ANONYMOUS", False, parse_flag, "serve other than loopback addresses without auth"
    )
    max_body_bytes: int = _setting("GATEWAY_MAX_BODY", 1024**2, parse_size, "the largest body that is taken")
    worker: str = _setting("GATEWAY_WORKER", "auto", one_of("auto", "gevent", "gthread"), "gunicorn's worker class")
    threads: int = _setting("GATEWAY_THREADS", 256, whole(2, 4096), "threads of a gthread worker")
    grace_seconds: float = _setting("GATEWAY_GRACE", 300.0, parse_duration, "how long turns may finish after SIGTERM")
    host: str = _setting("HOST", "127.0.0.1", str, "the address that is listened on")
    port: int = _setting("PORT", 8080, whole(0, 65535), "the port that is listened on")
    workers: int = _setting("WEB_CONCURRENCY", 2, whole(1, 256), "how many worker processes serve")

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """The settings in `environ`. An empty value counts as left out."""
        fields = {field.metadata["variable"]: field for field in dataclasses.fields(cls)}
        for name in environ:
            if name.startswith("GATEWAY_") and name not in fields:
                near = difflib.get_close_matches(name, fields, n=1)
                hint = f" Did you mean {near[0]}?" if near else f" There are: {', '.join(sorted(fields))}."
                raise ConfigurationError(f"{name} is not a setting of the gateway.{hint}")
        values = {}
        for variable, field in fields.items():
            if text := environ.get(variable):
                try:
                    values[field.name] = field.metadata["parse"](text)
                except ValueError as exc:
                    shown = "(hidden)" if field.metadata["secret"] else repr(text)
                    raise ConfigurationError(f"{variable}={shown} cannot be used: it takes {exc}.") from exc
        settings = cls(**values)
        settings._check()
        return settings

    @property
    def provider_name(self) -> str:
        """`openai` or `local`: what `auto` comes to."""
        if self.provider != "auto":
            return self.provider
        return "openai" if self.openai_api_key else "local"

    @property
    def bind(self) -> str:
        """What is listened on: `host:port`, or a Unix socket."""
        if self.host.startswith("unix:"):
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def model_name(self) -> str:
        """The model that is asked for: the one that is set, or else one that the provider has."""
        return self.model or ("gpt-5.4-mini" if self.provider_name == "openai" else "demo")

    @property
    def serves_this_host_only(self) -> bool:
        return self.host in ("127.0.0.1", "::1", "localhost") or self.host.startswith(("127.", "unix:"))

    @property
    def workflows(self) -> dict[str, str]:
        """Name → `package.module:attribute`; the default one is named by the empty string. Empty: the built-in."""
        return _parse_workflows(self.workflow)

    def _check(self) -> None:
        if self.provider == "openai" and not self.openai_api_key:
            raise ConfigurationError("GATEWAY_PROVIDER='openai' cannot be used: it needs OPENAI_API_KEY to be set.")
        if self.auth == "none" and not self.serves_this_host_only and not self.allow_anonymous:
            raise ConfigurationError(
                f"HOST={self.host!r} cannot be used without auth: it takes a loopback address, "
                "unless GATEWAY_ALLOW_ANONYMOUS=true lets everybody in."
            )
        try:
            _parse_workflows(self.workflow)
        except ValueError as exc:
            raise ConfigurationError(f"GATEWAY_WORKFLOW={self.workflow!r} cannot be used: it takes {exc}.") from exc


_WORKFLOW = re.compile(r"(?:(?P<name>[A-Za-z0-9_-]{1,64})=)?(?P<place>[\w.]+:[\w.]+)")


def _parse_workflows(value: str | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in (value or "").split(",") if value else ():
        match = _WORKFLOW.fullmatch(part.strip())
        name = (match["name"] or "") if match else None
        if match is None or name is None or name in found:
            raise ValueError("package.module:attribute, or several as name=package.module:attribute,… (each name once)")
        found[name] = match["place"]
    return found
