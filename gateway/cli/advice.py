"""What these settings come to, and what a user would regret about them."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config import Settings
from gateway.parsing import shown_url
from gateway.sessions.schemes import is_server, scheme_of
from gateway.workers import worker_kind_of


def address(settings: Settings) -> str:
    return settings.bind if settings.bind.startswith("unix:") else f"http://{settings.bind}"


def describe(settings: Settings) -> list[tuple[str, str]]:
    """Name and value of what the gateway runs on, without a secret in it."""
    worker = worker_kind_of(settings)
    threads = f" with {settings.threads} threads each" if worker == "gthread" else ""
    return [
        ("store", shown_url(settings.store)),
        ("provider", describe_provider(settings)),
        ("workflow", settings.workflow or f"built-in, model {settings.model_name}"),
        ("auth", describe_auth(settings)),
        ("workers", f"{settings.workers} {worker}{threads}"),
    ]


def describe_auth(settings: Settings) -> str:
    anybody = "on this host" if settings.serves_this_host_only else "who reaches it"
    if settings.auth == "none":
        return f"none: everybody {anybody}"
    if settings.auth == "keys":
        return "keys of `gateway keys`"
    keys = shown_url(settings.jwt_jwks_url) if settings.jwt_jwks_url else "GATEWAY_JWT_KEY"
    return f"tokens, checked with {keys}"


def describe_provider(settings: Settings) -> str:
    if settings.provider_name == "openai":
        return f"openai at {shown_url(settings.openai_base_url)}" if settings.openai_base_url else "openai"
    model = shown_url(settings.local_model_url) if settings.local_model_url else "the built-in demo model"
    return f"local with {model}, conversations in {shown_url(settings.local_db)}"


def regrets(settings: Settings) -> Iterator[str]:
    """Warnings: it runs, but not as one may think."""
    scheme = scheme_of(settings.store)
    if scheme == "memory" and settings.workers > 1:
        yield (
            f"the memory store is each worker's own: with {settings.workers} workers a session is several. "
            "Set WEB_CONCURRENCY=1 or another GATEWAY_STORE."
        )
    elif scheme == "memory":
        yield "the memory store forgets every session at exit. Set GATEWAY_STORE to keep them."
    if settings.auth == "none" and not settings.serves_this_host_only:
        yield f"everybody who reaches {address(settings)} can read and write every session: there is no auth."
    if settings.auth == "jwt" and settings.jwt_audience is None:
        yield "tokens that are meant for nobody in particular are taken. Set GATEWAY_JWT_AUDIENCE to the gateway's own."
    if settings.auth == "jwt" and settings.jwt_jwks_url and settings.jwt_issuer is None:
        yield "tokens are taken whoever says to have issued them. Set GATEWAY_JWT_ISSUER."
    if settings.provider_name == "local":
        if settings.local_model_url is None:
            yield (
                "the demo model only repeats what it read. "
                "Set OPENAI_API_KEY for OpenAI's, or GATEWAY_LOCAL_MODEL_URL for a model of your own."
            )
        if is_server(settings.store) and not is_server(settings.local_db):
            yield (
                f"other hosts share the store, but not the conversations in {settings.local_db}. "
                "Set GATEWAY_LOCAL_DB to a database that they share."
            )
