"""Keeps the leases of this process's responses: one thread for all of them, there only while it is needed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

_log = logging.getLogger(__name__)


class Keeper:
    """Calls `renew` with every held response, well within their lease, for as long as any is held.

    `renew` says whether there is something left to do although nothing is held.
    """

    def __init__(self, renew: Callable[[Collection[str]], bool], *, interval_seconds: float) -> None:
        self._renew = renew
        self._interval = interval_seconds
        self._changed = threading.Condition()
        self._held: set[str] = set()
        self._thread: threading.Thread | None = None
        self._closed = False

    @contextmanager
    def holding(self, response_id: str) -> Iterator[None]:
        """The response's lease is renewed inside of this."""
        with self._changed:
            self._held.add(response_id)
        self.wake()
        try:
            yield
        finally:
            with self._changed:
                self._held.discard(response_id)

    def wake(self) -> None:
        """Sees to it that the thread runs."""
        with self._changed:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="local-provider-keeper", daemon=True)
                self._thread.start()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        more, idle = False, 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed, self._interval)
                # A few idle rounds before it ends: busy providers do not start a thread for every response.
                idle = 0 if self._held or more else idle + 1
                if self._closed or idle > 3:
                    self._thread = None
                    return
                held = list(self._held)
            try:
                more = self._renew(held)
            except Exception:
                # The next round tries again; a response whose lease runs out meanwhile appends nothing.
                _log.warning("The local provider could not renew the leases of its responses.", exc_info=True)
