"""What every part of the contract stands on: the store's address, the store, workers, and the steps tests repeat."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from gateway.errors import TurnLostError
from gateway.model import Session, SessionKey, TurnRecord, TurnState
from gateway.sessions.manager import SessionManager
from gateway.sessions.turn import Turn
from gateway.sessions.values import Erasure, StoredSession, Use
from gateway.testing.processes import Crew, Worker
from gateway.testing.remote import StoreAddress, clear_desk
from gateway.testing.waiting import eventually

OpenStore = Callable[..., SessionManager]
Workers = Callable[[int], list[Worker]]

KEY = SessionKey("", "user_alice_session")
SHORT_LEASE_SECONDS = 1.0


class StoreContract:
    """Subclasses say where their store is, in the fixture `address`."""

    @pytest.fixture
    def address(self) -> StoreAddress:
        raise NotImplementedError(f"{type(self).__name__} needs a fixture `address`: where its store is")

    @pytest.fixture
    def open_store(self, address: StoreAddress) -> Iterator[OpenStore]:
        """Opens the store under test, with options; again is the same store."""
        with ExitStack() as stack:
            yield lambda **options: stack.enter_context(address.open(**options))

    @pytest.fixture
    def store(self, open_store: OpenStore) -> SessionManager:
        return open_store()


class SharedStoreContract(StoreContract):
    """A part of the contract that needs other processes."""

    @pytest.fixture(scope="class")
    @classmethod
    def crew(cls) -> Iterator[Crew]:
        crew = Crew()
        yield crew
        crew.dismiss()

    @pytest.fixture
    def workers(self, crew: Crew) -> Iterator[Workers]:
        """Gives that many other processes; whatever they hold is given back after the test."""
        yield crew
        crew.tidy(clear_desk)


def make_session(
    store: SessionManager, key: SessionKey = KEY, conversation_id: str = "conv_1", **bound: Any
) -> Session:
    """A session that has had no turn yet."""
    with store.turn(key) as turn:
        return turn.bind(conversation_id, **bound)


def stored(store: SessionManager, key: SessionKey = KEY) -> StoredSession:
    """The session as the store keeps it."""
    found = store.store.sessions.get(key)
    assert found is not None
    return found


def run_turn(
    store: SessionManager, key: SessionKey = KEY, response_id: str | None = None, **options: Any
) -> TurnRecord:
    """A whole turn, of a new session if need be."""
    with store.turn(key, **options) as turn:
        if turn.session is None:
            turn.bind("conv_1")
        turn.begin()
        return turn.finish(TurnState.COMPLETED, response_id=response_id)


def wait_until_queued(store: SessionManager, key: SessionKey, turn_id: str, ended: Future[Any]) -> None:
    """Returns when the ticket is in the queue (or holds the session) for everybody to see, or was: on a busy machine
    one that soon gives up may have come and gone between two looks."""
    eventually(lambda: ended.done() or store.turn_record(key, turn_id))


def stop_renewing(store: SessionManager, turn: Turn) -> None:
    """From now on this ticket lives no longer than its lease, as if its process had been cut off."""
    store.leases.remove(turn.record.turn_id)


def wait_until_dead(store: SessionManager, key: SessionKey, turn_id: str) -> None:
    """Returns when the ticket's lease has run out by the store's clock."""

    def dead() -> bool:
        record = store.turn_record(key, turn_id)
        return record is None or not record.live

    eventually(dead)


def assert_cannot_write(store: SessionManager, record: TurnRecord, other_turn_id: str) -> None:
    """Each step that a turn writes with is refused."""
    turn_id, key = record.turn_id, record.key
    session = stored(store, key)
    use = Use(key, session.conversation_id, store.now(), None, session.turns + 1)
    erasure = Erasure(session.tenant, session.session_id, session.conversation_id, store.now(), whole=True)
    ended = replace(record, state=TurnState.COMPLETED, live=False, response_id="resp_late", finished_at=store.now())
    bound = replace(session, conversation_id="conv_late", generation=session.generation + 1)
    renamed = replace(session, session_id="renamed_late")
    writes: dict[str, Callable[[], object]] = {
        "bind": lambda: store.store.sessions.bind(turn_id, bound, replaces=session.binding, erase_old=False),
        "bind anew": lambda: store.store.sessions.bind(turn_id, bound, replaces=None, erase_old=False),
        "write": lambda: store.store.records.write(replace(record, state=TurnState.RUNNING, response_id="resp_late")),
        "finish": lambda: store.store.records.finish(ended, use),
        "rename": lambda: store.store.sessions.rename(turn_id, other_turn_id, key, renamed),
        "begin an erasure": lambda: store.store.erasures.begin(turn_id, erasure),
        "forget": lambda: store.store.sessions.forget(turn_id, key, session.conversation_id, erase=True),
    }
    before = store.get(key)
    for name, write in writes.items():
        try:
            write()
        except TurnLostError:
            continue
        raise AssertionError(f"a turn that lost its session could still {name}")
    assert store.get(key) == before
    assert not store.erasures()
    assert store.get(renamed.key) is None
