"""Turns from Python, without a server: `run_workflow`, and `arun_workflow` inside a running event loop."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from concurrent.futures import Future, wait
from contextvars import copy_context
from weakref import WeakValueDictionary

from gateway.assembly import assemble
from gateway.config import Settings
from gateway.errors import TurnBusyError
from gateway.model import JSON, Reply, TurnRequest, new_session_id, parse_session_id
from gateway.turn import Gateway


def run_workflow(
    input: str | list[JSON],
    *,
    session_id: str | None = None,
    workflow: str = "",
    user_id: str | None = None,
    idempotency_key: str | None = None,
    restart: bool = False,
) -> Reply:
    """One turn from a plain script, on the settings of the environment: the reply has the fields of POST /workflow."""
    request = TurnRequest(
        input=input,
        session_id=parse_session_id(session_id) if session_id is not None else new_session_id(),
        workflow=workflow,
        user_id=user_id,
        idempotency_key=idempotency_key,
        restart=restart,
        body={"input": input, "session_id": session_id, "user_id": user_id},
    )
    return _scripts_gateway().run_turn("", request)


_latest: WeakValueDictionary[str, Future[Reply]] = WeakValueDictionary()
"""Of each session the turn that `arun_workflow` began last, while it runs."""


async def arun_workflow(
    input: str | list[JSON],
    *,
    session_id: str | None = None,
    workflow: str = "",
    user_id: str | None = None,
    idempotency_key: str | None = None,
    restart: bool = False,
) -> Reply:
    """`run_workflow` inside a running event loop, a notebook's or an async server's: the turn has a thread of its own,
    and the loop goes on. The turns of a session run in the order of these calls.

    Cancelling the task that waits here is a hang-up, and a hang-up loses nothing: the turn goes on to its end and is
    recorded. `asyncio.run` returns only after that.
    """
    turn: Future[Reply] = Future()
    turn.set_running_or_notify_cancel()  # from here on it cannot be cancelled
    before = _latest.get(session_id) if session_id is not None else None
    if session_id is not None:
        _latest[session_id] = turn

    def run() -> None:
        try:
            if before is not None and wait([before], _scripts_gateway().sessions.wait_seconds).not_done:
                raise TurnBusyError(retry_after=1)
            reply = run_workflow(
                input,
                session_id=session_id,
                workflow=workflow,
                user_id=user_id,
                idempotency_key=idempotency_key,
                restart=restart,
            )
        except BaseException as exc:
            turn.set_exception(exc)
        else:
            turn.set_result(reply)

    threading.Thread(target=copy_context().run, args=(run,), name="gateway-turn").start()
    try:
        return await asyncio.wrap_future(turn)
    except asyncio.CancelledError:
        # What the loop's own threads do is waited for at its end, when all that a turn needs is still there.
        asyncio.get_running_loop().run_in_executor(None, wait, [turn])
        raise


_script_lock = threading.Lock()
_script_gateway: Gateway | None = None


def _scripts_gateway() -> Gateway:
    """The one gateway of this process's scripts, on the settings of the environment."""
    global _script_gateway
    with _script_lock:
        if _script_gateway is None:
            _script_gateway = assemble(Settings.from_env(os.environ))
            atexit.register(_script_gateway.close)
        return _script_gateway


def _forget_in_child() -> None:
    """A forked process has none of its parent's threads, and must share none of its connections."""
    global _script_gateway, _script_lock
    if _script_gateway is not None:
        atexit.unregister(_script_gateway.close)
    _script_gateway, _script_lock = None, threading.Lock()
    _latest.clear()


os.register_at_fork(after_in_child=_forget_in_child)
