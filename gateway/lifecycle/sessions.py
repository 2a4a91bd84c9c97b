"""A session made, under a new conversation, copied, under a new name, or forgotten. Atomic from outside: at no moment
has it no conversation, or two; and what was cut off may be done again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from gateway.errors import SessionExistsError, UserMismatchError
from gateway.history.copying import Copied, copy_history
from gateway.history.items import add_portion
from gateway.lifecycle.erasures import Eraser, Receipt
from gateway.lifecycle.holding import holding, holding_both, readable
from gateway.model import JSON, Session, SessionKey, Status
from gateway.providers.base import Provider
from gateway.providers.retry import Patience
from gateway.sessions import SessionManager
from gateway.turn.binding import bind_conversation


class Made(NamedTuple):
    """A session, and whether it is new."""

    session: Session
    created: bool


class Forked(NamedTuple):
    """The second session, and how much of the history went into it."""

    session: Session
    copied: Copied


class Reset(NamedTuple):
    """The session with its new conversation, what went over into that, and what became of the old one: `erasing` is
    left to the sweeper."""

    session: Session
    copied: Copied
    old_conversation: Literal["erased", "erasing", "kept"]


def make(
    sessions: SessionManager,
    provider: Provider,
    key: SessionKey,
    *,
    user_id: str | None = None,
    data: JSON | None = None,
    metadata: JSON | None = None,
    items: Sequence[JSON] = (),
) -> Made:
    """A session with these items (as many as the provider takes in one call), or the one that is there, as it is. That
    one takes no items: `SessionExistsError`."""
    found = sessions.get(key)
    if found is None or found.status is Status.ERASING:
        patience = Patience(sessions.wait_seconds)
        with sessions.turn(key, wait_seconds=patience.left_seconds) as turn:
            found = turn.session
            if found is None:
                bound = bind_conversation(
                    provider,
                    turn,
                    patience,
                    user_id=user_id,
                    data=data,
                    metadata=metadata,
                    fill=(lambda made_id: add_portion(provider, made_id, items)) if items else None,
                )
                return Made(bound.session, True)
    if items:
        raise SessionExistsError(param="session_id")
    if user_id is not None and user_id != found.user_id:
        raise UserMismatchError(param="user_id")
    return Made(found, False)


def reset(
    eraser: Eraser,
    key: SessionKey,
    *,
    keep_history: bool = False,
    erase_old: bool = True,
    budget: Patience | None = None,
) -> Reset:
    """A new conversation, empty or with a copy of the history. The old one is erased as far as it comes within the
    budget."""
    sessions, provider = eraser.sessions, eraser.provider
    copied = Copied()
    patience = Patience(sessions.wait_seconds)
    with holding(sessions, key, patience) as (turn, session):
        old_id = session.conversation_id

        def fill(made_id: str) -> None:
            nonlocal copied
            copied = copy_history(provider, old_id, made_id)

        bound = bind_conversation(provider, turn, patience, fill=fill if keep_history else None, erase_old=erase_old)
    became: Literal["erased", "erasing", "kept"] = "kept"
    # One that somebody else has bound in between may be the old one again.
    if erase_old and bound.is_ours:
        # The turn is free by now: the next one need not wait for this.
        became = "erased" if isinstance(eraser.erase_old(key, old_id, budget), Receipt) else "erasing"
    # What clients edited meanwhile is not in what was bound.
    return Reset(sessions.get(key) or bound.session, copied, became)


def fork(
    sessions: SessionManager, provider: Provider, key: SessionKey, session_id: str, *, user_id: str | None = None
) -> Forked:
    """A second session with a copy of the history, of the data and of the metadata; another user's, if one is named."""
    copied = Copied()
    patience = Patience(sessions.wait_seconds)
    with holding_both(sessions, key, SessionKey(key.tenant, session_id), patience) as (session, free):
        data, metadata = session.opened()

        def fill(made_id: str) -> None:
            nonlocal copied
            copied = copy_history(provider, session.conversation_id, made_id)

        bound = bind_conversation(
            provider,
            free,
            patience,
            user_id=user_id or session.user_id,
            data=data,
            metadata=metadata,
            fill=fill,
        )
    return Forked(bound.session, copied)


def rename(sessions: SessionManager, key: SessionKey, session_id: str, *, user_id: str | None = None) -> Session:
    """Another id, and a user for a session that had none: the anonymous visitor logs in."""
    session = readable(sessions, key)
    # A session's user changes here only, and only from none: what was read is still so in the turn.
    if None not in (user_id, session.user_id) and user_id != session.user_id:
        raise UserMismatchError(param="user_id")
    return sessions.rename(key, session_id, user_id=user_id)


def forget(sessions: SessionManager, key: SessionKey, *, check: Callable[[Session], None] | None = None) -> Session:
    """Drops the session, and leaves its conversation at the provider alone. `check` may refuse, by raising."""
    with holding(sessions, key, Patience(sessions.wait_seconds)) as (turn, session):
        if check is not None:
            check(session)
        turn.forget()
    return session
