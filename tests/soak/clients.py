"""Clients as there are: some send a key and send again until they know, some give up, some leave in the middle."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import requests
from urllib3.exceptions import NewConnectionError

from tests.harness.gateways import parse_events
from tests.soak.gateways import NamedGateway
from tests.soak.history import JSON, Attempt, Message, Outcome

TRIES = 6
"""How often a message is sent at most."""
SESSION_SECONDS = 12.0
"""How long a session is talked to, before the clients go on to others: first turns are the hard ones."""

KINDS = [
    # streamed, with a key, left in the middle
    (False, False, False),
    (True, False, False),
    (True, False, True),
    (False, True, False),
    (False, True, False),
    (True, True, False),
]


class Client:
    """Says one thing after another, in sessions that it shares with other clients, to any of the gateways."""

    def __init__(self, name: str, gateways: Sequence[NamedGateway], chance: random.Random, sessions: int) -> None:
        self.name = name
        self.messages: list[Message] = []
        self._gateways = gateways
        self._chance = chance
        self._sessions = sessions
        self._begun = time.monotonic()

    def talk(self, over: threading.Event) -> None:
        while not over.is_set():
            epoch = int((time.monotonic() - self._begun) / SESSION_SECONDS)
            session_id = f"room-{epoch}-{self._chance.randrange(self._sessions)}"
            message = Message(f"{self.name}-{len(self.messages)}", self.name, session_id)
            self.messages.append(message)
            message.stream, keyed, leave = self._chance.choice(KINDS)
            if keyed:
                message.key = f"key-{message.token}"
            self.say(message, leave=leave)
            over.wait(self._chance.uniform(0, 0.1))

    def say(self, message: Message, *, leave: bool = False, tries: int = TRIES) -> None:
        """Sends it until it is acknowledged or sending it again is pointless or forbidden."""
        for _ in range(tries):
            gateway = self._chance.choice(self._gateways)
            attempt = self._attempt(message, gateway, leave)
            message.attempts.append(attempt)
            again = message.key is not None and attempt.code not in ("turn_lost", "conversation_gone")
            if attempt.outcome is not Outcome.REFUSED and not (again and attempt.outcome is Outcome.UNKNOWN):
                return
            time.sleep(self._chance.uniform(0.1, 0.5))

    def _attempt(self, message: Message, gateway: NamedGateway, leave: bool) -> Attempt:
        body: JSON = {"session_id": message.session_id, "input_as_text": message.text, "stream": message.stream}
        # Half of the clients begin anew where the provider says that it knows the conversation no more.
        body["on_lost"] = "restart" if self._restarts(message.client) else "error"
        headers = {"Idempotency-Key": message.key} if message.key else {}
        attempt = Attempt(gateway.token, time.monotonic(), 0.0, Outcome.UNKNOWN)
        try:
            with requests.post(
                f"{gateway.url}/workflow", json=body, headers=headers, stream=message.stream, timeout=(2, 10)
            ) as answer:
                attempt.status = answer.status_code
                if answer.status_code != 200:
                    attempt.code = answer.json()["error"]["code"]
                    if answer.headers["x-should-retry"] == "true":
                        attempt.outcome = Outcome.REFUSED
                elif message.stream:
                    self._read(message, attempt, answer, leave)
                else:
                    attempt.outcome, attempt.reply = Outcome.ACKNOWLEDGED, answer.json()
        except requests.ConnectionError as exc:
            if exc.args and isinstance(getattr(exc.args[0], "reason", None), NewConnectionError):
                # Nobody was there to take it.
                attempt.outcome = Outcome.REFUSED
        except requests.RequestException:
            # The answer broke off, or none came.
            pass
        attempt.ended = time.monotonic()
        return attempt

    @staticmethod
    def _restarts(client: str) -> bool:
        """Said in the same way whenever the message is sent again."""
        return sum(client.encode()) % 2 == 1

    def _read(self, message: Message, attempt: Attempt, answer: requests.Response, leave: bool) -> None:
        for name, data in parse_events(answer):
            if name == "session":
                message.turn_id = data["turn_id"]
                if leave:
                    attempt.outcome = Outcome.LEFT
                    return
            elif name == "done":
                attempt.outcome, attempt.reply = Outcome.ACKNOWLEDGED, data
            elif name == "error":
                attempt.code = data["error"]["code"]


def together(actions: Sequence[Callable[[], None]]) -> None:
    """Does all of these at once, and returns when the last has ended; raises what one of them raised."""
    with ThreadPoolExecutor(len(actions)) as pool:
        for done in [pool.submit(action) for action in actions]:
            done.result()
