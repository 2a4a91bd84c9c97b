"""The conversation gateway: your own session ids in front of provider-hosted conversations."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.model import Reply, Session
    from gateway.scripts import arun_workflow, run_workflow
    from gateway.sessions import SessionManager, open_sessions
    from gateway.web import create_app

__all__ = [
    "Reply",
    "Session",
    "SessionManager",
    "Settings",
    "arun_workflow",
    "create_app",
    "open_sessions",
    "run_workflow",
]

# Imported on demand: a script that opens a store does not load Flask, and gunicorn can patch sockets before we do.
_HOMES = {
    "Reply": "gateway.model",
    "Session": "gateway.model",
    "SessionManager": "gateway.sessions",
    "Settings": "gateway.config",
    "arun_workflow": "gateway.scripts",
    "create_app": "gateway.web",
    "open_sessions": "gateway.sessions",
    "run_workflow": "gateway.scripts",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
