"""A session's hosted history, changed in its turn: added to, popped, cleared, or with one item less."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.errors import ConversationGoneError, GatewayError
from gateway.history import items as history
from gateway.lifecycle.holding import holding
from gateway.model import JSON, SessionKey
from gateway.providers.base import Provider
from gateway.providers.retry import Patience
from gateway.sessions import SessionManager
from gateway.turn.binding import bind_conversation


def write(
    sessions: SessionManager,
    provider: Provider,
    key: SessionKey,
    fill: Callable[[str], object],
    patience: Patience,
    *,
    user_id: str | None = None,
    restart: bool = False,
) -> None:
    """Lets `fill` write into the session's conversation. The first write makes the session, as a turn does, and with
    `restart` a conversation that the provider lost is replaced; what cannot be filled is not bound."""
    with sessions.turn(key, wait_seconds=patience.left_seconds) as turn:
        if turn.session is not None:
            try:
                fill(turn.session.conversation_id)
            except ConversationGoneError:
                if not restart:
                    raise
            else:
                return
        try:
            bind_conversation(provider, turn, patience, user_id=user_id, fill=fill)
        except GatewayError as exc:
            # What was added went with the conversation.
            for name in ("items_added", "items_in_doubt"):
                exc.details.pop(name, None)
            raise


def add(
    sessions: SessionManager,
    provider: Provider,
    key: SessionKey,
    posted: Sequence[JSON],
    *,
    user_id: str | None = None,
) -> list[JSON]:
    """Adds any number of items, and returns them as the provider keeps them. An error says how many were added:
    `items_added`."""
    added: list[JSON] = []

    def fill(conversation_id: str) -> None:
        nonlocal added
        added = history.add_items(provider, conversation_id, posted)

    write(sessions, provider, key, fill, Patience(sessions.wait_seconds), user_id=user_id)
    return added


def pop(sessions: SessionManager, provider: Provider, key: SessionKey) -> JSON:
    """Removes the newest item, and returns it."""
    with holding(sessions, key, Patience(sessions.wait_seconds)) as (_, session):
        return history.pop_item(provider, session.conversation_id)


def remove(sessions: SessionManager, provider: Provider, key: SessionKey, item_id: str) -> None:
    """Removes one; `NotFoundError` when it is not there."""
    with holding(sessions, key, Patience(sessions.wait_seconds)) as (_, session):
        history.remove_item(provider, session.conversation_id, history.parse_item_id(item_id))


def clear(
    sessions: SessionManager, provider: Provider, key: SessionKey, budget: Patience | None = None
) -> tuple[int, bool]:
    """Removes every item; tells how many, and whether that was all. Where it was not within the budget the session goes
    on in a new conversation, without any, and the sweeper erases the old one."""
    patience = Patience(sessions.wait_seconds)
    with holding(sessions, key, patience) as (turn, session):
        count, all_gone = history.clear_items(provider, session.conversation_id, budget)
        if not all_gone:
            bind_conversation(provider, turn, patience, erase_old=True)
    return count, all_gone
