"""A new conversation for a session: made, filled, and only then bound. All of it, or the session is as it was."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from gateway.errors import GatewayError, StoreUnavailableError
from gateway.history.items import clear_items
from gateway.metrics.series import ORPHANS
from gateway.model import JSON, Session
from gateway.providers.base import Provider
from gateway.providers.retry import Patience
from gateway.sessions import Turn

log = logging.getLogger("gateway.turn")


class Bound(NamedTuple):
    """The session as it is bound now, and whether to the conversation that was made for it: if not, something other
    than a turn wrote it in between."""

    session: Session
    is_ours: bool


def bind_conversation(
    provider: Provider,
    turn: Turn,
    patience: Patience,
    *,
    user_id: str | None = None,
    data: JSON | None = None,
    metadata: JSON | None = None,
    fill: Callable[[str], object] | None = None,
    erase_old: bool = False,
) -> Bound:
    """Makes a conversation, lets `fill` put a history into it, and binds the turn's session to it. One that could not
    be bound is deleted again."""
    generation = turn.session.generation + 1 if turn.session else 1
    # By these an orphan can be told at the provider.
    marks = {"gateway_session": turn.key.session_id, "gateway_generation": str(generation)}
    if turn.key.tenant:
        marks["gateway_tenant"] = turn.key.tenant
    try:
        made = patience.call(lambda: provider.create_conversation(metadata=marks))["id"]
    except GatewayError as exc:
        if exc.in_doubt:
            ORPHANS.labels("no").inc()
            log.warning("a conversation may be an orphan at the provider: the answer with its id was lost")
        raise
    try:
        if fill is not None:
            fill(made)
        session = turn.bind(made, user_id=user_id, data=data, metadata=metadata, erase_old=erase_old)
    except StoreUnavailableError:
        # It may be bound all the same, so that it must not be deleted.
        ORPHANS.labels("no").inc()
        log.warning("conversation %s may be an orphan at the provider: the store went away", made)
        raise
    except Exception:
        _discard(provider, made, filled=fill is not None)
        raise
    bound = Bound(session, is_ours=session.conversation_id == made)
    if not bound.is_ours:
        _discard(provider, made, filled=fill is not None)
    return bound


def _discard(provider: Provider, conversation_id: str, *, filled: bool) -> None:
    try:
        if filled:
            clear_items(provider, conversation_id)
        provider.delete_conversation(conversation_id)
    except GatewayError:
        ORPHANS.labels("yes").inc()
        log.warning("conversation %s is an orphan at the provider: it could not be deleted", conversation_id)
