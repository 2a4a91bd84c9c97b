"""One turn of a workflow, counted, timed and told in a line of the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self

from gateway import logs
from gateway.errors import GatewayError
from gateway.events import Delta, Done, StreamEvent, TurnEvent
from gateway.metrics import series
from gateway.model import Reply, TurnRequest

log = logging.getLogger("gateway.turn")

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
