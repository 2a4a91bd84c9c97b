"""From settings to a running gateway: which store, which provider, which workflows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gateway.auth import ANONYMOUS, Authenticate
from gateway.auth.keys import KeyAuth
from gateway.config import Settings
from gateway.errors import ConfigurationError, GatewayError
from gateway.metrics.meters import MeteredProvider, MeteredStore
from gateway.model import JSON, ApiKey
from gateway.parsing import shown_url
from gateway.providers.base import Provider
from gateway.sessions import Lifetime, SessionManager, open_sessions
from gateway.turn import Gateway
from gateway.workflows import load_workflows


def assemble(
    settings: Settings, *, sessions: SessionManager | None = None, provider: Provider | None = None
) -> Gateway:
    """A gateway on these settings. To be closed."""
    workflows = load_workflows(settings.workflows)
    defaults: JSON = {"model": settings.model_name, "truncation": settings.truncation}
    if settings.instructions is not None:
        defaults["instructions"] = settings.instructions
    if settings.tools:
        defaults["tools"] = list(settings.tools)
    return Gateway(
        _metered(sessions or open_store(settings)),
        MeteredProvider(provider or open_provider(settings)),
        workflows,
        defaults=defaults,
        provider_timeout_seconds=settings.provider_timeout_seconds,
    )


def _metered(sessions: SessionManager) -> SessionManager:
    if not isinstance(sessions.store, MeteredStore):
        sessions.wrap(MeteredStore)
    return sessions


def open_store(settings: Settings) -> SessionManager:
    with _named("GATEWAY_STORE", settings.store):
        return open_sessions(
            settings.store,
            prefix=settings.store_prefix,
            lease_seconds=settings.lease_seconds,
            lifetime=Lifetime(settings.session_ttl_seconds, settings.session_max_age_seconds),
            erase_expired=settings.erase_expired,
            encryption_keys=settings.encryption_keys,
            wait_seconds=settings.busy_wait_seconds,
            queue_limit=settings.queue_limit,
            # Of a gthread worker's threads half stay free for other sessions and for /healthz.
            max_waiting=settings.threads // 2,
        )


def open_provider(settings: Settings) -> Provider:
    if settings.provider_name == "openai":
        from gateway.providers.openai import OpenAIProvider

        return OpenAIProvider(
            api_key=settings.openai_api_key or "",
            base_url=settings.openai_base_url,
            timeout_seconds=settings.provider_timeout_seconds,
        )
    from gateway.providers.local import LocalProvider

    with _named("GATEWAY_LOCAL_DB", settings.local_db):
        return LocalProvider(
            settings.local_db,
            model_url=settings.local_model_url,
            model_api=settings.local_model_api,
            timeout_seconds=settings.provider_timeout_seconds,
        )


@contextmanager
def _named(variable: str, value: str) -> Iterator[None]:
    """What cannot be opened is told by the setting that named it."""
    try:
        yield
    except ConfigurationError as exc:
        raise ConfigurationError(f"{variable}={shown_url(value)!r} cannot be used: {exc}") from exc
    except GatewayError as exc:
        exc.message = f"{variable}={shown_url(value)!r} cannot be used now: {exc.message}"
        exc.args = (exc.message,)
        raise


def open_auth(settings: Settings, find_key: Callable[[str], ApiKey | None]) -> Authenticate:
    """What tells callers apart on these settings; `find_key` knows the API keys by their names."""
    if settings.auth == "none":
        return lambda credential: ANONYMOUS
    if settings.auth == "keys":
        return KeyAuth(find_key)
    from gateway.auth.jwks import PublishedKeys
    from gateway.auth.tokens import TokenAuth, one_key

    try:
        keys = (
            PublishedKeys(settings.jwt_jwks_url, settings.jwt_algorithms)
            if settings.jwt_jwks_url
            else one_key(settings.jwt_key or "", settings.jwt_algorithms)
        )
    except ValueError as exc:
        raise ConfigurationError(f"GATEWAY_JWT_KEY=(hidden) cannot be used: it takes {exc}.") from exc
    return TokenAuth(
        keys,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        leeway_seconds=settings.jwt_leeway_seconds,
        tenant_claim=settings.jwt_tenant_claim,
        user_claim=settings.jwt_user_claim,
        role_claim=settings.jwt_role_claim,
    )
