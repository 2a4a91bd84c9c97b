"""Processes to work for the contract: told over a pipe what to do; killed and paused at will.

They are forked from a server that has imported the stores and opened none: nothing of the test's process is in them.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from gateway.testing.waiting import PATIENCE_SECONDS, eventually

_fresh = multiprocessing.get_context("forkserver")
_fresh.set_forkserver_preload(["gateway.testing.remote", "gateway.sessions.sql", "gateway.sessions.jsonfile"])


class WorkerDiedError(Exception):
    """The process ended before it answered."""


class Worker:
    """One process. A job is a function that it can import; each runs there in a thread of its own."""

    def __init__(self) -> None:
        self._pipe, theirs = _fresh.Pipe()
        self._process = _fresh.Process(target=_work, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._asked: dict[int, Future[Any]] = {}
        self._paused = False
        threading.Thread(target=self._listen, name="worker-answers", daemon=True).start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def start(self, job: Callable[..., Any], *args: Any) -> Future[Any]:
        """Has `job(*args)` done there, and returns without waiting for it."""
        future: Future[Any] = Future()
        with self._lock:
            number = next(self._numbers)
            self._asked[number] = future
            try:
                self._pipe.send((number, job, args))
            except OSError as exc:
                self._asked.pop(number, None)
                raise WorkerDiedError(f"process {self.pid} is gone") from exc
        return future

    def do(self, job: Callable[..., Any], *args: Any) -> Any:
        """What `job(*args)` returns there, or raises."""
        return self.start(job, *args).result(PATIENCE_SECONDS * 2)

    def kill(self) -> None:
        """kill -9; returns when the process is no more."""
        self._process.kill()
        self._process.join()

    def pause(self) -> None:
        """SIGSTOP; returns when it has stopped."""
        self._paused = True
        os.kill(self.pid, signal.SIGSTOP)
        # It is no child of ours, so that there is nothing to wait for but what the kernel shows.
        stat = Path(f"/proc/{self.pid}/stat")
        eventually(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")

    def resume(self) -> None:
        """SIGCONT, if it was paused."""
        if self._paused and self.alive:
            os.kill(self.pid, signal.SIGCONT)
        self._paused = False

    def _listen(self) -> None:
        while True:
            try:
                number, done, value = self._pipe.recv()
            except (EOFError, OSError):
                break
            with self._lock:
                future = self._asked.pop(number)
            if done:
                future.set_result(value)
            else:
                future.set_exception(value)
        with self._lock:
            unanswered, self._asked = list(self._asked.values()), {}
        for future in unanswered:
            future.set_exception(WorkerDiedError(f"process {self.pid} ended before it answered"))


class Crew:
    """As many workers as were asked for so far, used again by the next test: a start costs most of a second."""

    def __init__(self) -> None:
        self._workers: list[Worker] = []

    def __call__(self, number: int) -> list[Worker]:
        """That many living workers, always the same ones first."""
        self._workers = [worker for worker in self._workers if worker.alive]
        while len(self._workers) < number:
            self._workers.append(Worker())
        return self._workers[:number]

    def tidy(self, job: Callable[[], None]) -> None:
        """Has every living worker, the paused ones too, do `job`; one that fails at it is not used again."""
        living = [worker for worker in self._workers if worker.alive]
        for worker in living:
            worker.resume()
        for worker, done in [(worker, worker.start(job)) for worker in living]:
            try:
                done.result(PATIENCE_SECONDS)
            except Exception:
                worker.kill()

    def dismiss(self) -> None:
        for worker in self._workers:
            worker.kill()
        self._workers = []


def _work(pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is pytest's
    sending = threading.Lock()

    def run(number: int, job: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            answer = (number, True, job(*args))
        except BaseException as exc:
            answer = (number, False, _portable(exc))
        with sending:
            pipe.send(answer)

    while True:
        try:
            number, job, args = pipe.recv()
        except (EOFError, OSError):
            os._exit(0)  # the tests are over: whatever still runs here is not waited for
        threading.Thread(target=run, args=(number, job, args), daemon=True).start()


def _portable(exc: BaseException) -> BaseException:
    """The exception as it can be sent, with where it came from as a note."""
    story = "".join(traceback.format_exception(exc))
    try:
        copy: BaseException = pickle.loads(pickle.dumps(exc))  # noqa: S301 - our own exception, there and back
    except Exception:
        copy = RuntimeError(repr(exc))
    copy.add_note(f"In process {os.getpid()}:\n{story}")
    return copy
