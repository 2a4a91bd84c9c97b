"""A gateway on the local provider, with workflows that a test makes up, and a model that says what it is told to."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.events import Delta, Done, TurnEvent
from gateway.model import Reply, SessionKey, TurnRecord, TurnRequest
from gateway.providers.base import Provider
from gateway.providers.local import LocalProvider
from gateway.providers.local.models import Finished, Model, ModelRequest, Piece, Pieces
from gateway.sessions import open_sessions
from gateway.turn import Gateway
from gateway.workflows.base import Workflow

JSON = dict[str, Any]


class Hold:
    """Stops an answer here until the test lets it go on."""

    def __init__(self) -> None:
        self._go = threading.Event()

    def release(self) -> None:
        self._go.set()

    def wait(self) -> None:
        assert self._go.wait(10), "nobody released the model"


class ScriptedModel(Model):
    """The model of a local provider: gives the next of its answers, and keeps what it was asked."""

    def __init__(self, answers: Sequence[Sequence[Piece | Hold | Exception]]) -> None:
        self.asked: list[ModelRequest] = []
        self._answers = iter(answers)

    def start(self, request: ModelRequest) -> Pieces:
        self.asked.append(request)
        finished = False
        for piece in next(self._answers):
            if isinstance(piece, Hold):
                piece.wait()
            elif isinstance(piece, Exception):
                raise piece
            else:
                finished = isinstance(piece, Finished)
                yield piece
        if not finished:
            yield Finished(10, 5)

    def list_models(self) -> list[JSON]:
        return []

    def check(self) -> None:
        pass

    def close(self) -> None:
        pass


class Bench:
    """One gateway, and what a test asks of it."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.provider = gateway.provider

    def script(self, *answers: Sequence[Piece | Hold | Exception]) -> ScriptedModel:
        """From now on the local provider's model says this."""
        assert isinstance(self.provider, LocalProvider)
        model = ScriptedModel(answers)
        self.provider.service._model = model
        return model

    def say(self, words: str | list[JSON], **request: Any) -> Reply:
        return self.gateway.run_turn("", self.request(words, **request))

    def stream(self, words: str | list[JSON], **request: Any) -> Iterator[TurnEvent]:
        return self.gateway.stream_turn("", self.request(words, stream=True, **request))

    def hear(self, words: str | list[JSON], **request: Any) -> tuple[list[str], Reply]:
        """The deltas and the reply of a streamed turn."""
        events = list(self.stream(words, **request))
        assert isinstance(events[-1], Done)
        return [event.text for event in events if isinstance(event, Delta)], events[-1].reply

    def request(self, words: str | list[JSON], **request: Any) -> TurnRequest:
        return TurnRequest(**{"input": words, "session_id": "alice", "body": {"input": words}, **request})

    def items(self, session_id: str = "alice") -> list[JSON]:
        """The conversation, oldest first."""
        session = self.gateway.sessions.get(SessionKey("", session_id))
        assert session is not None
        page: list[JSON] = self.provider.list_items(session.conversation_id, limit=100, order="asc")["data"]
        return page

    def kinds(self, session_id: str = "alice") -> list[str]:
        """What sorts of items are in the conversation; messages by who spoke."""
        return [str(item.get("role") or item["type"]) for item in self.items(session_id)]

    def data(self, session_id: str = "alice") -> JSON:
        session = self.gateway.sessions.get(SessionKey("", session_id))
        assert session is not None
        return session.data

    def last_turn(self, session_id: str = "alice") -> TurnRecord:
        return self.gateway.sessions.turns(SessionKey("", session_id))[0]


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Makes benches with these workflows, or with one as the default; on another provider if one is given."""
    made: list[Gateway] = []

    def make(
        workflows: Workflow | Mapping[str, Workflow],
        *,
        provider: Provider | None = None,
        model: str = "settings-model",
        instructions: str | None = None,
    ) -> Bench:
        gateway = Gateway(
            open_sessions("memory:", wait_seconds=5),
            provider or LocalProvider(str(tmp_path / f"local{len(made)}.db")),
            workflows if isinstance(workflows, Mapping) else {"": workflows},
            defaults={"model": model, "truncation": "auto"} | ({"instructions": instructions} if instructions else {}),
        )
        made.append(gateway)
        return Bench(gateway)

    yield make
    for gateway in made:
        gateway.close()
