"""What stands behind a response: a model that reads the whole conversation and answers piece by piece."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.providers.local.wire import JSON


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One answer, asked for without any memory: `items` is all that was said, `body` the client's parameters."""

    model: str
    items: Sequence[JSON]
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class RefusalDelta:
    text: str


@dataclass(frozen=True, slots=True)
class Annotation:
    """Something said about the text so far, such as its source."""

    annotation: JSON


@dataclass(frozen=True, slots=True)
class CallStarted:
    """A function call begins; its arguments follow."""

    name: str
    call_id: str


@dataclass(frozen=True, slots=True)
class CallDelta:
    arguments: str


@dataclass(frozen=True, slots=True)
class WholeItem:
    """An item that comes in one piece, such as reasoning."""

    item: JSON


@dataclass(frozen=True, slots=True)
class Finished:
    """The last piece of every answer."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    incomplete_reason: str | None = None
    model: str | None = None


Piece = TextDelta | RefusalDelta | Annotation | CallStarted | CallDelta | WholeItem | Finished
Pieces = Generator[Piece, None, None]


class Model(ABC):
    """Answers statelessly."""

    @abstractmethod
    def start(self, request: ModelRequest) -> Pieces:
        """The answer, ending with `Finished`. Raises `WireError` when refused; so does an answer that breaks off."""

    @abstractmethod
    def list_models(self) -> list[JSON]:
        """The model objects."""

    @abstractmethod
    def check(self) -> None:
        """Raises `WireError` when the model cannot be used."""

    @abstractmethod
    def close(self) -> None:
        """Gives back what is held."""
