"""The provider in one turn's conversation."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import chain
from typing import TYPE_CHECKING, Any

from gateway.errors import GatewayError, ProviderError, UnreadableAnswerError
from gateway.providers.base import (
    ENDS,
    FAILURES,
    ITEMS_A_CALL,
    JSON,
    Events,
    Provider,
    StreamEvent,
    error_from_event,
    error_of_response,
)
from gateway.providers.retry import Patience
from gateway.providers.shapes import response_of
from gateway.workflows.responses import cancelled_outputs, output_text, pending_calls, trim_usage

if TYPE_CHECKING:
    from gateway.workflows.base import Answer


class Conversation:
    """The provider in this turn's conversation, and nothing of the store.

    Keeps what the turn has to know: the last response, and the sum of the usage.
    """

    def __init__(
        self,
        provider: Provider,
        conversation_id: str,
        *,
        patience: Patience,
        check: Callable[[], None],
        note: Callable[[str | None], None],
        stream: bool,
    ) -> None:
        self.provider = provider
        self.conversation_id = conversation_id
        self.stream = stream
        """Whether somebody reads along, or the response's id is wanted early."""
        self.response: JSON | None = None
        self.unanswered = False
        """Whether the provider was asked for a response of this conversation, and it is not known what came of it."""
        self.usage: JSON | None = None
        self.speaking: Answer | None = None
        """The answer that is being read: the provider takes the next request only after its end."""
        self._patience = patience
        self._check = check
        self._note = note
        self._noted = False
        self._aside_ids: list[str] = []
        # An agent's tools may be agents that speak at the same time.
        self._counting = threading.Lock()

    def respond(self, body: Mapping[str, Any]) -> Iterator[str]:
        """One response in this conversation; its words as they arrive."""
        body = {**body, "conversation": self.conversation_id}
        if not self.stream:
            self.keep(self.ask(body))
            yield output_text(self.response or {})
            return
        with closing(self.events(body)) as events:
            for event in events:
                if event.type in ("response.output_text.delta", "response.refusal.delta"):
                    words = event.json().get("delta")
                    if not isinstance(words, str):
                        raise UnreadableAnswerError()
                    yield words

    def ask(self, body: Mapping[str, Any]) -> JSON:
        """One response in this conversation, at its end; also one that failed. Its taker keeps it."""
        body = {**body, "conversation": self.conversation_id}
        self._forget_noted()

        def ask() -> JSON:
            with self._question():
                return self.provider.create_response(body, began=self._begun)

        return self._patience.call(ask)

    def events(self, body: Mapping[str, Any], *, aside: bool = False, failures: bool = False) -> Events:
        """The same as the provider's own events, ended by one that leaves a response; anything else is raised.

        A response `aside` stands beside the conversation: it is no part of the turn except that its usage counts. With
        `failures` the event that says why a response failed is given too, before that is raised.
        """
        body = dict(body) if aside else {**body, "conversation": self.conversation_id}
        try:
            yield from self._events(body, aside, failures)
        except GatewayError as exc:
            if aside:
                # Whether or not it took place, the conversation is as it was.
                exc.in_doubt = False
            raise

    def _events(self, body: JSON, aside: bool, failures: bool) -> Events:
        if not aside:
            self._forget_noted()
        events, first = self._patience.call(lambda: self._open(body, aside))
        with closing(events):
            for event in chain((first,), events):
                if event.type == "response.created":
                    response_id = response_of(event)["id"]
                    if aside:
                        self._aside_ids.append(response_id)
                    else:
                        self._begun(response_id)
                elif event.type in FAILURES:
                    failure = error_from_event(event)
                    if failures:
                        yield event
                    if not aside:
                        self.unanswered = failure.in_doubt
                    raise failure
                elif event.type in ENDS:
                    response = response_of(event)
                    if aside:
                        self._count(response)
                    else:
                        self.keep(response)
                    yield event
                    return
                yield event
        raise ProviderError("The provider's stream broke off.", in_doubt=True)

    def keep(self, response: JSON) -> None:
        """Takes a finished response as the turn's last."""
        self.unanswered = False
        if response.get("status") == "failed":
            raise error_of_response(response)
        self.response = response
        self._count(response)

    @property
    def open_calls(self) -> list[JSON]:
        """The last response's calls that nobody has answered."""
        return pending_calls((self.response or {}).get("output") or [])

    def answer_calls(self, outputs: Sequence[JSON]) -> None:
        """Adds these outputs of the last response's calls to the conversation, without asking for another response."""
        for start in range(0, len(outputs), ITEMS_A_CALL):
            some = outputs[start : start + ITEMS_A_CALL]
            self._patience.call(lambda some=some: self.provider.add_items(self.conversation_id, some))  # type: ignore[misc]
        if outputs and self.response is not None:
            self.response = {**self.response, "output": [*(self.response.get("output") or ()), *outputs]}

    def leave_usable(self, failure: Exception) -> None:
        """After a failure: reads to its end what still speaks, and answers the calls that this turn left open with a
        cancelled output, so that the next turn is not refused for them. What may have taken place is left alone:
        it has to be looked at first."""
        if isinstance(failure, GatewayError) and failure.in_doubt:
            return
        # What fails here can be made up for by POST /sessions/ID/pending_calls/cancel.
        with suppress(GatewayError):
            if self.speaking is not None:
                self.speaking.finish()
            self.cancel_calls()

    def cancel_calls(self) -> None:
        """Answers the last response's open calls with a cancelled output."""
        self.answer_calls(cancelled_outputs((self.response or {}).get("output") or []))

    def forget_asides(self) -> None:
        """Deletes the stored responses that stood beside the conversation: no record leads to them afterwards."""
        while self._aside_ids:
            with suppress(GatewayError):
                self.provider.delete_response(self._aside_ids.pop())

    def _count(self, response: Mapping[str, Any]) -> None:
        with self._counting:
            self.usage = _sum(self.usage, response.get("usage"))

    @contextmanager
    def _question(self, *, aside: bool = False) -> Iterator[None]:
        """The provider is asked in this block: it may be at work from then on, unless it surely refused."""
        self._check()
        if aside:
            yield
            return
        self.unanswered = True
        try:
            yield
        except GatewayError as exc:
            self.unanswered = exc.in_doubt
            raise

    def _open(self, body: Mapping[str, Any], aside: bool) -> tuple[Events, StreamEvent]:
        with self._question(aside=aside):
            events = self.provider.stream_response(body)
            first = next(events, None)
            if first is None:
                raise ProviderError("The provider's stream was empty.", in_doubt=True)
            return events, first

    def _begun(self, response_id: str) -> None:
        self._note(response_id)
        self._noted = True

    def _forget_noted(self) -> None:
        """The response before the one that is asked for now no longer tells what became of the turn."""
        if self._noted:
            self._note(None)
            self._noted = False


def _sum(total: JSON | None, usage: Any) -> JSON | None:
    more = trim_usage(usage)
    if total is None or more is None:
        return more or total
    return {name: number + total[name] for name, number in more.items()}
