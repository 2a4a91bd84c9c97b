"""The settings: read once from an environment that is handed in, checked, and frozen.

Every setting is one field below: its variable, its default, how it is read (`gateway.parsing`) and what it means.
Whatever is wrong raises one `ConfigurationError` that names the variable, the value and what is allowed.
"""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.errors import ConfigurationError
from gateway.parsing import (
    Parser,
    one_of,
    parse_algorithms,
    parse_api_key,
    parse_duration,
    parse_fernet_keys,
    parse_flag,
    parse_http_url,
    parse_lease,
    parse_lifetime,
    parse_positive_duration,
    parse_prefix,
    parse_rate,
    parse_size,
    parse_text,
    parse_tools,
    whole,
)

# --- The settings -------------------------------------------------------------------------------------------


def _setting(variable: str, default: Any, parse: Parser, meaning: str, *, secret: bool = False) -> Any:
    return dataclasses.field(
        default=default,
        repr=not secret,
        metadata={"variable": variable, "parse": parse, "meaning": meaning, "secret": secret},
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the gateway runs on."""

    store: str = _setting("GATEWAY_STORE", "json:sessions.json", str, "where sessions live", secret=True)
    store_prefix: str = _setting("GATEWAY_STORE_PREFIX", "gateway", parse_prefix, "begins table names and Redis keys")
    provider: str = _setting("GATEWAY_PROVIDER", "auto", one_of("auto", "openai", "local"), "who hosts conversations")
    openai_api_key: str | None = _setting(
        "OPENAI_API_KEY", None, parse_api_key, "the key for the provider", secret=True
    )
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
    auth: str = _setting("GATEWAY_AUTH", "none", one_of("none", "keys", "jwt"), "how callers are told apart")
    allow_anonymous: bool = _setting(
        "GATEWAY_ALLOW_ANONYMOUS", False, parse_flag, "serve other than loopback addresses, and proxies, without auth"
    )
    v1: str | None = _setting("GATEWAY_V1", None, one_of("everybody", "tenants", "off"), "who may use /v1")
    v1_shared: str = _setting(
        "GATEWAY_V1_SHARED", "refuse", one_of("refuse", "allow"), "ids that belong to the whole provider account"
    )
    jwt_jwks_url: str | None = _setting("GATEWAY_JWT_JWKS_URL", None, parse_http_url, "where tokens' public keys are")
    jwt_key: str | None = _setting(
        "GATEWAY_JWT_KEY", None, parse_text, "the key of tokens: a public one in PEM, or a secret", secret=True
    )
    jwt_algorithms: Sequence[str] = _setting(
        "GATEWAY_JWT_ALGORITHMS", (), parse_algorithms, "the signatures that are taken"
    )
    jwt_issuer: str | None = _setting("GATEWAY_JWT_ISSUER", None, str, "who must have issued a token")
    jwt_audience: str | None = _setting("GATEWAY_JWT_AUDIENCE", None, str, "whom a token must be meant for")
    jwt_leeway_seconds: float = _setting(
        "GATEWAY_JWT_LEEWAY", 30.0, parse_duration, "how far clocks may differ when a token's times are checked"
    )
    jwt_tenant_claim: str | None = _setting("GATEWAY_JWT_TENANT_CLAIM", None, str, "the claim that names the tenant")
    jwt_user_claim: str = _setting("GATEWAY_JWT_USER_CLAIM", "sub", str, "the claim that names the user")
    jwt_role_claim: str | None = _setting(
        "GATEWAY_JWT_ROLE_CLAIM", None, str, "the claim that makes an admin of whoever has 'admin' in it"
    )
    encryption_keys: Sequence[str] = _setting(
        "GATEWAY_ENCRYPTION_KEY", (), parse_fernet_keys, "encrypts data and metadata in the store", secret=True
    )
    audit_log: str | None = _setting("GATEWAY_AUDIT_LOG", None, str, "the file for the lines about security")
    rate_limit: str | None = _setting("GATEWAY_RATE_LIMIT", None, parse_rate, "requests a principal may send")
    turn_limit: int = _setting("GATEWAY_TURN_LIMIT", 2000, whole(1, 100_000), "turns under way in one process")
    principal_turn_limit: int | None = _setting(
        "GATEWAY_PRINCIPAL_TURN_LIMIT", None, whole(1, 100_000), "turns of one principal under way in one process"
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
        settings.check()
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
        """Whether only this host's own processes can connect. What stands at a Unix socket is mostly a proxy."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def v1_callers(self) -> str:
        """Who may use /v1: `everybody`, `tenants` (by keys that are not one user's) or nobody (`off`)."""
        return self.v1 or ("everybody" if self.auth == "none" else "tenants")

    @property
    def workflows(self) -> dict[str, str]:
        """Name → `package.module:attribute`; the default one is named by the empty string. Empty: the built-in."""
        return _parse_workflows(self.workflow)

    def check(self) -> None:
        """`ConfigurationError` for values that do not go together."""
        if self.provider == "openai" and not self.openai_api_key:
            raise ConfigurationError("GATEWAY_PROVIDER='openai' cannot be used: it needs OPENAI_API_KEY to be set.")
        self._check_tokens()
        if self.auth == "none" and not self.serves_this_host_only and not self.allow_anonymous:
            raise ConfigurationError(
                f"HOST={self.host!r} cannot be used without auth: it takes a loopback address, "
                "unless GATEWAY_ALLOW_ANONYMOUS=true lets everybody in."
            )
        try:
            _parse_workflows(self.workflow)
        except ValueError as exc:
            raise ConfigurationError(f"GATEWAY_WORKFLOW={self.workflow!r} cannot be used: it takes {exc}.") from exc

    def _check_tokens(self) -> None:
        if self.auth != "jwt":
            return
        if bool(self.jwt_key) == bool(self.jwt_jwks_url):
            raise ConfigurationError(
                "GATEWAY_AUTH='jwt' cannot be used: it needs GATEWAY_JWT_JWKS_URL or GATEWAY_JWT_KEY, just one of them."
            )
        shared = self.jwt_key is not None and "-----BEGIN" not in self.jwt_key
        # A public key that served as the secret of an HMAC would let everybody sign.
        if any(name.startswith("HS") != shared for name in self.jwt_algorithms):
            raise ConfigurationError(
                f"GATEWAY_JWT_ALGORITHMS={','.join(self.jwt_algorithms)!r} cannot be used: it takes HS algorithms with "
                "a secret in GATEWAY_JWT_KEY, and only others with public keys."
            )
        if shared and len(self.jwt_key or "") < 32:
            raise ConfigurationError(
                "GATEWAY_JWT_KEY=(hidden) cannot be used: it takes a secret of 32 characters or more."
            )


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
