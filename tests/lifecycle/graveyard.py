"""A provider that deletes what it is told to."""

from collections.abc import Callable
from typing import Any

from gateway.errors import ProviderError
from gateway.model import SessionKey, TurnState
from gateway.sessions import SessionManager


class Graveyard:
    """Deletes what it is told to, apart from what is `stuck`; `before` is called with each id beforehand."""

    def __init__(self) -> None:
        self.deleted: list[str] = []
        self.tried: list[str] = []
        self.stuck: set[str] = set()
        self.items: dict[str, list[str]] = {}
        self.before: Callable[[str], object] = lambda gone_id: None

    def list_items(self, conversation_id: str, *, limit: int, order: str) -> dict[str, Any]:
        return {"data": [{"id": item_id} for item_id in self.items.get(conversation_id, [])[:limit]]}

    def delete_item(self, conversation_id: str, item_id: str) -> None:
        self._delete(item_id)
        self.items[conversation_id].remove(item_id)

    def delete_conversation(self, conversation_id: str) -> None:
        self._delete(conversation_id)

    def delete_response(self, response_id: str) -> None:
        self._delete(response_id)

    def _delete(self, gone_id: str) -> None:
        self.tried.append(gone_id)
        self.before(gone_id)
        if gone_id in self.stuck:
            raise ProviderError()
        self.deleted.append(gone_id)


def bury(store: SessionManager, number: int) -> None:
    """A session that is to be erased, and that nobody is at."""
    with store.turn(SessionKey("", f"s-{number}")) as turn:
        turn.bind(f"conv_{number}")
        turn.bind(f"conv_{number}_next", erase_old=True)


def live(store: SessionManager, session_id: str, *, responses: int) -> None:
    """A session that has had so many turns, each with a stored response."""
    for number in range(responses):
        with store.turn(SessionKey("", session_id)) as turn:
            if turn.session is None:
                turn.bind(f"conv_{session_id}")
            turn.begin()
            turn.finish(TurnState.COMPLETED, response_id=f"resp_{number}")
