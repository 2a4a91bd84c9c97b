"""A client of a running gateway, as small as a terminal needs it: what goes wrong is one line that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import orjson
import requests
from urllib3.exceptions import ProtocolError

from gateway.model import JSON
from gateway.sse import UnreadableStreamError, parse_events

CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 330.0
"""Longer than a gateway lets its provider be silent: it says what is wrong before this does."""


class ClientError(Exception):
    """Why there is no answer, in one line."""

    def __init__(self, message: str, *, code: str | None = None, may_run: bool = False) -> None:
        super().__init__(message)
        self.code = code
        """The error's code, where a gateway said it."""
        self.may_run = may_run
        """Whether the turn that was asked for goes on at the gateway all the same."""


class GatewayClient:
    """One gateway at `url`. `key` is sent as a bearer token."""

    def __init__(self, url: str, *, key: str | None = None) -> None:
        self.url = url.rstrip("/")
        self._http = requests.Session()
        if key is not None:
            self._http.headers["Authorization"] = f"Bearer {key}"

    def session(self, session_id: str) -> JSON:
        return self._get(f"/sessions/{quote(session_id, safe='')}")

    def sessions(self, *, limit: int = 20) -> list[JSON]:
        """The sessions used last, the latest first."""
        found: list[JSON] = self._get("/sessions", limit=limit)["data"]
        return found

    def items(self, session_id: str) -> Iterator[JSON]:
        """The hosted history from its beginning. No model is asked."""
        after: str | None = None
        while True:
            page = self._get(f"/sessions/{quote(session_id, safe='')}/items", limit=100, after=after)
            yield from page["data"]
            if not page["has_more"]:
                return
            after = page["last_id"]

    def turn(self, session_id: str, text: str) -> Iterator[tuple[str, JSON]]:
        """One turn: its `session` event, a `delta` for the words as they come, and `done` with the whole reply.
        Leaving it early hangs up; the turn goes on at the gateway."""
        body = {"session_id": session_id, "input_as_text": text, "stream": True}
        asked = False
        with (
            self._failing(turn=True),
            self._http.post(
                f"{self.url}/workflow", json=body, stream=True, timeout=(CONNECT_SECONDS, SILENCE_SECONDS)
            ) as answer,
        ):
            self._check(answer)
            try:
                for name, said, _ in parse_events(answer.iter_content(chunk_size=1)):
                    asked = True
                    data = orjson.loads(said)
                    if name == "error":
                        raise ClientError(str(data["error"]["message"]), code=str(data["error"]["code"]))
                    yield name, data
                    if name == "done":
                        return
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as exc:
                raise ClientError("The connection to the gateway broke off.", may_run=asked) from exc
            raise ClientError("The gateway's answer broke off.", may_run=asked)

    def _get(self, path: str, **query: Any) -> JSON:
        with self._failing():
            answer = self._http.get(self.url + path, params=query, timeout=(CONNECT_SECONDS, SILENCE_SECONDS))
            self._check(answer)
            found: Any = orjson.loads(answer.content)
            if not isinstance(found, dict):
                raise self._no_gateway(answer)
            return found

    def _check(self, answer: requests.Response) -> None:
        if answer.status_code == 200:
            return
        try:
            error = orjson.loads(answer.content)["error"]
            words, code = str(error["message"]), str(error["code"])
        except (ValueError, TypeError, KeyError):
            raise self._no_gateway(answer) from None
        if answer.status_code == 401:
            words = f"{self.url} answers 401 {code}: {words} Give one with --key."
        raise ClientError(words, code=code)

    def _no_gateway(self, answer: requests.Response) -> ClientError:
        return ClientError(f"{self.url} answers {answer.status_code}, but not as a gateway does: is the address right?")

    @contextmanager
    def _failing(self, *, turn: bool = False) -> Iterator[None]:
        """The errors of the way there, in words. `turn`: what is sent there is one."""
        try:
            yield
        except requests.exceptions.SSLError as exc:
            raise ClientError(f"{self.url} cannot be reached by TLS: {_last(exc)}.") from exc
        except requests.Timeout as exc:
            sent = not isinstance(exc, requests.ConnectTimeout)
            raise ClientError(f"The gateway at {self.url} does not answer.", may_run=turn and sent) from exc
        except requests.ConnectionError as exc:
            if exc.args and isinstance(exc.args[0], ProtocolError):
                # It was there, and took what was sent.
                raise ClientError("The connection to the gateway broke off.", may_run=turn) from exc
            raise ClientError(
                f"No gateway answers at {self.url}: start one with `gateway serve`, or give --url."
            ) from exc
        except (requests.RequestException, orjson.JSONDecodeError, UnreadableStreamError) as exc:
            raise ClientError(f"{self.url} does not answer as a gateway does: is the address right?") from exc


def _last(exc: BaseException) -> str:
    """The innermost reason, which is the one that says something."""
    while exc.__context__ is not None:
        exc = exc.__context__
    return str(exc).rstrip(".")
