"""Speaking to an OpenAI-compatible server over HTTP: one streamed POST, one GET, and its errors in our words."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any

import orjson
import urllib3
from urllib3.exceptions import HTTPError, LocationParseError, ReadTimeoutError
from urllib3.util import Timeout, parse_url

from gateway.errors import ConfigurationError
from gateway.providers.local.models import Model
from gateway.providers.local.wire import JSON, WireError, server_error
from gateway.providers.secret import hiding
from gateway.sse import UnreadableStreamError, parse_events

_CONNECT_SECONDS = 10.0
_CHECK_SECONDS = 3.0
# What the servers say instead of the code `context_length_exceeded`.
_TOO_LONG = ("context length", "context window", "context size")


class ModelServer:
    """The server whose API begins at `url`, such as http://127.0.0.1:11434/v1; silence ends a call. What it gives of
    its answers never holds the key that it is asked with."""

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        try:
            parsed = parse_url(url)
        except LocationParseError as exc:
            raise ConfigurationError("The local provider's model server has no valid URL.") from exc
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ConfigurationError("The local provider's model server has an http:// or https:// URL.")
        self._base = parsed._replace(auth=None, query=None, fragment=None).url.rstrip("/")
        self._headers = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
        key = (parsed.auth or "").removeprefix(":")
        if key:
            self._headers["authorization"] = f"Bearer {key}"
        self._hidden = hiding(key)
        self._timeout = Timeout(connect=min(_CONNECT_SECONDS, timeout_seconds), read=timeout_seconds)
        # Never retried: an answer that was lost may have been paid for.
        self._pool = urllib3.PoolManager(maxsize=64, retries=False)

    def stream(self, path: str, body: JSON) -> Generator[JSON, None, None]:
        """The events of a streamed answer, once the server took the request; raises `WireError` when it does not."""
        response = self._send("POST", path, body, timeout=self._timeout)
        if response.status != 200:
            raise self._refusal(response)
        return _events(response, self._hidden)

    def list_models(self) -> list[JSON]:
        response = self._send("GET", "/models", None, timeout=self._timeout)
        if response.status != 200:
            raise self._refusal(response)
        return [model for model in self._decoded(response).get("data") or () if isinstance(model, dict)]

    def check(self) -> None:
        """Raises unless a server answers at all: what it says is asked with the first turn."""
        # Unread, so that its connection is of no use to anybody else.
        self._send("GET", "/models", None, timeout=Timeout(total=_CHECK_SECONDS)).close()

    def close(self) -> None:
        self._pool.clear()

    def _send(self, method: str, path: str, body: JSON | None, *, timeout: Timeout) -> urllib3.BaseHTTPResponse:
        try:
            return self._pool.request(
                method,
                self._base + path,
                body=None if body is None else orjson.dumps(body),
                headers=self._headers,
                timeout=timeout,
                redirect=False,
                preload_content=False,
            )
        except ReadTimeoutError as exc:
            # It may be at work on an answer, so that this is not asked again like what it never heard.
            raise server_error("The model server fell silent.", status=503 if body is None else 500) from exc
        except HTTPError as exc:
            raise server_error("The model server cannot be reached.", status=503) from exc

    def _refusal(self, response: urllib3.BaseHTTPResponse) -> WireError:
        headers = {name.lower(): value for name, value in response.headers.items()}
        body = self._decoded(response)
        return model_error(body.get("error") or body or response.reason, response.status, headers)

    def _decoded(self, response: urllib3.BaseHTTPResponse) -> JSON:
        try:
            decoded = orjson.loads(self._hidden(response.data))
        except orjson.JSONDecodeError:
            return {}
        return decoded if isinstance(decoded, dict) else {}


class ServedModel(Model):
    """A model behind such a server; how it is asked for an answer is for each API to say."""

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        self._server = ModelServer(url, timeout_seconds=timeout_seconds)

    def list_models(self) -> list[JSON]:
        return self._server.list_models()

    def check(self) -> None:
        self._server.check()

    def close(self) -> None:
        self._server.close()


def model_error(error: Any, status: int = 500, headers: Mapping[str, str] | None = None) -> WireError:
    """The error object of a server, whatever shape it gave it, in the service's words."""
    if not isinstance(error, Mapping):
        error = {"message": str(error)}
    message = str(error.get("message") or "The model server failed.")
    code = error.get("code") if isinstance(error.get("code"), str) else None
    too_long = status in (400, 413, 500) and any(words in message.lower() for words in _TOO_LONG)
    if too_long or code == "context_length_exceeded":
        return WireError(400, message, code="context_length_exceeded", param="input")
    if status == 429 or code in ("rate_limit_exceeded", "insufficient_quota"):
        kept = {name: headers[name] for name in ("retry-after", "retry-after-ms") if headers and name in headers}
        return WireError(429, message, code=code or "rate_limit_exceeded", type="rate_limit_error", headers=kept)
    if status in (401, 403):
        return WireError(status, message, code=code)
    if status in (400, 413, 422) or code == "model_not_found":
        param = error.get("param")
        return WireError(400, message, code=code, param=param if isinstance(param, str) else None)
    return server_error(message, status=503 if status == 503 else 500)


def _events(response: urllib3.BaseHTTPResponse, hidden: Callable[[bytes], bytes]) -> Generator[JSON, None, None]:
    ended = False
    try:
        for event in parse_events(iter(lambda: response.read1(65536), b"")):
            if event.data.strip() == b"[DONE]":
                ended = True
            elif event.data:
                yield orjson.loads(hidden(event.data))
        ended = True
    except HTTPError as exc:
        raise server_error("The model server broke off its answer.") from exc
    except (orjson.JSONDecodeError, UnreadableStreamError) as exc:
        raise server_error("The model server's answer is not valid JSON.") from exc
    finally:
        # A connection with half an answer in it is of no use to the next request.
        if ended:
            response.release_conn()
        else:
            response.close()
