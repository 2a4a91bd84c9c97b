"""Patience with a provider: what surely did not happen may be tried again, what may have happened never is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from gateway.errors import GatewayError, ProviderRateLimitedError, ProviderUnavailableError
from gateway.providers.base import ConversationLockedError

T = TypeVar("T")

_PASSING = (ConversationLockedError, ProviderRateLimitedError, ProviderUnavailableError)


class Patience:
    """Tries again for so many seconds, with the delays that the provider asks for. Shared by one turn's calls."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    @property
    def left_seconds(self) -> float:
        return max(0.0, self._until - time.monotonic())

    def call(self, function: Callable[[], T]) -> T:
        """`function()`, again while it is surely refused for a passing reason and the delay fits into the patience."""
        pause = 0.25
        while True:
            try:
                return function()
            except GatewayError as exc:
                if not isinstance(exc, _PASSING) or exc.in_doubt:
                    raise
                # A locked conversation frees itself at any moment, so it is looked at sooner than it asks for.
                delay = pause if isinstance(exc, ConversationLockedError) else max(pause, exc.retry_after or 0)
                if delay > self.left_seconds:
                    raise
                time.sleep(delay)
                pause = min(pause * 2, 2.0)
