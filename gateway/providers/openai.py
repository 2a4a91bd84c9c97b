"""The hosted provider: OpenAI's Conversations and Responses APIs, or any server that speaks them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from gateway.errors import NotFoundError, ProviderError
from gateway.providers.base import ENDS, FAILURES, JSON, Events, Provider, error_from_event
from gateway.providers.client import Chunks, ProviderClient
from gateway.providers.shapes import parse_object, parse_page, parse_response, response_of


class OpenAIProvider(Provider):
    """Where a key and an address lead to. Silence of `timeout_seconds` ends a call."""

    name = "openai"

    def __init__(self, *, api_key: str, base_url: str | None = None, timeout_seconds: float = 300.0) -> None:
        self._client = ProviderClient(api_key=api_key, base_url=base_url, timeout_seconds=timeout_seconds)

    # --- Conversations and their items ---------------------------------------------------------------------

    def create_conversation(self, *, metadata: Mapping[str, str], items: Sequence[JSON] = ()) -> JSON:
        body: JSON = {"metadata": dict(metadata)}
        if items:
            body["items"] = list(items)
        return parse_object(self._client.call("POST", "/conversations", body))

    def retrieve_conversation(self, conversation_id: str) -> JSON:
        return self._client.call("GET", f"/conversations/{_path(conversation_id)}")

    def update_conversation(self, conversation_id: str, *, metadata: Mapping[str, str]) -> JSON:
        return self._client.call("POST", f"/conversations/{_path(conversation_id)}", {"metadata": dict(metadata)})

    def delete_conversation(self, conversation_id: str) -> None:
        self._client.call("DELETE", f"/conversations/{_path(conversation_id)}")

    def list_items(
        self,
        conversation_id: str,
        *,
        limit: int = 20,
        order: str = "desc",
        after: str | None = None,
        include: Sequence[str] = (),
    ) -> JSON:
        query: JSON = {"limit": limit, "order": order}
        if after is not None:
            query["after"] = after
        path = f"/conversations/{_path(conversation_id)}/items"
        return parse_page(self._client.call("GET", path, query=_included(include, query)))

    def add_items(self, conversation_id: str, items: Sequence[JSON], *, include: Sequence[str] = ()) -> JSON:
        path = f"/conversations/{_path(conversation_id)}/items"
        return parse_page(self._client.call("POST", path, {"items": list(items)}, query=_included(include)))

    def retrieve_item(self, conversation_id: str, item_id: str, *, include: Sequence[str] = ()) -> JSON:
        path = f"/conversations/{_path(conversation_id)}/items/{_path(item_id)}"
        return parse_object(self._client.call("GET", path, query=_included(include)))

    def delete_item(self, conversation_id: str, item_id: str) -> JSON:
        return self._client.call("DELETE", f"/conversations/{_path(conversation_id)}/items/{_path(item_id)}")

    # --- Responses -------------------------------------------------------------------------------------------

    def create_response(self, body: Mapping[str, Any], *, began: Callable[[str], None] | None = None) -> JSON:
        """Asked for as a stream: of a plain answer that does not come nobody can tell whether it is worked on."""
        if body.get("background") or body.get("stream_options") is not None:
            # The one is over at once, the other is refused without a stream.
            plain = {name: value for name, value in body.items() if name != "stream"}
            return parse_response(self._client.call("POST", "/responses", plain))
        with self._client.events("/responses", body) as answer:
            return parse_response(answer) if isinstance(answer, dict) else self._fold(answer, began)

    def stream_response(self, body: Mapping[str, Any]) -> Events:
        with self._client.events("/responses", body) as answer:
            if isinstance(answer, dict):
                raise ProviderError("The provider answered without a stream.", in_doubt=True)
            yield from self._client.heard(answer)

    def _fold(self, chunks: Chunks, began: Callable[[str], None] | None) -> JSON:
        """The response that these events come to."""
        response_id: str | None = None

        def watched() -> Iterator[bytes]:
            nonlocal began
            for chunk in chunks:
                yield chunk
                # All that it brought was looked at, and the end was not among it.
                if began is not None and response_id is not None:
                    began(response_id)
                    began = None

        for event in self._client.heard(watched()):
            if event.type == "response.created":
                response_id = response_of(event)["id"]
            elif event.type in FAILURES:
                raise error_from_event(event)
            elif event.type in ENDS:
                return response_of(event)
        raise ProviderError("The provider's stream broke off.", in_doubt=True)

    def retrieve_response(self, response_id: str, *, include: Sequence[str] = ()) -> JSON:
        return parse_response(self._client.call("GET", f"/responses/{_path(response_id)}", query=_included(include)))

    def delete_response(self, response_id: str) -> None:
        self._client.call("DELETE", f"/responses/{_path(response_id)}")

    def list_models(self) -> JSON:
        return self._client.call("GET", "/models")

    def check(self) -> None:
        """The key and the address are taken as they are: a probe that cost a provider call could be used to spend."""

    def close(self) -> None:
        self._client.close()


def _path(part: str) -> str:
    """An id as a part of a path. What would lead to another address is an id that nothing has."""
    if part in ("", ".", ".."):
        raise NotFoundError()
    return quote(part, safe="")


def _included(include: Sequence[str], query: JSON | None = None) -> JSON:
    return {**(query or {}), "include": list(include)} if include else (query or {})
