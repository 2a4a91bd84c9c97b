"""Many turns in a row on one gateway, and what grows meanwhile: nothing but the records of the turns may."""

from __future__ import annotations

import http.client
import resource
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from functools import partial

import orjson
import sqlalchemy

from tests.harness.server import Server
from tests.harness.servers import Redis
from tests.soak.clients import together
from tests.soak.fast_provider import FastProvider
from tests.soak.gateways import NamedGateway

CLIENTS = 8
SESSIONS_A_CLIENT = 25
MEGABYTES = 12
"""What a process may still gain once it has warmed up: caches, and memory in pieces."""


@dataclass(frozen=True)
class Sample:
    """The worker and its store after so many turns."""

    turns: int
    megabytes: float
    files: int
    threads: int
    stored: int
    """Keys, or rows of all tables."""

    def __str__(self) -> str:
        return "".join(f"{value:>12,.6g}" for value in astuple(self))


HEADINGS = "".join(f"{name:>12}" for name in ("turns", "RSS MB", "files", "threads", "stored"))


def steady(store: Server, url: str, *, turns: int, samples: int = 20) -> Iterator[Sample]:
    """That many turns, in equal parts; the worker and the store after each."""
    with ExitStack() as stack:
        provider = stack.enter_context(FastProvider())
        settings = {"GATEWAY_STORE": url, "GATEWAY_STORE_PREFIX": "steady", "OPENAI_BASE_URL": provider.url}
        gateway = stack.enter_context(NamedGateway("steady", **settings))
        count = counter(store, url)
        for number in range(samples):
            first, last = (turns * part // samples for part in (number, number + 1))
            together([partial(talk, gateway, client, first, last) for client in range(CLIENTS)])
            (worker,) = gateway.workers()
            pages = int((worker / "statm").read_text().split()[1])
            files, threads = (len(list((worker / kind).iterdir())) for kind in ("fd", "task"))
            yield Sample(last, pages * resource.getpagesize() / 1e6, files, threads, count())


def talk(gateway: NamedGateway, client: int, first: int, last: int) -> None:
    """This client's share of the turns: some streamed, some with a key. One that fails ends it all."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    for turn in range(first + client, last, CLIENTS):
        body = {"session_id": f"room-{client}-{turn // CLIENTS % SESSIONS_A_CLIENT}", "input_as_text": f"note {turn}"}
        headers = {"Content-Type": "application/json"}
        if turn % 3 == 0:
            body["stream"] = True
        if turn % 5 == 0:
            headers["Idempotency-Key"] = f"key-{turn}"
        connection.request("POST", "/workflow", orjson.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200 or b'"status":"completed"' not in text:
            raise RuntimeError(f"turn {turn}: {answer.status} {text[:300]!r}")
    connection.close()


def counter(store: Server, url: str) -> Callable[[], int]:
    """Counts what is stored."""
    if isinstance(store, Redis):
        return lambda: int(store.ask("DBSIZE"))
    dialect = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}
    scheme, _, rest = url.partition(":")
    engine = sqlalchemy.create_engine(f"{dialect[scheme]}:{rest}")

    def rows() -> int:
        tables = sqlalchemy.inspect(engine).get_table_names()
        with engine.connect() as connection:
            return sum(connection.scalar(sqlalchemy.text(f"SELECT count(*) FROM {table}")) or 0 for table in tables)

    return rows


def growth(samples: list[Sample]) -> Iterator[str]:
    """What grew that should not, from when the first third had passed."""
    warm, end = samples[len(samples) // 3], samples[-1]
    if end.megabytes > warm.megabytes + MEGABYTES:
        yield f"memory: {warm.megabytes:.0f} to {end.megabytes:.0f} MB"
    if end.files > warm.files + 8:
        yield f"open files: {warm.files} to {end.files}"
    if end.threads > warm.threads + 4:
        yield f"threads: {warm.threads} to {end.threads}"
    # A turn leaves what the first ones left, at most.
    early = (warm.stored - samples[0].stored) / (warm.turns - samples[0].turns)
    late = (end.stored - warm.stored) / (end.turns - warm.turns)
    if late > early * 1.05 + 0.01:
        yield f"stored: {early:.2f} things a turn first, {late:.2f} later"
