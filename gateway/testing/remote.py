"""What a worker process does in a store, and how a test holds a store or a turn over there in its hand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from gateway.errors import GatewayError
from gateway.model import Session, SessionKey, TurnState, new_turn_id
from gateway.sessions import open_sessions
from gateway.sessions.manager import SessionManager
from gateway.sessions.schemes import SCHEMES, Scheme, scheme_of
from gateway.sessions.turn import Turn
from gateway.sessions.values import KeyTakenError
from gateway.testing.processes import Worker
from gateway.testing.waiting import PATIENCE_SECONDS

Options = dict[str, Any]


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """Where a store is."""

    url: str
    prefix: str = "gateway"
    opener: str | None = None
    """`package.module:function`, as an entry point would name it: for a store that is not installed."""
    frees_dead_processes_at_once: bool = False
    """A process that was killed frees its sessions before its lease runs out, as a store on one host can see to."""

    def open(self, **options: Any) -> SessionManager:
        if self.opener is not None:
            SCHEMES[scheme_of(self.url)] = Scheme(self.opener)
        return open_sessions(self.url, **{"prefix": self.prefix, "queue_limit": 1000, **options})


class RemoteStore:
    """A store that is open in a worker."""

    def __init__(self, worker: Worker, address: StoreAddress, **options: Any) -> None:
        self.worker = worker
        self._address = address
        self._options = options
        worker.do(_warm_up, address, options)

    def do(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        """The manager's verb (or one of a part of its store: `store.owners.find_key`), done there."""
        return self.worker.do(_call_store, self._address, self._options, verb, args, kwargs)

    def start(self, job: Callable[..., Any], *args: Any) -> Future[Any]:
        """Has a function that takes the manager first do its work there."""
        return self.worker.start(_call_job, self._address, self._options, job, args)

    def queue(self, key: SessionKey, **options: Any) -> RemoteTurn:
        """Sends for the session's turn, without waiting for it."""
        options = {"turn_id": new_turn_id(), "wait_seconds": PATIENCE_SECONDS, **options}
        held = self.worker.start(_take, self._address, self._options, key, options)
        return RemoteTurn(self.worker, options["turn_id"], held)

    def take(self, key: SessionKey, **options: Any) -> RemoteTurn:
        """The session's turn, held there."""
        turn = self.queue(key, **options)
        turn.held.result(PATIENCE_SECONDS)
        return turn


class RemoteTurn:
    """A turn that a worker waits for or holds. `held` ends when it has come, with the session that it found."""

    def __init__(self, worker: Worker, turn_id: str, held: Future[Session | None]) -> None:
        self.turn_id = turn_id
        self.held = held
        self._worker = worker

    def do(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        """The turn's verb, done there."""
        return self._worker.do(_call_turn, self.turn_id, verb, args, kwargs)

    def leave(self) -> None:
        self._worker.do(_leave, self.turn_id)


# --- In the worker -----------------------------------------------------------------------------------------

_lock = threading.Lock()
_stores: dict[tuple[Any, ...], SessionManager] = {}
_turns: dict[str, tuple[Turn, ExitStack]] = {}


def clear_desk() -> None:
    """Leaves every turn and closes every store of this process."""
    for turn_id in list(_turns):
        _leave(turn_id)
    with _lock:
        stores = list(_stores.values())
        _stores.clear()
    for store in stores:
        store.close()


def _open(address: StoreAddress, options: Options) -> SessionManager:
    name = (address, *sorted(options.items()))
    with _lock:
        if name not in _stores:
            _stores[name] = address.open(**options)
        return _stores[name]


def _warm_up(address: StoreAddress, options: Options) -> None:
    _open(address, options).ping()


def _call_store(
    address: StoreAddress, options: Options, verb: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    return attrgetter(verb)(_open(address, options))(*args, **kwargs)


def _call_job(address: StoreAddress, options: Options, job: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    return job(_open(address, options), *args)


def _take(address: StoreAddress, options: Options, key: SessionKey, turn_options: Options) -> Session | None:
    store = _open(address, options)
    with ExitStack() as stack:
        turn = stack.enter_context(store.turn(key, **turn_options))
        _turns[turn.record.turn_id] = turn, stack.pop_all()
    return turn.session


def _call_turn(turn_id: str, verb: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    turn, _ = _turns[turn_id]
    return getattr(turn, verb)(*args, **kwargs)


def _leave(turn_id: str) -> None:
    held = _turns.pop(turn_id, None)
    if held is not None:
        with suppress(GatewayError):
            held[1].close()


# --- Jobs of whole tests -----------------------------------------------------------------------------------


@contextmanager
def alone(marker: Path) -> Iterator[None]:
    """Nobody else may be in here at the same time, in no process: the file system is the witness, not the store."""
    try:
        marker.open("x").close()
    except FileExistsError:
        raise AssertionError("two turns of one session are under way at the same time") from None
    try:
        yield
    finally:
        marker.unlink()


def in_threads(number: int, job: Callable[[int], Any]) -> list[Any]:
    """What `job(0)`, `job(1)` … return when they start at once, each in its own thread; the first failure is raised."""
    gate = threading.Barrier(number)
    results: list[Future[Any]] = [Future() for _ in range(number)]

    def run(index: int) -> None:
        try:
            gate.wait(PATIENCE_SECONDS)
            results[index].set_result(job(index))
        except BaseException as exc:
            results[index].set_exception(exc)

    for index in range(number):
        threading.Thread(target=run, args=(index,), daemon=True).start()
    return [result.result(PATIENCE_SECONDS * 2) for result in results]


def rush(store: SessionManager, key: SessionKey, marker: Path, threads: int, name: str) -> list[str]:
    """Many threads want the first turn of a session, each ready with a conversation of its own; what each was bound
    to in the end."""

    def one(index: int) -> str:
        with store.turn(key, wait_seconds=PATIENCE_SECONDS * 2) as turn:
            with alone(marker):
                session = turn.session or turn.bind(f"conv_{name}_{index}")
                turn.begin()
            turn.finish(TurnState.COMPLETED)
            return session.conversation_id

    return in_threads(threads, one)


def race_for_key(store: SessionManager, keys: list[SessionKey], idempotency_key: str, name: str) -> list[str]:
    """One thread for each of `keys`, all with one idempotency key: the turn ids of those that entered."""

    def one(index: int) -> str | None:
        turn_id = f"turn_{name}_{index}"
        try:
            with store.turn(
                keys[index], turn_id=turn_id, idempotency_key=idempotency_key, wait_seconds=PATIENCE_SECONDS
            ) as turn:
                if turn.session is None:
                    turn.bind(f"conv_{name}_{index}")
                turn.begin()
                turn.finish(TurnState.COMPLETED)
        except KeyTakenError:
            return None
        return turn_id

    return [turn_id for turn_id in in_threads(len(keys), one) if turn_id]


def edit_keys(store: SessionManager, key: SessionKey, names: list[str], times: int) -> None:
    """One thread for each name counts it up to `times` in the session's data."""

    def count(index: int) -> None:
        for number in range(1, times + 1):
            store.update(key, data={names[index]: number})

    in_threads(len(names), count)


def watch_renames(store: SessionManager, pairs: list[tuple[SessionKey, SessionKey]]) -> str | None:
    """Looks at each session until it has its new name; what is wrong, if ever there was none, or two."""
    for old, new in pairs:
        renamed = False
        while not renamed:
            # A name goes one way only. So what was there under the new one is gone under the old one ever after …
            renamed = store.get(new) is not None
            if renamed and store.get(old) is not None:
                return f"{old.session_id} and {new.session_id} are there at once"
            # … and what was not there under the old one is there under the new one.
            if store.get(old) is None and store.get(new) is None:
                return f"neither {old.session_id} nor {new.session_id} is there"
    return None
