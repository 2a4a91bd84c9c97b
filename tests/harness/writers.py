"""What the tests of sessions.json have done to it, here and in other processes.

Without pytest: each of many processes imports this anew.
"""

import resource
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path

from gateway.errors import StoreUnavailableError
from gateway.model import SessionKey, Status
from gateway.sessions import open_sessions
from gateway.sessions.jsonfile import SessionsFile
from gateway.sessions.jsonfile.snapshot import Draft
from gateway.sessions.values import StoredSession

ALICE = SessionKey("", "alice")


def session(session_id: str, **fields: object) -> StoredSession:
    active = (None, Status.ACTIVE, None, "{}", "{}", 1, 0)
    made = StoredSession("", session_id, f"conv_{session_id}", 1_000, 2_000, *active)
    return replace(made, **fields)


def put(*names: str) -> Callable[[Draft], None]:
    def edit(draft: Draft) -> None:
        for name in names:
            draft.put(session(name))

    return edit


def count_up(draft: Draft) -> int:
    found = draft.get(ALICE) or session("alice")
    draft.put(replace(found, turns=found.turns + 1))
    return found.turns + 1


def conversation(file: SessionsFile, key: SessionKey = ALICE) -> str | None:
    found = file.read().get(key)
    return found and found.conversation_id


def fill(path: Path, answers: Connection) -> None:
    file = SessionsFile(path)
    file.edit(put(*(f"s{number}" for number in range(100))))
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 1000,) * 2)
    before = path.read_bytes()
    try:
        file.edit(put(*(f"t{number}" for number in range(100))))
    except StoreUnavailableError as exc:
        answers.send(
            (
                str(exc),
                path.read_bytes() == before,
                [beside.name for beside in file.folder.iterdir()],
                conversation(file),
            )
        )


def count_in_threads(path: Path, number: int) -> None:
    file = SessionsFile(path)

    def job(thread: int) -> None:
        for step in range(10):
            file.edit(count_up)
            file.edit(put(f"p{number}-t{thread}-{step}"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(job, range(4)))


def bind_for_ever(url: str, life: int, answers: Connection) -> None:
    with open_sessions(url, lease_seconds=1) as store:
        for number in count():
            key = SessionKey("", f"life-{life}-{number}")
            with store.turn(key) as turn:
                bound = turn.bind(f"conv_{life}_{number}")
            answers.send((key.session_id, bound.conversation_id))
