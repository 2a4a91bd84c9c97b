"""The way to the server: few connections, scripts by their digest, and every failure in the house's words."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import redis
from redis.exceptions import NoPermissionError, NoScriptError, ReadOnlyError, RedisError, ResponseError

from gateway.errors import ConfigurationError, StoreUnavailableError
from gateway.line import Line
from gateway.sessions.redis.connect import STATEMENT, explain_layout, explain_refusal, explain_server
from gateway.sessions.redis.scripts import Command, load_scripts

CONNECTION_WAIT_SECONDS = 10.0
"""How long a step waits for one of the connections; each is in use for well under a millisecond at a time."""


class Client:
    """One server (or one master behind Sentinels). Safe for threads.

    Everything that is sent may be sent twice: when a connection breaks, redis-py repeats the command or the whole batch
    once on a new one, so each step is made to change nothing the second time.
    """

    def __init__(self, client: redis.Redis, *, version_key: str) -> None:
        self._client: Any = client  # redis-py's own types are not strict
        # redis-py's blocking pool knows no Sentinel. Its plain one refuses instead of waiting, and older versions count
        # what they had with a former master for ever: so the limit is kept here.
        pool = client.connection_pool
        self.line = Line(pool.max_connections)
        pool.max_connections = 2**31
        self._scripts = load_scripts()
        self._version_key = version_key
        self._is_checked = False
        # Server's clock minus ours (monotonic), in milliseconds; learnt from every step.
        self._offset: float | None = None

    def open(self) -> None:
        """Asks the server for the first time. `ConfigurationError` when it cannot serve us as we are; that it is away
        is none, for then whoever uses it first asks."""
        try:
            reason = self._check()
        except RedisError as exc:
            reason = explain_refusal(self._client, exc)
        if reason is not None:
            raise ConfigurationError(reason)

    def now(self) -> int:
        """Epoch milliseconds by the server's clock, as far as it is known, without asking."""
        if self._offset is None:
            return round(time.time() * 1000)
        return round(time.monotonic() * 1000 + self._offset)

    def call(self, *command: Any) -> Any:
        """The answer to one command."""
        with self._errors(), self.line.place(CONNECTION_WAIT_SECONDS):
            return self._client.execute_command(*command)

    def command(self, script: str, keys: Mapping[str, str], args: Mapping[str, Any]) -> Command:
        """The command that runs a script."""
        return self._scripts[script].command(keys, args)

    def run(self, command: Command) -> Any:
        """The answer of one script."""
        with self._errors(), self.line.place(CONNECTION_WAIT_SECONDS):
            try:
                return self._client.execute_command(*command)
            except NoScriptError:
                # The server was restarted, or another one has become the master.
                self._send(self._load_commands())
                return self._client.execute_command(*command)

    def step(self, command: Command) -> list[Any]:
        """The answer of a script that tells the time, without it."""
        return self.learn(self.run(command))

    def batch(self, commands: Sequence[Command], *, tolerant: bool = False, waits: bool = True) -> list[Any]:
        """The answers to several commands, in one round trip. `tolerant`: one that was refused answers with its error.
        Without `waits` it stands in no line, and takes a connection of its own where all others are in use."""
        if not commands:
            return []
        place = self.line.place(CONNECTION_WAIT_SECONDS) if waits else nullcontext()
        with self._errors(), place:
            answers = self._send(commands)
            if any(isinstance(answer, NoScriptError) for answer in answers):
                self._send(self._load_commands())
                answers = self._send(commands)
            for answer in answers:
                if isinstance(answer, Exception) and not (tolerant and isinstance(answer, ResponseError)):
                    raise answer
            return answers

    def learn(self, answer: list[Any]) -> list[Any]:
        """The answer of such a script in a batch, without its time."""
        now, *rest = answer
        self._offset = now - time.monotonic() * 1000
        return rest

    def close(self) -> None:
        self._client.close()
        self._client.connection_pool.disconnect()

    def _check(self) -> str | None:
        """What keeps us from working with this server at all, in one line; loads the scripts, too."""
        commands = [("TIME",), ("INFO",), ("SET", self._version_key, STATEMENT, "NX"), ("GET", self._version_key)]
        answers = self._send([*commands, *self._load_commands()])
        if isinstance(answers[1], NoPermissionError):
            answers[1] = {}  # a user may well be kept from it
        clock, info, _, layout, *_ = answers
        if not isinstance(info, Exception) and (reason := explain_server(info)) is not None:
            return reason
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        self.learn([int(clock[0]) * 1000 + int(clock[1]) // 1000])
        reason = explain_layout(layout)
        self._is_checked = reason is None
        return reason

    def _load_commands(self) -> list[Command]:
        return [("SCRIPT LOAD", script.text) for script in self._scripts.values()]

    def _send(self, commands: Sequence[Command]) -> list[Any]:
        with self._client.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            answers: list[Any] = pipe.execute(raise_on_error=False)
            return answers

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            if not self._is_checked and (reason := self._check()) is not None:
                raise StoreUnavailableError(reason)
            yield
        except RedisError as exc:
            if isinstance(exc, ReadOnlyError):
                # This server has become a replica: the next connection may lead to the new master.
                self._client.connection_pool.disconnect(inuse_connections=False)
            raise StoreUnavailableError(retry_after=1) from exc
