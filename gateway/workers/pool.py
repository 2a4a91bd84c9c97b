"""Threads for requests: so many at work at once, and more as long as some of them stand still."""

from __future__ import annotations

import errno
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any


class ThreadPool:
    """What gunicorn asks of a pool. Threads are begun when they are needed; they end with it, or when there are
    more than may be at work."""

    def __init__(self, threads: int) -> None:
        self._most_at_work = threads
        self._most_standing = 4 * threads
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = deque()
        self._threads = self._idle = self._standing = 0
        self._ended = False

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """`function(*args)` on one of the threads, in the order of the calls."""
        future: Future[Any] = Future()
        with self._changed:
            if self._ended:
                raise RuntimeError("this pool takes no more work")
            self._waiting.append((future, function, args))
            self._changed.notify()
            self._begin_thread()
        return future

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """The calling thread does nothing in this block, and another one may take its place."""
        with self._changed:
            if self._standing >= self._most_standing:
                raise ConnectionResetError(errno.ECONNRESET, "Too many clients do not read.")
            self._standing += 1
            self._begin_thread()
        try:
            yield
        finally:
            with self._changed:
                self._standing -= 1

    def shutdown(self, *, wait: bool = False) -> None:
        """Takes no more work. What is at work goes on."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _begin_thread(self) -> None:
        if len(self._waiting) <= self._idle or self._threads - self._standing >= self._most_at_work:
            return
        self._threads += 1
        self._idle += 1
        try:
            threading.Thread(target=self._work, name="gateway-request", daemon=True).start()
        except RuntimeError:
            # There can be no more of them now. The next one that is free takes what waits, if there is one.
            self._threads -= 1
            self._idle -= 1
            if not self._threads:
                self._waiting.pop()
                raise

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    if self._ended or self._threads - self._standing > self._most_at_work:
                        self._threads -= 1
                        self._idle -= 1
                        return
                    self._changed.wait()
                future, function, args = self._waiting.popleft()
                self._idle -= 1
            if future.set_running_or_notify_cancel():
                try:
                    result = function(*args)
                except BaseException as exc:
                    future.set_exception(exc)
                else:
                    future.set_result(result)
            # Nothing of a request is kept while the next one is waited for.
            del future, function, args
            with self._changed:
                self._idle += 1
