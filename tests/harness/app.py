"""A whole gateway in this process, on a store and a provider of the test's choice, spoken to as its clients do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from werkzeug.test import TestResponse

from gateway.config import Settings
from gateway.errors import GatewayError, ProviderError
from gateway.lifecycle.erasures import Eraser
from gateway.lifecycle.sweeping import Sweeper
from gateway.model import SessionKey
from gateway.providers.local import LocalProvider
from gateway.providers.openai import OpenAIProvider
from gateway.sessions import SessionManager, open_sessions
from gateway.web.app import GatewayApp, create_app
from tests.conftest import StoreAddress
from tests.harness.upstream import UpstreamProcess

JSON = dict[str, Any]
Provider = LocalProvider | OpenAIProvider


class FaultyProvider:
    """The provider behind it, until told otherwise. Every call is counted."""

    def __init__(self, provider: Provider) -> None:
        self.behind = provider
        self.calls: list[str] = []
        self._orders: list[tuple[str, Callable[[tuple[Any, ...]], GatewayError | None]]] = []

    def fail(self, method: str, error: GatewayError | None = None, *, first: int = 0, times: int | None = None) -> None:
        """After `first` calls of this method `times` of them (None: all) fail, without reaching the provider."""
        seen = 0

        def judge(args: tuple[Any, ...]) -> GatewayError | None:
            nonlocal seen
            seen += 1
            meets = seen > first and (times is None or seen <= first + times)
            return (error or ProviderError()) if meets else None

        self._orders.append((method, judge))

    def refuse(self, method: str, judge: Callable[[tuple[Any, ...]], GatewayError | None]) -> None:
        """Calls of this method fail as `judge` says of their arguments."""
        self._orders.append((method, judge))

    def heal(self) -> None:
        self._orders.clear()

    def __getattr__(self, method: str) -> Any:
        call = getattr(self.behind, method)
        if not callable(call):
            return call

        def pass_on(*args: Any, **options: Any) -> Any:
            self.calls.append(method)
            for name, judge in self._orders:
                if name == method and (error := judge(args)):
                    raise error
            return call(*args, **options)

        return pass_on


class House:
    """The gateway, its client, and what lies behind it."""

    def __init__(self, sessions: SessionManager, provider: Provider, **settings: Any) -> None:
        self.provider = FaultyProvider(provider)
        chosen = Settings(**{"model": "demo", **settings})
        self.app: GatewayApp = create_app(chosen, sessions, self.provider)
        # Rounds are the tests' own to call.
        self.app.sweeper.stop()
        self.sessions = sessions
        self.eraser: Eraser = self.app.eraser
        # In a test both clocks are the store's.
        self.sweeper = Sweeper(self.eraser, uptime=lambda: sessions.now() * 1000)
        self.client = self.app.test_client()

    def close(self) -> None:
        self.app.finish(5)

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> TestResponse:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.open(path, method=method, json=body, headers=names)

    def get(self, path: str) -> JSON:
        return self._expect(200, self.ask("GET", path))

    def post(self, path: str, body: object = None, status: int = 200) -> JSON:
        return self._expect(status, self.ask("POST", path, body))

    def delete(self, path: str, status: int = 200) -> JSON:
        return self._expect(status, self.ask("DELETE", path))

    def error(self, status: int, method: str, path: str, body: object = None, **headers: str) -> JSON:
        return self._expect(status, self.ask(method, path, body, **headers))["error"]

    def make(self, session_id: str, **fields: object) -> JSON:
        return self.post("/sessions", {"session_id": session_id, **fields}, 201)

    def say(self, session_id: str, text: str, **fields: object) -> JSON:
        return self.post("/workflow", {"session_id": session_id, "input_as_text": text, **fields})

    def add(self, session_id: str, *items: JSON) -> JSON:
        return self.post(f"/sessions/{session_id}/items", {"items": list(items)})

    def items(self, session_id: str) -> list[JSON]:
        """The whole history, oldest first."""
        found: list[JSON] = []
        after = ""
        while True:
            page = self.get(f"/sessions/{session_id}/items?limit=100{after}")
            found += page["data"]
            if not page["has_more"]:
                return found
            after = f"&after={page['last_id']}"

    def ids(self, query: str = "") -> list[str]:
        return [session["session_id"] for session in self.get(f"/sessions{query}")["data"]]

    def exists_at_provider(self, conversation_id: str) -> bool:
        try:
            self.provider.behind.retrieve_conversation(conversation_id)
        except GatewayError:
            return False
        return True

    @staticmethod
    def _expect(status: int, answer: TestResponse) -> JSON:
        assert answer.status_code == status, answer.text
        body: JSON = answer.get_json()
        return body


def open_provider(hosted: UpstreamProcess | None, folder: Path) -> Provider:
    if hosted is None:
        return LocalProvider(str(folder / "provider.db"))
    return OpenAIProvider(api_key="sk-test", base_url=hosted.url, timeout_seconds=30)


def open_store(address: StoreAddress, **options: Any) -> SessionManager:
    return open_sessions(address.url, prefix=address.prefix, **options)


def key(session_id: str) -> SessionKey:
    return SessionKey("", session_id)


def user(text: str) -> JSON:
    return {"role": "user", "content": text}


def texts(items: list[JSON]) -> list[str]:
    return [part["text"] for item in items if item["type"] == "message" for part in item["content"]]
