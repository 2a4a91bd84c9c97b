"""The way to the server: few connections, scripts by their name, and every failure in the house's words."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import Any

import redis
from redis.exceptions import NoPermissionError, NoScriptError, ReadOnlyError, RedisError, ResponseError, WatchError

from gateway.errors import StoreUnavailableError

Command = tuple[Any, ...]

CONNECTION_WAIT_SECONDS = 10.0
"""How long a step waits for one of the connections; each is in use for well under a millisecond at a time."""

_SCRIPTS = resources.files("gateway.sessions.redis") / "scripts"
# These work on one session and share its prelude; the others say themselves what their keys are.
_STEPS = (
    "enter",
    "poll",
    "renew",
    "withdraw",
    "held",
    "write",
    "finish",
    "turn",
    "turns",
    "settle",
    "mark",
    "bind",
    "swap",
    "put",
    "begin_erasure",
    "finish_erasure",
    "forget",
    "rename",
    "expire",
    "trim",
)
_OTHERS = ("claim", "free", "index", "page", "named")


def _load_scripts() -> dict[str, str]:
    def read(name: str) -> str:
        return (_SCRIPTS / f"{name}.lua").read_text(encoding="utf-8")

    prelude = read("session")
    return {name: prelude + read(name) for name in _STEPS} | {name: read(name) for name in _OTHERS}


class Link:
    """One server (or one master behind Sentinels). Safe for threads.

    Everything that is sent may be sent twice: when a connection breaks, redis-py repeats the command or the whole batch
    once on a new one, so each step is made to change nothing the second time.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client: Any = client  # redis-py's own types are not strict
        # redis-py's blocking pool knows no Sentinel. Its plain one refuses instead of waiting, and older versions count
        # what they had with a former master for ever: so the limit is kept here.
        pool = client.connection_pool
        self._connections = threading.BoundedSemaphore(pool.max_connections)
        pool.max_connections = 2**31
        self._scripts = _load_scripts()
        self._hashes = {
            name: hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest() for name, text in self._scripts.items()
        }
        # Server's clock minus ours (monotonic), in milliseconds; learnt from every step.
        self._offset: float | None = None

    def open(self) -> dict[str, Any]:
        """Asks the server for the first time, and returns what it says of itself. Raises redis-py's own errors."""
        answers = self._send([("TIME",), ("INFO",), *self._load_commands()], atomic=False)
        clock, info, *_ = answers
        if isinstance(info, NoPermissionError):
            answers[1] = info = {}  # a user may well be kept from it
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        self._learn(int(clock[0]) * 1000 + int(clock[1]) // 1000)
        return dict(info)

    def now(self) -> int:
        """Epoch milliseconds by the server's clock, as far as it is known, without asking."""
        if self._offset is None:
            return round(time.time() * 1000)
        return round(time.monotonic() * 1000 + self._offset)

    def call(self, *command: Any) -> Any:
        """The answer to one command."""
        with self._errors(), self._connection():
            return self._client.execute_command(*command)

    def script(self, name: str, keys: Sequence[str], *args: Any) -> Command:
        """The command that runs a script."""
        return ("EVALSHA", self._hashes[name], len(keys), *keys, *args)

    def run(self, command: Command) -> Any:
        """The answer of one script."""
        with self._errors(), self._connection():
            try:
                return self._client.execute_command(*command)
            except NoScriptError:
                # The server was restarted, or another one has become the master.
                self._send(self._load_commands(), atomic=False)
                return self._client.execute_command(*command)

    def step(self, command: Command) -> list[Any]:
        """The answer of a session's script, without its time."""
        return self.learn(self.run(command))

    def batch(self, commands: Sequence[Command], *, atomic: bool = False, tolerant: bool = False) -> list[Any]:
        """The answers to several commands, in one round trip. `atomic`: nobody comes in between. `tolerant`: a command
        that was refused answers with its error."""
        if not commands:
            return []
        with self._errors(), self._connection():
            answers = self._send(commands, atomic=atomic)
            if any(isinstance(answer, NoScriptError) for answer in answers):
                self._send(self._load_commands(), atomic=False)
                answers = self._send(commands, atomic=atomic)
            for answer in answers:
                if isinstance(answer, Exception) and not (tolerant and isinstance(answer, ResponseError)):
                    raise answer
            return answers

    def learn(self, answer: list[Any]) -> list[Any]:
        """The answer of a session's script in a batch, without its time."""
        now, *rest = answer
        self._learn(now)
        return rest

    def watched(
        self, keys: Sequence[str], read: Sequence[Command], write: Callable[[list[Any]], Sequence[Command]]
    ) -> bool:
        """Reads, and writes what follows from it, unless one of `keys` changed in between (False)."""
        forgotten = False
        with self._errors(), self._connection(), self._client.pipeline() as pipe:
            try:
                pipe.watch(*keys)
                # Read inside a transaction of its own kind would end the watch, so one by one.
                answers = [pipe.immediate_execute_command(*command) for command in read]
                commands = write(answers)
                pipe.multi()
                for command in commands:
                    pipe.execute_command(*command)
                for answer in pipe.execute(raise_on_error=False):
                    if isinstance(answer, NoScriptError):
                        forgotten = True
                    elif isinstance(answer, Exception):
                        raise answer
            except WatchError:
                return False
        if forgotten:
            self.batch(self._load_commands())
        return not forgotten

    def close(self) -> None:
        self._client.close()
        self._client.connection_pool.disconnect()

    def _learn(self, now: int) -> None:
        self._offset = now - time.monotonic() * 1000

    def _load_commands(self) -> list[Command]:
        return [("SCRIPT LOAD", text) for text in self._scripts.values()]

    def _send(self, commands: Sequence[Command], *, atomic: bool) -> list[Any]:
        with self._client.pipeline(transaction=atomic) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            answers: list[Any] = pipe.execute(raise_on_error=False)
            return answers

    @contextmanager
    def _connection(self) -> Iterator[None]:
        if not self._connections.acquire(timeout=CONNECTION_WAIT_SECONDS):
            raise StoreUnavailableError("All connections to Redis are in use.", retry_after=1)
        try:
            yield
        finally:
            self._connections.release()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except RedisError as exc:
            if isinstance(exc, ReadOnlyError):
                # This server has become a replica: the next connection may lead to the new master.
                self._client.connection_pool.disconnect(inuse_connections=False)
            raise StoreUnavailableError(retry_after=1) from exc
