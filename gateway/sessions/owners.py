"""What a store knows of who somebody is: whose an id of the provider's is, and whose an API key."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from gateway.model import ApiKey
from gateway.sessions.steps import Steps
from gateway.sessions.values import GIVEN_LIFETIME_MS, ResponseOwner


class Owners(Steps):
    """The verbs on both. They concern no session's turn, and hold none up."""

    @abstractmethod
    def now(self) -> int:
        """Epoch milliseconds by the clock that rules the lifetime of sessions."""

    # --- Ids of the provider's -----------------------------------------------------------------------------

    def remember(self, tenant: str, given_ids: Sequence[str]) -> None:
        """Keeps for `GIVEN_LIFETIME_MS` that this tenant was given these ids of the provider's: of items, and of
        responses outside of every session (those of turns are in their records)."""
        self._remember(tenant, list(dict.fromkeys(given_ids)), self.now() + GIVEN_LIFETIME_MS)

    def remembered(self, tenant: str, given_ids: Sequence[str]) -> set[str]:
        """Those of these ids that this tenant was given."""
        # What is no id nobody was given, and not every store could look for it.
        possible = [each for each in dict.fromkeys(given_ids) if len(each) <= 200 and each.isprintable()]
        return self._remembered(tenant, possible, self.now()) if possible else set()

    def response_owner(self, tenant: str, response_id: str) -> ResponseOwner | None:
        """Where this response of the tenant's came from; None when it is nobody's, or another tenant's."""
        owner = self._turn_of_response(tenant, response_id)
        if owner is None and self.remembered(tenant, [response_id]):
            return ResponseOwner(None, None, None)
        return owner

    # --- API keys ------------------------------------------------------------------------------------------

    def add_key(self, key: ApiKey) -> bool:
        """Keeps an API key, which every process takes from then on. False when another key has its name."""
        return self._add_key(key)

    def key(self, name: str) -> ApiKey | None:
        """The key of this name as it is now: asked at every request, in one round trip, and never from memory."""
        return self._find_key(name)

    def keys(self) -> Sequence[ApiKey]:
        """Every key, by name."""
        return sorted(self._list_keys(), key=lambda key: key.name)

    def remove_key(self, name: str) -> bool:
        """Revokes a key: when this returns it is refused in every process. False when there was none."""
        return self._remove_key(name)
