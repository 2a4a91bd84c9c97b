"""Waiting for a session's turn: first come, first served over all processes of a store."""

from __future__ import annotations

import time

from gateway.errors import QueueFullError, TurnBusyError
from gateway.liveness import uptime_us
from gateway.model import TurnRecord
from gateway.sessions.turn import Holdings, Turn
from gateway.sessions.values import KeyTakenError, Standing

POLL_SECONDS = 0.05
"""How often the first in the queue looks whether its turn has come: at most 20 store calls a second."""


def take(holdings: Holdings, record: TurnRecord, *, wait_seconds: float, queue_limit: int) -> Turn:
    """Enters the queue and returns with the turn; whoever does not get it leaves nothing behind."""
    key, turn_id, store = record.key, record.turn_id, holdings.store
    asked = uptime_us()
    deadline = time.monotonic() + wait_seconds
    entered = False
    try:
        with holdings.waiters.listen(key) as waiter:
            standing: Standing | None = store.tickets.enter(record, queue_limit=queue_limit if wait_seconds > 0 else 0)
            entered = True
            holdings.leases.add(key, turn_id, since=asked)
            while standing is not None and standing.before:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TurnBusyError(retry_after=1)
                # Those further back need not look as often: the ones before them must pass first.
                waiter.wait(min(left, POLL_SECONDS * min(standing.before, 20)))
                standing = store.tickets.poll(key, turn_id)
        if standing is None:
            raise TurnBusyError("This turn lost its place in the queue.", retry_after=1)
        stored = standing.session if standing.is_read else store.sessions.get(key)
    except BaseException as exc:
        # A ticket whose entering was answered by nobody may be there all the same.
        if entered or not isinstance(exc, (TurnBusyError, QueueFullError, KeyTakenError)):
            holdings.give_back(key, turn_id)
        raise
    session = None if stored is None else holdings.codec.decode(stored)
    if stored is not None and stored.is_over(store.now()):
        return Turn(holdings, record, standing.fence, None, session)
    return Turn(holdings, record, standing.fence, session, None)
