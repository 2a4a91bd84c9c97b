"""The one who breaks things: gateways, their ways to the store, the store itself, and the provider's manners."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tests.harness.server import Server, ServerError
from tests.harness.servers import TcpProxy
from tests.harness.support import eventually
from tests.soak.gateways import NamedGateway
from tests.soak.history import JSON, Disturbance
from tests.soak.provider import JournalledProvider

RESPONSES = "POST /v1/responses"
FAULTS: list[JSON] = [
    *({"match": RESPONSES, "fault": "status", "status": status} for status in (400, 401, 429, 500, 503)),
    {"match": RESPONSES, "fault": "status", "status": 429, "headers": {"Retry-After": "1"}},
    {"match": RESPONSES, "fault": "hangup"},
    {"match": RESPONSES, "fault": "hangup", "after": True},
    *({"match": RESPONSES, "fault": "truncate", "events": events} for events in (0, 3, 8)),
    *({"match": RESPONSES, "fault": "truncate", "events": events, "after": True} for events in (0, 3, 8)),
    {"match": RESPONSES, "fault": "failed", "events": 3},
    {"match": RESPONSES, "fault": "flat_error", "events": 5},
    {"match": RESPONSES, "fault": "silence"},
    {"match": RESPONSES, "fault": "pause", "events": 6},
    {"match": RESPONSES, "fault": "locked", "times": 3},
    {"match": RESPONSES, "fault": "not_found"},
    {"match": "POST /v1/conversations", "fault": "status", "status": 500},
    {"match": "POST /v1/conversations", "fault": "status", "status": 503, "headers": {"Retry-After": "1"}},
    {"match": "POST /v1/conversations", "fault": "hangup"},
    {"match": "POST /v1/conversations", "fault": "hangup", "after": True},
    {"match": "POST /v1/conversations", "fault": "silence"},
    {"match": "DELETE /v1/conversations/*", "fault": "status", "status": 500},
    {"match": "GET /v1/responses/*", "fault": "status", "status": 500},
    {"match": "GET /v1/responses/*", "fault": "hangup"},
    {"match": "GET /v1/conversations/*", "fault": "status", "status": 503},
]


class Nemesis:
    """Does one thing at a time to gateways and store, and undoes it; and orders faults of the provider beside it."""

    def __init__(
        self,
        gateways: Sequence[NamedGateway],
        networks: Sequence[TcpProxy],
        store: Server,
        provider: JournalledProvider,
        chance: random.Random,
        *,
        lease_seconds: float,
    ) -> None:
        self.disturbances: list[Disturbance] = []
        self.faults = 0
        self._gateways, self._networks = gateways, networks
        self._store, self._provider = store, provider
        # One for each thread, so that a seed is a plan.
        self._chance, self._manners = random.Random(chance.random()), random.Random(chance.random())
        self._lease_seconds = lease_seconds

    def rage(self, over: threading.Event) -> None:
        """Every kind in a random order, again and again."""
        kinds: list[Callable[[threading.Event], None]] = []
        while not over.is_set():
            if not kinds:
                kinds = [self.kill, self.terminate, self.pause, self.cut, self.hang, self.delay, self.part, self.crash]
                self._chance.shuffle(kinds)
            kinds.pop()(over)
            over.wait(self._chance.uniform(0.2, 1.0))

    def spoil(self, over: threading.Event) -> None:
        """One fault of the provider after the other. What is held up is let go after a while, or the gateway's own
        patience ends."""
        while not over.wait(self._manners.uniform(0.1, 0.8)):
            self._provider.faults(self._manners.choice(FAULTS))
            self.faults += 1
            if self.faults % 5 == 0:
                self._provider.release()

    def kill(self, over: threading.Event) -> None:
        gateway = self._chance.choice(self._gateways)
        with self._disturbing("kill", gateway):
            gateway.kill()
            over.wait(self._chance.uniform(0, 1))
            _start(gateway)

    def terminate(self, over: threading.Event) -> None:
        gateway = self._chance.choice(self._gateways)
        with self._disturbing("terminate", gateway):
            gateway.terminate()
            _start(gateway)

    def pause(self, over: threading.Event) -> None:
        gateway = self._chance.choice(self._gateways)
        with self._disturbing("pause", gateway), gateway.paused():
            over.wait(self._lease_seconds * self._chance.choice([0.3, 1.5]))

    def cut(self, over: threading.Event) -> None:
        with self._between("cut") as network:
            network.cut()
            over.wait(self._lease_seconds * self._chance.choice([0.1, 0.5, 1.5]))

    def hang(self, over: threading.Event) -> None:
        with self._between("hang") as network:
            network.hang()
            over.wait(self._lease_seconds * self._chance.choice([0.1, 0.5, 1.5]))

    def delay(self, over: threading.Event) -> None:
        with self._between("delay") as network:
            network.delay(self._chance.uniform(0.02, 0.2))
            over.wait(1)

    def part(self, over: threading.Event) -> None:
        """Nobody reaches the store."""
        with self._disturbing("part", None):
            for network in self._networks:
                network.cut()
            over.wait(self._lease_seconds * self._chance.choice([0.2, 0.7]))
            for network in self._networks:
                network.heal()

    def crash(self, over: threading.Event) -> None:
        with self._disturbing("crash", None), self._store.crashed():
            over.wait(self._chance.uniform(0, 0.5))

    @contextmanager
    def _between(self, kind: str) -> Iterator[TcpProxy]:
        """Between one gateway and the store."""
        number = self._chance.randrange(len(self._networks))
        with self._disturbing(kind, self._gateways[number]):
            yield self._networks[number]
            self._networks[number].heal()

    @contextmanager
    def _disturbing(self, kind: str, gateway: NamedGateway | None) -> Iterator[None]:
        begun = time.monotonic()
        yield
        name = gateway.token if gateway is not None else None
        self.disturbances.append(Disturbance(kind, name, begun, time.monotonic()))


def _start(gateway: NamedGateway) -> None:
    def started() -> bool:
        try:
            gateway.start()
        except ServerError as exc:
            raise AssertionError(str(exc)) from exc
        return True

    eventually(started)
