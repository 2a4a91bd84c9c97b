"""Every route that programs use: one row each. A test walks the application's own map against it."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.web.api import ours, v1
from gateway.web.api.routes import Route

ROUTES: Sequence[Route] = (
    *ours.TURNS,
    *ours.SESSIONS,
    *ours.HISTORY,
    *v1.RESPONSES,
    *v1.CONVERSATIONS,
    *v1.ITEMS,
    *ours.OPERATIONS,
)

PAGES = frozenset({"console.page", "console.asset", "api.docs", "api.style"})
"""What people's browsers load: nothing that a program would call."""
