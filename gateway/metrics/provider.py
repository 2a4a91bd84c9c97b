"""A provider whose calls are counted and timed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from gateway.errors import GatewayError
from gateway.metrics import series
from gateway.providers.base import Events, Provider, StreamEvent


def _metered(operation: str) -> Any:
    def call(self: MeteredProvider, *args: Any, **options: Any) -> Any:
        began, outcome = time.perf_counter(), GatewayError.code
        try:
            answer = getattr(self.behind, operation)(*args, **options)
            outcome = "failed" if operation == "create_response" and answer.get("status") == "failed" else "ok"
            return answer
        except GatewayError as exc:
            outcome = exc.code
            raise
        finally:
            _count(operation, outcome, began)

    return call


class MeteredProvider(Provider):
    """The provider `behind` it. What costs no call (`check`) is not counted."""

    def __init__(self, provider: Provider) -> None:
        self.behind = provider
        self.name = provider.name

    create_conversation = _metered("create_conversation")
    retrieve_conversation = _metered("retrieve_conversation")
    update_conversation = _metered("update_conversation")
    delete_conversation = _metered("delete_conversation")
    list_items = _metered("list_items")
    add_items = _metered("add_items")
    retrieve_item = _metered("retrieve_item")
    delete_item = _metered("delete_item")
    create_response = _metered("create_response")
    retrieve_response = _metered("retrieve_response")
    delete_response = _metered("delete_response")
    list_models = _metered("list_models")

    def stream_response(self, body: Mapping[str, Any]) -> Events:
        began, outcome = time.perf_counter(), GatewayError.code
        event: StreamEvent | None = None
        try:
            with closing(self.behind.stream_response(body)) as events:
                for event in events:
                    yield event
            outcome = "ok"
        except GeneratorExit:
            # Its reader has what it wanted.
            outcome = "ok"
            raise
        except GatewayError as exc:
            outcome = exc.code
            raise
        finally:
            if event is not None and event.type in ("response.failed", "error"):
                outcome = "failed"
            _count("stream_response", outcome, began)

    def check(self) -> None:
        self.behind.check()

    def close(self) -> None:
        self.behind.close()


def _count(operation: str, outcome: str, began: float) -> None:
    series.provider_calls(operation, outcome).inc()
    series.provider_seconds(operation).observe(time.perf_counter() - began)
