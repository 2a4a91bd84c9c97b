"""What every workflow is given and what it owes: words as they come, and the last response behind them."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import orjson

from gateway.model import Session
from gateway.providers.base import JSON, StreamEvent
from gateway.workflows.conversation import Conversation


class Workflow(ABC):
    """One named way to answer a turn."""

    replayable = True
    """Whether the last response's text is the reply's text, so that a replay can be fetched from the provider."""

    @abstractmethod
    def run(self, turn: WorkflowTurn) -> Iterator[str | StreamEvent]:
        """Yields the reply's words, or the provider's own events where somebody wants those; everything about the
        responses goes through `turn.conversation`."""


class WorkflowTurn:
    """What a workflow knows of its turn. Changes of `data` are saved with the turn."""

    def __init__(
        self,
        conversation: Conversation,
        *,
        input: str | list[JSON],
        session: Session,
        defaults: JSON,
    ) -> None:
        self.conversation = conversation
        self.input = input
        self.session_id = session.session_id
        self.user_id = session.user_id
        self._session = session
        self._data: JSON | None = None
        self._defaults = defaults

    @property
    def data(self) -> JSON:
        """The session's, to be changed; `StoreUnavailableError` when it cannot be read."""
        if self._data is None:
            self._data = copy.deepcopy(self._session.opened()[0])
        return self._data

    @data.setter
    def data(self, data: JSON) -> None:
        self._session.opened()  # nothing takes the place of what cannot be read
        self._data = data

    def changes(self) -> JSON:
        """What was changed of `data`, as an edit of the session: null removes a key."""
        if self._data is None:
            return {}
        before, after = self._session.opened()[0], self._data
        changes: JSON = {name: None for name in before if name not in after}
        return changes | {name: value for name, value in after.items() if name not in before or before[name] != value}

    @property
    def conversation_id(self) -> str:
        return self.conversation.conversation_id

    @property
    def model(self) -> str:
        """The model of the settings."""
        return str(self._defaults["model"])

    def seal(self) -> None:
        """Takes `data` as the JSON that will be saved; what is none fails the workflow, not the gateway."""
        if self._data is None:
            return
        sealed = orjson.loads(orjson.dumps(self._data))
        if not isinstance(sealed, dict):
            raise TypeError(f"the data of a turn is a dict, not {type(self._data).__name__}")
        self._data = sealed

    def respond(self, **parameters: Any) -> Answer:
        """The provider in this conversation: the built-in workflow's settings, overridden by `parameters` (those of
        POST /responses). Iterate over the answer for its words as they come, or read its `output_text`."""
        return Answer(self.conversation, self.request(**parameters))

    def request(self, **parameters: Any) -> JSON:
        """What `respond` asks for."""
        return {"input": self.input, **self._defaults, **parameters}


class Answer:
    """One response on its way: its words by iteration, the whole of it afterwards.

    It is asked for when it is first looked at. May be iterated more than once; a workflow that asks for another one
    in between finds this one read to its end, because a conversation answers one request at a time.
    """

    def __init__(self, conversation: Conversation, body: JSON) -> None:
        self._conversation = conversation
        self._words: Iterator[str] = conversation.respond(body)
        self._heard: list[str] = []
        self._response: JSON | None = None
        self._error: Exception | None = None

    def __iter__(self) -> Iterator[str]:
        position = 0
        while position < len(self._heard) or self._hear():
            yield self._heard[position]
            position += 1

    @property
    def output_text(self) -> str:
        return "".join(self)

    @property
    def response(self) -> JSON:
        """The provider's response object."""
        self.finish()
        return self._response or {}

    def finish(self) -> None:
        """Reads what is left, so that the provider is never hung up on."""
        while self._hear():
            pass

    def _hear(self) -> bool:
        """The next words, if there are more."""
        if self._error is not None:
            raise self._error
        if self._response is not None:
            return False
        if self._conversation.speaking is not self:
            if self._conversation.speaking is not None:
                self._conversation.speaking.finish()
            self._conversation.speaking = self
        try:
            words = next(self._words, None)
        except Exception as exc:
            self._conversation.speaking, self._error = None, exc
            raise
        if words is None:
            self._conversation.speaking, self._response = None, self._conversation.response or {}
            return False
        self._heard.append(words)
        return True
