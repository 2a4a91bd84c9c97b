"""The hosted provider, through the openai SDK: its authentication, addresses, time-outs and errors, and nothing else.

The SDK's own retries are off: it would send a POST again whose first copy may have been carried out. What may be
tried again is decided in `gateway.providers.retry`, by what each error says of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx2
import openai
import orjson

from gateway.errors import (
    GatewayError,
    NotFoundError,
    ProviderError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from gateway.providers.base import JSON, Provider, StreamEvent, error_from_answer

# The SDK's own switch for an answer whose body has not been read yet.
_STREAMED = {"X-Stainless-Raw-Response": "stream"}


class OpenAIProvider(Provider):
    """OpenAI's Conversations and Responses APIs, or any server that speaks them."""

    name = "openai"

    def __init__(self, *, api_key: str, base_url: str | None = None, timeout_seconds: float = 300.0) -> None:
        self._client = openai.OpenAI(
            api_key=api_key,
            base_url=base_url,
            max_retries=0,
            http_client=openai.DefaultHttpxClient(
                # As many calls as turns may be under way: the default would let call 1001 wait silently.
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=256),
                timeout=httpx2.Timeout(timeout_seconds, connect=10.0),
            ),
        )

    # --- Conversations and their items ---------------------------------------------------------------------

    def create_conversation(self, *, metadata: Mapping[str, str], items: Sequence[JSON] = ()) -> JSON:
        body: JSON = {"metadata": dict(metadata)}
        if items:
            body["items"] = list(items)
        return self._call("POST", "/conversations", body)

    def retrieve_conversation(self, conversation_id: str) -> JSON:
        return self._call("GET", f"/conversations/{_path(conversation_id)}")

    def update_conversation(self, conversation_id: str, *, metadata: Mapping[str, str]) -> JSON:
        return self._call("POST", f"/conversations/{_path(conversation_id)}", {"metadata": dict(metadata)})

    def delete_conversation(self, conversation_id: str) -> None:
        self._call("DELETE", f"/conversations/{_path(conversation_id)}")

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
        return self._call("GET", f"/conversations/{_path(conversation_id)}/items", query=_included(include, query))

    def add_items(self, conversation_id: str, items: Sequence[JSON], *, include: Sequence[str] = ()) -> JSON:
        path = f"/conversations/{_path(conversation_id)}/items"
        return self._call("POST", path, {"items": list(items)}, query=_included(include))

    def retrieve_item(self, conversation_id: str, item_id: str, *, include: Sequence[str] = ()) -> JSON:
        path = f"/conversations/{_path(conversation_id)}/items/{_path(item_id)}"
        return self._call("GET", path, query=_included(include))

    def delete_item(self, conversation_id: str, item_id: str) -> JSON:
        return self._call("DELETE", f"/conversations/{_path(conversation_id)}/items/{_path(item_id)}")

    # --- Responses -------------------------------------------------------------------------------------------

    def create_response(self, body: Mapping[str, Any]) -> JSON:
        return self._call("POST", "/responses", {key: value for key, value in body.items() if key != "stream"})

    def stream_response(self, body: Mapping[str, Any]) -> Iterator[StreamEvent]:
        with _translated():
            answer = self._client.post(
                "/responses",
                cast_to=openai.APIResponse[bytes],
                body={**body, "stream": True},
                options={"headers": {**_STREAMED, "Accept": "text/event-stream"}},
            ).http_response
            try:
                yield from parse_events(answer.iter_bytes())
            finally:
                answer.close()

    def retrieve_response(self, response_id: str, *, include: Sequence[str] = ()) -> JSON:
        return self._call("GET", f"/responses/{_path(response_id)}", query=_included(include))

    def delete_response(self, response_id: str) -> None:
        self._call("DELETE", f"/responses/{_path(response_id)}")

    def list_models(self) -> JSON:
        return self._call("GET", "/models")

    def check(self) -> None:
        """The key and the address are taken as they are: a probe that cost a provider call could be used to spend."""

    def close(self) -> None:
        self._client.close()

    def _call(self, method: str, path: str, body: JSON | None = None, *, query: JSON | None = None) -> JSON:
        options: Any = {"params": query} if query else {}
        with _translated():
            if method == "GET":
                answer = self._client.get(path, cast_to=httpx2.Response, options=options)
            elif method == "POST":
                answer = self._client.post(path, cast_to=httpx2.Response, body=body, options=options)
            else:
                answer = self._client.delete(path, cast_to=httpx2.Response, options=options)
        if not answer.content:
            return {}
        try:
            decoded = orjson.loads(answer.content)
        except orjson.JSONDecodeError:
            decoded = None
        if not isinstance(decoded, dict):
            raise ProviderError("The provider's answer is no JSON object.", in_doubt=method != "GET")
        return decoded


def parse_events(chunks: Iterable[bytes]) -> Iterator[StreamEvent]:
    """The server-sent events in these bytes. The JSON of an event is not looked into."""
    buffer = b""
    for chunk in chunks:
        buffer += chunk
        if b"\n\n" not in buffer and b"\r\n\r\n" not in buffer:
            continue
        *blocks, buffer = buffer.replace(b"\r\n", b"\n").split(b"\n\n")
        for block in blocks:
            if event := _parse_block(block):
                yield event


def _parse_block(block: bytes) -> StreamEvent | None:
    kind, data = "", []
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"event":
            kind = value.decode()
        elif name == b"data":
            data.append(value)
    payload = b"\n".join(data)
    if not payload or payload == b"[DONE]":
        return None
    return StreamEvent(kind or str(orjson.loads(payload).get("type", "")), payload)


@contextmanager
def _translated() -> Iterator[None]:
    """The SDK's errors as ours."""
    try:
        yield
    except openai.APIStatusError as exc:
        body = exc.body if isinstance(exc.body, dict) else {}
        error = body.get("error") if isinstance(body.get("error"), dict) else body
        raise error_from_answer(exc.status_code, error, exc.response.headers) from exc
    except (openai.APIConnectionError, httpx2.HTTPError, httpx2.StreamError) as exc:
        raise _connection_error(exc) from exc
    except openai.OpenAIError as exc:
        raise ProviderError(in_doubt=True) from exc


def _connection_error(exc: Exception) -> GatewayError:
    cause = exc.__cause__ if isinstance(exc, openai.APIConnectionError) and exc.__cause__ else exc
    if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout):
        # Nothing was sent: it surely did not happen.
        return ProviderUnavailableError(retry_after=1)
    if isinstance(cause, httpx2.TimeoutException):
        return ProviderTimeoutError(in_doubt=True)
    return ProviderError("The connection to the provider broke off.", in_doubt=True)


def _path(part: str) -> str:
    """An id as a part of a path. What would lead to another address is an id that nothing has."""
    if part in ("", ".", ".."):
        raise NotFoundError()
    return quote(part, safe="")


def _included(include: Sequence[str], query: JSON | None = None) -> JSON:
    return {**(query or {}), "include": list(include)} if include else (query or {})
