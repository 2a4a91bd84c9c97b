"""PostgreSQL's connections, which by themselves wait for an answer for ever.

A server that is stopped, a disk that stands still, a proxy whose back end is gone: all of them go on acknowledging what
they are sent, so no time-out of the network ends the wait.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import psycopg

ANSWER_SECONDS = 8.0
"""How long a server may be silent in the middle of a statement: longer than it waits for another's lock."""


class PatientConnection(psycopg.Connection[Any]):
    """A connection that is closed, with an `OperationalError`, when its server falls silent for `ANSWER_SECONDS`."""

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **options: Any) -> Any:
        return super().wait(self._answered(gen), *args, **options)

    def _answered(self, steps: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """The steps, as long as the server has its part in them."""
        silent_since: float | None = None
        ready = None
        try:
            while True:
                # Whoever waits sends what the socket is ready for; every tenth of a second that is nothing.
                ready = yield steps.send(ready)
                if ready:
                    silent_since = None
                elif silent_since is None:
                    silent_since = time.monotonic()
                elif time.monotonic() - silent_since > ANSWER_SECONDS:
                    # Its answer may still come, and would be taken for that to another question.
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"the server has not answered for {ANSWER_SECONDS:g} s")
        except StopIteration as end:
            return end.value
