"""Where a store under test is: all that another process needs to open it too."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from gateway.sessions.manager import SessionManager


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """`opener` (`package.module:function`) is called with the URL and the options of `open_sessions`."""

    url: str
    prefix: str = "gateway"
    opener: str = "gateway.sessions:open_sessions"
    frees_dead_processes_at_once: bool = False
    """A process that was killed frees its sessions before its lease runs out, as a store on one host can see to."""

    def open(self, **options: Any) -> SessionManager:
        module, _, function = self.opener.partition(":")
        opener = getattr(importlib.import_module(module), function)
        store: SessionManager = opener(self.url, **{"prefix": self.prefix, "queue_limit": 1000, **options})
        return store
