"""What is counted and timed: turns, the store behind them, and the provider."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from functools import wraps
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from gateway import logs
from gateway.errors import GatewayError, StoreUnavailableError, TurnLostError
from gateway.events import Delta, Done, StreamEvent, TurnEvent
from gateway.metrics import series
from gateway.model import Reply, TurnRequest
from gateway.providers.base import Events, Provider
from gateway.sessions.store import Store

log = logging.getLogger("gateway.turn")

Part = TypeVar("Part")

_DEFAULT = "default"
"""What the workflow without a name is called here."""


class TurnMeter:
    """Around a turn, from its arrival to its end. What it was is settled before `Done` is given, so that who has read
    the reply finds it counted."""

    def __init__(self, request: TurnRequest) -> None:
        self._request = request
        self._series = _series_of(request.workflow)
        self._arrived = time.perf_counter()
        self._turn_id: str | None = None
        self._waited: float | None = None
        self._first_word: float | None = None
        self._over = False

    def __enter__(self) -> Self:
        series.TURNS_WAITING.inc()
        return self

    def follow(self, turn_id: str, events: Iterator[TurnEvent]) -> Iterator[TurnEvent]:
        """The events of a turn whose session is held now."""
        self._turn_id = turn_id
        self._waited = self._passed()
        series.TURNS_WAITING.dec()
        series.TURNS_UNDER_WAY.inc()
        series.TURN_WAIT.observe(self._waited)
        for event in events:
            if isinstance(event, Done):
                self._end(event.reply.status)
            elif self._first_word is None and self._request.stream and _speaks(event):
                self._first_word = self._passed()
            yield event

    def replayed(self, reply: Reply) -> None:
        """Instead of a turn the reply of an earlier one is given."""
        self._turn_id = reply.turn_id
        self._series.replayed.inc()
        self._end(reply.status, replayed=True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if not self._over:
            why = _why(error)
            series.TURN_ERRORS.labels(why["code"]).inc()
            self._end("refused" if self._waited is None else "failed", **why)

    def _end(self, outcome: str, *, replayed: bool = False, **why: object) -> None:
        self._over = True
        seconds = self._passed()
        (series.TURNS_WAITING if self._waited is None else series.TURNS_UNDER_WAY).dec()
        if not replayed:
            self._series.ends[outcome].inc()
        if self._waited is not None:
            self._series.seconds.observe(seconds)
        if self._first_word is not None:
            self._series.first_word.observe(self._first_word)
        logs.event(
            log,
            f"turn {outcome}",
            session_id=self._request.session_id,
            turn_id=self._turn_id,
            workflow=self._request.workflow or _DEFAULT,
            outcome=outcome,
            **why,
            replayed=replayed or None,
            wait_ms=logs.milliseconds(self._waited),
            first_word_ms=logs.milliseconds(self._first_word),
            ms=logs.milliseconds(seconds),
        )

    def _passed(self) -> float:
        return time.perf_counter() - self._arrived


def announce(workflows: Iterable[str]) -> None:
    """What these workflows will do is shown as zero until they have done it."""
    for name in workflows:
        _series_of(name)


def _series_of(workflow: str) -> series.Workflow:
    return series.workflow(workflow or _DEFAULT)


def _why(error: BaseException | None) -> dict[str, Any]:
    """What the line of a turn says of the error that ended it."""
    cause = error.__cause__ if error is not None else None
    known = error if isinstance(error, GatewayError) else GatewayError()
    return {
        "code": known.code,
        "provider_status": known.details.get("provider_status"),
        "cause": type(cause).__name__ if cause is not None else None,
    }


def _speaks(event: TurnEvent) -> bool:
    if isinstance(event, StreamEvent):
        return event.type in ("response.output_text.delta", "response.refusal.delta")
    return isinstance(event, Delta)


# --- The store ---------------------------------------------------------------------------------------------


class MeteredStore(Store):
    """The store behind it, each step of its parts seen. That it is busy, or has no such session, is an answer."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.terms = store.terms
        self.shared = store.shared
        self.idle_seconds = store.idle_seconds
        self.tickets = _metered_part(store.tickets, "tickets")
        self.sessions = _metered_part(store.sessions, "sessions")
        self.records = _metered_part(store.records, "records")
        self.erasures = _metered_part(store.erasures, "erasures")
        self.owners = _metered_part(store.owners, "owners")

    def now(self) -> int:
        return self._store.now()

    def ping(self) -> None:
        self._store.ping()

    def close(self) -> None:
        self._store.close()


class _Metered:
    """A part of a store. Each verb is wrapped when it is first asked for, and found at once from then on."""

    def __init__(self, part: object, name: str) -> None:
        self._part = part
        self._name = name

    def __getattr__(self, verb: str) -> Any:
        metered = _timed(f"{self._name}.{verb}", getattr(self._part, verb))
        setattr(self, verb, metered)
        return metered


def _metered_part(part: Part, name: str) -> Part:
    return cast(Part, _Metered(part, name))


def _timed(operation: str, step: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(step)
    def timed(*args: Any, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            answer = step(*args, **options)
        except TurnLostError:
            series.TICKETS_LOST.inc()
            raise
        except StoreUnavailableError:
            series.STORE_ERRORS.labels(operation).inc()
            raise
        finally:
            series.store_seconds(operation).observe(time.perf_counter() - began)
        if answer is None and operation == "tickets.poll":
            series.TICKETS_LOST.inc()
        elif operation == "tickets.renew":
            # By worker: one that has none to renew (the master of a gunicorn) must not stand for the others.
            series.LEASES_RENEWED.labels(str(os.getpid())).set_to_current_time()
        return answer

    return timed


# --- The provider ------------------------------------------------------------------------------------------


def _call(operation: str) -> Any:
    def call(self: MeteredProvider, *args: Any, **options: Any) -> Any:
        began, outcome = time.perf_counter(), GatewayError.code
        try:
            answer = getattr(self.behind, operation)(*args, **options)
            outcome = "failed" if operation == "create_response" and answer.get("status") == "failed" else "ok"
            return answer
        except GatewayError as exc:
            outcome = exc.code
            raise
        finally:
            _count(operation, outcome, began)

    return call


class MeteredProvider(Provider):
    """The provider `behind` it. What costs no call (`check`) is not counted."""

    def __init__(self, provider: Provider) -> None:
        self.behind = provider
        self.name = provider.name

    create_conversation = _call("create_conversation")
    retrieve_conversation = _call("retrieve_conversation")
    update_conversation = _call("update_conversation")
    delete_conversation = _call("delete_conversation")
    list_items = _call("list_items")
    add_items = _call("add_items")
    retrieve_item = _call("retrieve_item")
    delete_item = _call("delete_item")
    create_response = _call("create_response")
    retrieve_response = _call("retrieve_response")
    delete_response = _call("delete_response")
    list_models = _call("list_models")

    def stream_response(self, body: Mapping[str, Any]) -> Events:
        began, outcome = time.perf_counter(), GatewayError.code
        event: StreamEvent | None = None
        try:
            with closing(self.behind.stream_response(body)) as events:
                for event in events:
                    yield event
            outcome = "ok"
        except GeneratorExit:
            # Its reader has what it wanted.
            outcome = "ok"
            raise
        except GatewayError as exc:
            outcome = exc.code
            raise
        finally:
            if event is not None and event.type in ("response.failed", "error"):
                outcome = "failed"
            _count("stream_response", outcome, began)

    def check(self) -> None:
        self.behind.check()

    def close(self) -> None:
        self.behind.close()


def _count(operation: str, outcome: str, began: float) -> None:
    series.provider_calls(operation, outcome).inc()
    series.provider_seconds(operation).observe(time.perf_counter() - began)
