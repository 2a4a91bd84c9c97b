"""Which model answers for the local provider."""

from __future__ import annotations

from gateway.errors import ConfigurationError
from gateway.providers.local.chat_model import ChatModel
from gateway.providers.local.demo import DemoModel
from gateway.providers.local.models import Model
from gateway.providers.local.responses_model import ResponsesModel


def open_model(url: str | None, api: str, *, timeout_seconds: float, default_model: str) -> Model:
    """The server at `url`, spoken to in `api`; without one the built-in demo."""
    if url is None:
        return DemoModel(default_model)
    if api == "responses":
        return ResponsesModel(url, timeout_seconds=timeout_seconds)
    if api == "chat":
        return ChatModel(url, timeout_seconds=timeout_seconds)
    raise ConfigurationError(f"The local provider's model API is 'responses' or 'chat', not {api!r}.")
