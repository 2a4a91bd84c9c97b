"""The hosted provider. The openai SDK says where it is and who asks: its settings, headers and ways to write a query.

The call itself is made below the SDK, whose models, copies and hooks cost twice what the call does, and never twice:
the SDK would send a POST again whose first copy may have been carried out. What may be tried again is decided in
`gateway.providers.retry`, by what each error says of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote
from urllib.request import getproxies

import httpx2
import openai
import orjson

from gateway.errors import (
    NotFoundError,
    ProviderError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from gateway.providers.base import JSON, Provider, StreamEvent, error_from_answer
from gateway.providers.transport import PooledTransport


class OpenAIProvider(Provider):
    """OpenAI's Conversations and Responses APIs, or any server that speaks them."""

    name = "openai"

    def __init__(self, *, api_key: str, base_url: str | None = None, timeout_seconds: float = 300.0) -> None:
        timeout = httpx2.Timeout(timeout_seconds, connect=10.0)
        self._direct = None if _are_proxies_set() else PooledTransport()
        self._http = _http_client(self._direct, timeout)
        self._sdk = openai.OpenAI(api_key=api_key, base_url=base_url, http_client=self._http)
        self._base_url = str(self._sdk.base_url).rstrip("/")
        # Reading an address costs a tenth of a call.
        self._often = {path: httpx2.URL(self._base_url + path) for path in ("/responses", "/conversations")}
        self._extensions = {"timeout": timeout.as_dict()}
        named = {**self._sdk.default_headers, **self._sdk.auth_headers}
        self._headers = httpx2.Headers(self._http.headers)
        self._headers.update({name: value for name, value in named.items() if isinstance(value, str)})

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
            answer = self._ask("POST", "/responses", {**body, "stream": True}, accept="text/event-stream")
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
        self._http.close()

    def _call(self, method: str, path: str, body: JSON | None = None, *, query: JSON | None = None) -> JSON:
        with _translated():
            content = self._ask(method, path, body, query=query).read()
        if not content:
            return {}
        decoded = _decode(content)
        if not isinstance(decoded, dict):
            raise ProviderError("The provider's answer is no JSON object.", in_doubt=method != "GET")
        return decoded

    def _ask(
        self, method: str, path: str, body: JSON | None = None, *, query: JSON | None = None, accept: str | None = None
    ) -> httpx2.Response:
        """An answer of success, not read yet."""
        request = httpx2.Request(
            method,
            self._url(path, query),
            headers=self._headers,
            content=None if body is None else orjson.dumps(body),
            extensions=self._extensions,
        )
        if accept is not None:
            request.headers["Accept"] = accept
        answer = self._send(request)
        if not answer.is_success:
            decoded = _decode(answer.read())
            told = decoded if isinstance(decoded, dict) else {}
            error = told["error"] if isinstance(told.get("error"), dict) else told
            raise error_from_answer(answer.status_code, error, answer.headers)
        return answer

    def _url(self, path: str, query: JSON | None) -> httpx2.URL | str:
        if query:
            return f"{self._base_url}{path}?{self._sdk.qs.stringify(query)}"
        return self._often.get(path) or self._base_url + path

    def _send(self, request: httpx2.Request) -> httpx2.Response:
        # The client's hooks and copies would be a quarter of a call. It leads through proxies and along redirects: who
        # has answered with one has done nothing yet, and will do it again.
        if self._direct is not None:
            answer = self._direct.handle_request(request)
            if not answer.has_redirect_location:
                return answer
            answer.close()
            self._direct = None
        return self._http.send(request, stream=True)


def _decode(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return None


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


def _are_proxies_set() -> bool:
    return any(scheme in getproxies() for scheme in ("http", "https", "all"))


def _http_client(transport: PooledTransport | None, timeout: httpx2.Timeout) -> httpx2.Client:
    """Without a limit of calls at once: call 1001 would wait silently."""
    if transport is not None:
        return openai.DefaultHttpxClient(transport=transport, timeout=timeout)
    # What leads around and through proxies, and with which credentials, is left to the SDK.
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=256)
    return openai.DefaultHttpxClient(limits=limits, timeout=timeout)


@contextmanager
def _translated() -> Iterator[None]:
    """The errors of a call as ours."""
    try:
        yield
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as exc:
        # Nothing was sent: it surely did not happen.
        raise ProviderUnavailableError(retry_after=1) from exc
    except httpx2.TimeoutException as exc:
        raise ProviderTimeoutError(in_doubt=True) from exc
    except (httpx2.HTTPError, httpx2.StreamError) as exc:
        raise ProviderError("The connection to the provider broke off.", in_doubt=True) from exc


def _path(part: str) -> str:
    """An id as a part of a path. What would lead to another address is an id that nothing has."""
    if part in ("", ".", ".."):
        raise NotFoundError()
    return quote(part, safe="")


def _included(include: Sequence[str], query: JSON | None = None) -> JSON:
    return {**(query or {}), "include": list(include)} if include else (query or {})
