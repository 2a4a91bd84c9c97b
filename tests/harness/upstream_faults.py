"""The faults that the tests' upstream can be told to have, and its log of what it saw."""

import fnmatch
import socket
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from gateway.providers.base import StreamEvent
from tests.harness.upstream_http import HangUp, is_gone

JSON = dict[str, Any]

ERRORS: dict[int, JSON] = {
    429: {
        "message": "Rate limit reached for gpt on tokens per min (TPM): Limit 30000. Please try again in 18.642s.",
        "type": "tokens",
        "param": None,
        "code": "rate_limit_exceeded",
    },
}
FAILURE = {"code": "server_error", "message": "The server had an error processing your request. Sorry about that!"}


class Faults:
    """What was ordered and not yet delivered, and who waits for a release."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._orders: list[JSON] = []
        self._releases = 0
        self.waiting = 0

    def order(self, faults: JSON | list[JSON]) -> None:
        with self._changed:
            for fault in faults if isinstance(faults, list) else [faults]:
                self._orders.append({"times": 1, **fault})

    def withdraw(self) -> None:
        with self._changed:
            self._orders.clear()

    def take(self, call: str) -> JSON:
        """The fault that this call meets; empty for none."""
        with self._changed:
            for fault in self._orders:
                if fault["times"] != 0 and fnmatch.fnmatchcase(call, fault["match"]):
                    if fault["times"] is not None:
                        fault["times"] -= 1
                    return fault
        return {}

    def release(self) -> None:
        with self._changed:
            self._releases += 1
            self._changed.notify_all()

    def wait(self, connection: socket.socket | None) -> None:
        """Returns at the next release; hangs up when the client does."""
        with self._changed:
            releases = self._releases
            self.waiting += 1
            try:
                while releases == self._releases:
                    if connection is not None and is_gone(connection):
                        raise HangUp
                    self._changed.wait(0.05)
            finally:
                self.waiting -= 1


class Log:
    """Every request, and what went on in each conversation."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        with self._lock:
            self._requests: list[JSON] = []
            self._turns: dict[str, int] = defaultdict(int)
            self._now: dict[str, int] = defaultdict(int)
            self._most: dict[str, int] = defaultdict(int)

    def add(self, entry: JSON) -> JSON:
        with self._lock:
            self._requests.append(entry)
        return entry

    @contextmanager
    def asking(self, conversation_id: str) -> Iterator[None]:
        with self._lock:
            self._now[conversation_id] += 1
            self._most[conversation_id] = max(self._most[conversation_id], self._now[conversation_id])
        try:
            yield
        finally:
            with self._lock:
                self._now[conversation_id] -= 1

    def count_turn(self, conversation_id: str) -> None:
        with self._lock:
            self._turns[conversation_id] += 1

    def as_dict(self) -> JSON:
        with self._lock:
            return {
                "requests": [dict(entry) for entry in self._requests],
                "conversations": {
                    name: {"turns": self._turns[name], "most_at_once": most} for name, most in self._most.items()
                },
            }


def failure(kind: str, number: int, response: JSON, error: JSON) -> StreamEvent:
    """The event that ends a stream with this error."""
    error = FAILURE | error
    if kind == "flat_error":
        flat = {"type": "error", "sequence_number": number, "param": None, **error}
        return StreamEvent("error", orjson.dumps(flat))
    response = {**response, "status": "failed", "error": error}
    event = {"type": "response.failed", "sequence_number": number, "response": response}
    return StreamEvent("response.failed", orjson.dumps(event))
