"""A store whose steps are counted and timed, whoever wrote it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from gateway.errors import StoreUnavailableError, TurnLostError
from gateway.metrics import series
from gateway.sessions.base import SessionManager
from gateway.sessions.steps import Steps


def metered(sessions: SessionManager) -> SessionManager:
    """The same store. From now on each of its steps is seen; that it is busy, or has no such session, is an answer."""
    if not hasattr(sessions._get, "__wrapped__"):
        for name in Steps.__abstractmethods__:
            setattr(sessions, name, _metered(name.removeprefix("_"), getattr(sessions, name)))
    return sessions


def _metered(operation: str, step: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(step)
    def metered_step(*args: Any, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            answer = step(*args, **options)
        except TurnLostError:
            series.TICKETS_LOST.inc()
            raise
        except StoreUnavailableError:
            series.STORE_ERRORS.labels(operation).inc()
            raise
        finally:
            series.store_seconds(operation).observe(time.perf_counter() - began)
        if answer is None and operation == "poll":
            series.TICKETS_LOST.inc()
        return answer

    return metered_step
