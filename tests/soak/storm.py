"""A storm: clients talk through several gateways on one store while a nemesis breaks what it can; then calm, and the
history of it all."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial

from tests.harness.server import Server
from tests.harness.servers import MariaDB, Postgres, TcpProxy, Valkey
from tests.harness.support import eventually
from tests.soak.checker import LEASE_SECONDS
from tests.soak.clients import Client, together
from tests.soak.gateways import NamedGateway
from tests.soak.history import JSON, History, Message, Outcome, Record
from tests.soak.nemesis import Nemesis
from tests.soak.provider import JournalledProvider

STORES: dict[str, type[Server]] = {"valkey": Valkey, "postgresql": Postgres, "mariadb": MariaDB}
SETTINGS = {
    "GATEWAY_LEASE": f"{LEASE_SECONDS}s",
    "GATEWAY_BUSY_WAIT": "4s",
    "GATEWAY_PROVIDER_TIMEOUT": "2s",
    "GATEWAY_QUEUE_LIMIT": 64,
    "GATEWAY_GRACE": "2s",
}


def storm(
    store: Server, url: str, *, seconds: float, seed: int, gateways: int = 2, clients: int = 8, sessions: int = 3
) -> History:
    """So many seconds of it on a store's server, and what came of it."""
    chance = random.Random(seed)
    with ExitStack() as stack:
        provider = stack.enter_context(JournalledProvider())
        networks = [stack.enter_context(TcpProxy(store.port)) for _ in range(gateways)]
        running = [
            NamedGateway(
                f"gateway-{number}",
                GATEWAY_STORE=network.through(url),
                GATEWAY_STORE_PREFIX=f"storm{seed}",
                OPENAI_BASE_URL=provider.url,
                **SETTINGS,
            )
            for number, network in enumerate(networks)
        ]
        for gateway in running:
            stack.enter_context(gateway)
        nemesis = Nemesis(running, networks, store, provider, chance, lease_seconds=LEASE_SECONDS)
        talkers = [
            Client(f"client-{number}", running, random.Random(chance.random()), sessions) for number in range(clients)
        ]
        over = threading.Event()
        timer = threading.Timer(seconds, over.set)
        timer.start()
        stack.callback(over.set)
        together([partial(act, over) for act in (nemesis.rage, nemesis.spoil, *(talker.talk for talker in talkers))])
        provider.withdraw()
        provider.release()
        messages = [message for client in talkers for message in client.messages]
        messages += _calm(running, messages)
        return _history(provider, running, nemesis, messages)


def _calm(gateways: Sequence[NamedGateway], messages: Sequence[Message]) -> list[Message]:
    """After the storm: who has a key and does not know yet asks again, and every session takes a turn."""
    calm = Client("calm", gateways, random.Random(0), 1)
    asking = [message for message in messages if message.key and message.acknowledged is None]
    sessions = sorted({message.session_id for message in messages})
    last = [Message(f"calm-{number}", "calm", session_id) for number, session_id in enumerate(sessions)]
    todo = iter([*asking, *last])
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                message = next(todo, None)
            if message is None:
                return
            calm.say(message, tries=20)

    together([work] * 4)
    return last


def _history(
    provider: JournalledProvider, gateways: Sequence[NamedGateway], nemesis: Nemesis, messages: list[Message]
) -> History:
    sessions = {session["session_id"]: session for session in _pages(gateways[0], "/sessions?limit=100")}
    records = {
        record["turn_id"]: Record(record["turn_id"], session_id, record["state"], record["response_id"])
        for session_id in sessions
        for record in eventually(lambda session_id=session_id: _ended(gateways[0], session_id))
    }
    conversations = provider.conversations()
    made = provider.made()
    return History(
        messages=messages,
        asked=provider.asked(),
        made=made,
        disturbances=nemesis.disturbances,
        faults=nemesis.faults,
        conversations=conversations,
        deleted={it.conversation_id for it in made} - conversations.keys(),
        sessions=sessions,
        records=records,
        logs={gateway.token: gateway.log.read_text(errors="replace").splitlines() for gateway in gateways},
    )


def _ended(gateway: NamedGateway, session_id: str) -> list[JSON]:
    """The session's turns, once none of them is under way."""
    records = list(_pages(gateway, f"/sessions/{session_id}/turns?limit=100"))
    assert all(record["state"] != "running" for record in records), f"{session_id} has a turn that does not end"
    return records


def _pages(gateway: NamedGateway, path: str) -> Iterator[JSON]:
    after = ""
    while True:
        answer = gateway.get(path + after)
        answer.raise_for_status()
        page = answer.json()
        yield from page["data"]
        if not page["has_more"]:
            return
        after = f"&after={page['next']}"


def counts(history: History) -> list[tuple[str, int]]:
    """What a storm was made of, to be printed."""
    attempts = [attempt for message in history.messages for attempt in message.attempts]
    outcomes = Counter(attempt.outcome for attempt in attempts)
    replies = [attempt.reply for attempt in attempts if attempt.reply is not None]
    keyed = [message for message in history.messages if message.key]
    rows = [
        ("messages", len(history.messages)),
        ("  with a key", len(keyed)),
        ("requests", len(attempts)),
        *((f"  {outcome.value}", outcomes[outcome]) for outcome in Outcome),
        ("  replayed", sum(reply["replayed"] for reply in replies)),
        *((f"  {code}", number) for code, number in sorted(Counter(it.code for it in attempts if it.code).items())),
        ("sessions", len(history.sessions)),
        ("conversations", len(history.made)),
        ("  replaced by a next generation", sum(it["generation"] - 1 for it in history.sessions.values())),
        ("  deleted again", len(history.deleted)),
        ("responses asked for", len(history.asked)),
        ("faults of the provider", history.faults),
    ]
    kinds = Counter(disturbance.kind for disturbance in history.disturbances)
    return [*rows, *((f"nemesis: {kind}", number) for kind, number in sorted(kinds.items()))]
