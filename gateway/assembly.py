"""From settings to a running gateway: which store, which provider, which workflows."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextvars import copy_context
from weakref import WeakValueDictionary

from gateway.auth import ANONYMOUS, Authenticate
from gateway.auth.keys import KeyAuth
from gateway.config import Settings
from gateway.errors import ConfigurationError, TurnBusyError
from gateway.metrics.provider import MeteredProvider
from gateway.metrics.store import metered
from gateway.model import JSON, ApiKey, Reply, TurnRequest, new_session_id, parse_session_id
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
        metered(sessions or open_store(settings)),
        MeteredProvider(provider or open_provider(settings)),
        workflows,
        defaults=defaults,
        busy_wait_seconds=settings.busy_wait_seconds,
        queue_limit=settings.queue_limit,
        provider_timeout_seconds=settings.provider_timeout_seconds,
    )


def open_store(settings: Settings) -> SessionManager:
    return open_sessions(
        settings.store,
        prefix=settings.store_prefix,
        lease_seconds=settings.lease_seconds,
        lifetime=Lifetime(settings.session_ttl_seconds, settings.session_max_age_seconds),
        erase_expired=settings.erase_expired,
        encryption_keys=settings.encryption_keys,
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

    return LocalProvider(
        settings.local_db,
        model_url=settings.local_model_url,
        model_api=settings.local_model_api,
        timeout_seconds=settings.provider_timeout_seconds,
    )


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


def run_workflow(
    input: str | list[JSON],
    *,
    session_id: str | None = None,
    workflow: str = "",
    user_id: str | None = None,
    idempotency_key: str | None = None,
    restart: bool = False,
) -> Reply:
    """One turn from a plain script, on the settings of the environment: the reply has the fields of POST /workflow."""
    request = TurnRequest(
        input=input,
        session_id=parse_session_id(session_id) if session_id is not None else new_session_id(),
        workflow=workflow,
        user_id=user_id,
        idempotency_key=idempotency_key,
        restart=restart,
        body={"input": input, "session_id": session_id, "user_id": user_id},
    )
    return _scripts_gateway().run_turn("", request)


_latest: WeakValueDictionary[str, Future[Reply]] = WeakValueDictionary()
"""Of each session the turn that `arun_workflow` began last, while it runs."""


async def arun_workflow(
    input: str | list[JSON],
    *,
    session_id: str | None = None,
    workflow: str = "",
    user_id: str | None = None,
    idempotency_key: str | None = None,
    restart: bool = False,
) -> Reply:
    """`run_workflow` inside a running event loop, a notebook's or an async server's: the turn has a thread of its own,
    and the loop goes on. The turns of a session run in the order of these calls.

    Cancelling the task that waits here is a hang-up, and a hang-up loses nothing: the turn goes on to its end and is
    recorded. `asyncio.run` returns only after that.
    """
    turn: Future[Reply] = Future()
    turn.set_running_or_notify_cancel()  # from here on it cannot be cancelled
    before = _latest.get(session_id) if session_id is not None else None
    if session_id is not None:
        _latest[session_id] = turn

    def run() -> None:
        try:
            if before is not None and wait([before], _scripts_gateway().busy_wait_seconds).not_done:
                raise TurnBusyError(retry_after=1)
            reply = run_workflow(
                input,
                session_id=session_id,
                workflow=workflow,
                user_id=user_id,
                idempotency_key=idempotency_key,
                restart=restart,
            )
        except BaseException as exc:
            turn.set_exception(exc)
        else:
            turn.set_result(reply)

    threading.Thread(target=copy_context().run, args=(run,), name="gateway-turn").start()
    try:
        return await asyncio.wrap_future(turn)
    except asyncio.CancelledError:
        # What the loop's own threads do is waited for at its end, when all that a turn needs is still there.
        asyncio.get_running_loop().run_in_executor(None, wait, [turn])
        raise


_script_lock = threading.Lock()
_script_gateway: Gateway | None = None


def _scripts_gateway() -> Gateway:
    """The one gateway of this process's scripts, on the settings of the environment."""
    global _script_gateway
    with _script_lock:
        if _script_gateway is None:
            _script_gateway = assemble(Settings.from_env(os.environ))
            atexit.register(_script_gateway.close)
        return _script_gateway
