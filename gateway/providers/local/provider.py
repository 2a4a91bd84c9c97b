"""The embedded provider: the local service behind the interface that every provider has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from gateway.providers.base import JSON, Events, Provider, error_from_answer
from gateway.providers.local.service import LocalService
from gateway.providers.local.wire import WireError


class LocalProvider(Provider):
    """Hosts conversations in a database of ours: an SQLite file, or any SQLite, PostgreSQL or MariaDB/MySQL URL.

    `model_url` names an OpenAI-compatible server that answers, spoken to in `model_api` (`responses` or `chat`); a key
    for it may stand before its host: `https://KEY@models.example/v1`. Without a server the built-in demo model answers.
    """

    name = "local"

    def __init__(
        self,
        database: str,
        *,
        model_url: str | None = None,
        model_api: str = "responses",
        timeout_seconds: float = 300.0,
        default_model: str = "demo",
        lease_seconds: float = 10.0,
    ) -> None:
        self.service = LocalService(
            database,
            model_url=model_url,
            model_api=model_api,
            timeout_seconds=timeout_seconds,
            default_model=default_model,
            lease_seconds=lease_seconds,
        )

    def create_conversation(self, *, metadata: Mapping[str, str], items: Sequence[JSON] = ()) -> JSON:
        with _translated():
            return self.service.create_conversation({"metadata": metadata, "items": list(items)})

    def retrieve_conversation(self, conversation_id: str) -> JSON:
        with _translated():
            return self.service.retrieve_conversation(conversation_id)

    def update_conversation(self, conversation_id: str, *, metadata: Mapping[str, str]) -> JSON:
        with _translated():
            return self.service.update_conversation(conversation_id, {"metadata": metadata})

    def delete_conversation(self, conversation_id: str) -> None:
        with _translated():
            self.service.delete_conversation(conversation_id)

    def list_items(
        self,
        conversation_id: str,
        *,
        limit: int = 20,
        order: str = "desc",
        after: str | None = None,
        include: Sequence[str] = (),
    ) -> JSON:
        with _translated():
            return self.service.list_items(conversation_id, limit=limit, order=order, after=after)

    def add_items(self, conversation_id: str, items: Sequence[JSON], *, include: Sequence[str] = ()) -> JSON:
        with _translated():
            return self.service.add_items(conversation_id, {"items": list(items)})

    def retrieve_item(self, conversation_id: str, item_id: str, *, include: Sequence[str] = ()) -> JSON:
        with _translated():
            return self.service.retrieve_item(conversation_id, item_id)

    def delete_item(self, conversation_id: str, item_id: str) -> JSON:
        with _translated():
            return self.service.delete_item(conversation_id, item_id)

    def create_response(self, body: Mapping[str, Any], *, began: Callable[[str], None] | None = None) -> JSON:
        # Nobody is told its id on the way: when this process ends, so does what it asked for.
        with _translated():
            return self.service.create_response(body)

    def stream_response(self, body: Mapping[str, Any]) -> Events:
        with _translated():
            yield from self.service.stream_response(body)

    def retrieve_response(self, response_id: str, *, include: Sequence[str] = ()) -> JSON:
        with _translated():
            return self.service.retrieve_response(response_id)

    def delete_response(self, response_id: str) -> None:
        with _translated():
            self.service.delete_response(response_id)

    def list_models(self) -> JSON:
        with _translated():
            return self.service.list_models()

    def check(self) -> None:
        with _translated():
            self.service.check()

    def close(self) -> None:
        self.service.close()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except WireError as exc:
        raise error_from_answer(exc.status, exc.error, exc.headers) from exc
