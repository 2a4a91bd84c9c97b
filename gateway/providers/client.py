"""How the hosted provider is spoken to: one request, one answer, and what may be said of it afterwards.

The openai SDK says where it is and who asks: its settings, headers and ways to write a query. The call itself is made
below the SDK, whose models, copies and hooks cost twice what the call does, and never twice: the SDK would send a POST
again whose first copy may have been carried out. What may be tried again is decided in `gateway.providers.retry`, by
what each error says of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any
from urllib.request import getproxies

import httpx2
import openai
import orjson

from gateway.errors import ProviderError, ProviderTimeoutError, ProviderUnavailableError, UnreadableAnswerError
from gateway.providers.base import FAILURES, JSON, StreamEvent, error_from_answer
from gateway.providers.secret import hiding
from gateway.providers.transport import PooledTransport
from gateway.sse import UnreadableStreamError, parse_events

CALL_SECONDS = 30.0
"""How long the provider may be silent at most where no model has to think."""

_MOST_REDIRECTS = 5

_ORGANISATION = re.compile(rb"\borg-[A-Za-z0-9]{6,}")
"""The account's organisation: the words about a rate limit name it."""

Chunks = Iterator[bytes]


class ProviderClient:
    """Sends requests to one provider. What it gives of its answers never holds the key that it sends."""

    def __init__(self, *, api_key: str, base_url: str | None, timeout_seconds: float) -> None:
        timeout = httpx2.Timeout(timeout_seconds, connect=10.0)
        self._direct = None if _are_proxies_set() else PooledTransport()
        self._http = _http_client(self._direct, timeout)
        self._sdk = openai.OpenAI(api_key=api_key, base_url=base_url, http_client=self._http)
        self._base_url = str(self._sdk.base_url).rstrip("/")
        # Reading an address costs a tenth of a call.
        self._often = {path: httpx2.URL(self._base_url + path) for path in ("/responses", "/conversations")}
        self._patient = {"timeout": timeout.as_dict()}
        self._brief = {"timeout": {**timeout.as_dict(), "read": min(timeout_seconds, CALL_SECONDS)}}
        named = {**self._sdk.default_headers, **self._sdk.auth_headers}
        self._headers = httpx2.Headers(self._http.headers)
        self._headers.update({name: value for name, value in named.items() if isinstance(value, str)})
        self._hidden = hiding(api_key)

    def close(self) -> None:
        self._http.close()

    def call(self, method: str, path: str, body: JSON | None = None, *, query: JSON | None = None) -> JSON:
        """What the provider answers with."""
        with _translated():
            return self._read(self._ask(method, path, body, query=query))

    @contextmanager
    def events(self, path: str, body: Mapping[str, Any]) -> Iterator[JSON | Chunks]:
        """The bytes of an answer that comes event by event, for `heard` to read; or all of it at once from a provider
        that knows no streams. Leaving the block early hangs up."""
        with (
            _translated(),
            closing(self._ask("POST", path, {**body, "stream": True}, accept="text/event-stream")) as answer,
        ):
            if answer.headers.get("content-type", "").startswith("application/json"):
                yield self._read(answer)
            else:
                yield answer.iter_bytes()

    def heard(self, chunks: Chunks) -> Iterator[StreamEvent]:
        """The events in these bytes, all that one chunk brought before the next is asked for."""
        for kind, data, _ in parse_events(chunks):
            if data in (b"", b"[DONE]"):
                continue
            event = StreamEvent(kind, self._hidden(data))
            if not kind:
                event = StreamEvent(str(event.json().get("type", "")), event.data)
            if event.type in FAILURES:
                event = StreamEvent(event.type, _ORGANISATION.sub(b"org-(hidden)", event.data))
            yield event

    def _read(self, answer: httpx2.Response) -> JSON:
        content = answer.read()
        decoded = _decode(self._hidden(content)) if content else {}
        if not isinstance(decoded, dict):
            raise UnreadableAnswerError()
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
            extensions=self._brief if accept is None else self._patient,
        )
        if accept is not None:
            request.headers["Accept"] = accept
        answer = self._send(request)
        if not answer.is_success:
            decoded = _decode(_ORGANISATION.sub(b"org-(hidden)", self._hidden(answer.read())))
            told = decoded if isinstance(decoded, dict) else {}
            own = isinstance(told.get("error"), dict)
            raise error_from_answer(answer.status_code, told["error"] if own else told, answer.headers, own=own)
        return answer

    def _url(self, path: str, query: JSON | None) -> httpx2.URL | str:
        if query:
            return f"{self._base_url}{path}?{self._sdk.qs.stringify(query)}"
        return self._often.get(path) or self._base_url + path

    def _send(self, request: httpx2.Request) -> httpx2.Response:
        # The client's hooks and copies would be a quarter of a call. It leads through proxies and along redirects.
        if (direct := self._direct) is not None:
            answer = direct.handle_request(request)
            if not _leads_on(answer, request.method):
                return answer
            answer.close()
            self._direct = None
        for _ in range(_MOST_REDIRECTS):
            answer = self._http.send(request, stream=True, follow_redirects=False)
            if not _leads_on(answer, request.method) or answer.next_request is None:
                return answer
            answer.close()
            request = answer.next_request
        raise ProviderError("The provider leads from one address to another without an end.")


def _leads_on(answer: httpx2.Response, method: str) -> bool:
    """Whether the same request is to be sent elsewhere, because it was not carried out here. Where a POST is led to
    otherwise (303) lies the answer to one that was."""
    return answer.has_redirect_location and (answer.status_code in (307, 308) or method == "GET")


def _decode(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return None


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
    except UnreadableStreamError as exc:
        raise UnreadableAnswerError() from exc
