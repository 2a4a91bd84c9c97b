"""What a provider of hosted conversations does, in the words of its wire: plain JSON objects in and out.

Nothing is parsed into models on the way: what the gateway does not read it does not need to know. Errors leave a
provider as `GatewayError`s only, made by `error_from_answer`, so that the hosted and the local one read the same.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from gateway.errors import (
    ContextLengthExceededError,
    ConversationGoneError,
    GatewayError,
    InsufficientQuotaError,
    InvalidRequestError,
    NotFoundError,
    ProviderError,
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    ToolOutputMissingError,
    TurnBusyError,
    UnreadableAnswerError,
)
from gateway.events import StreamEvent as StreamEvent
from gateway.model import JSON as JSON

Events = Generator[StreamEvent, None, None]
"""A response, event by event. Who does not read on closes it, at once: an error's traceback may hold it for long."""

ITEMS_A_CALL = 20
"""How many items the provider takes in one call."""

PAGE_LIMIT = 100
"""How many items the provider gives in one page."""

ENDS = frozenset({"response.completed", "response.incomplete"})
"""The ends of a response's stream that leave a response."""

FAILURES = frozenset({"response.failed", "error"})
"""Those that tell why there is none."""


class ConversationLockedError(TurnBusyError):
    """Another process is working on this conversation at the provider."""


class Provider(ABC):
    """Hosts conversations. Every call may raise a `GatewayError`, whose `in_doubt` says that it may have had effect."""

    name: str

    @abstractmethod
    def create_conversation(self, *, metadata: Mapping[str, str], items: Sequence[JSON] = ()) -> JSON:
        """A new conversation object; at most `ITEMS_A_CALL` items."""

    @abstractmethod
    def retrieve_conversation(self, conversation_id: str) -> JSON:
        """The conversation object, or `ConversationGoneError`."""

    @abstractmethod
    def update_conversation(self, conversation_id: str, *, metadata: Mapping[str, str]) -> JSON:
        """The conversation object with this metadata."""

    @abstractmethod
    def delete_conversation(self, conversation_id: str) -> None:
        """Deletes the conversation, not its items. `ConversationGoneError` when there is none."""

    @abstractmethod
    def list_items(
        self,
        conversation_id: str,
        *,
        limit: int = 20,
        order: str = "desc",
        after: str | None = None,
        include: Sequence[str] = (),
    ) -> JSON:
        """One page in the list envelope: `data`, `first_id`, `last_id`, `has_more`."""

    @abstractmethod
    def add_items(self, conversation_id: str, items: Sequence[JSON], *, include: Sequence[str] = ()) -> JSON:
        """Adds at most `ITEMS_A_CALL` items; the list envelope of just these."""

    @abstractmethod
    def retrieve_item(self, conversation_id: str, item_id: str, *, include: Sequence[str] = ()) -> JSON:
        """One item, or `NotFoundError`."""

    @abstractmethod
    def delete_item(self, conversation_id: str, item_id: str) -> JSON:
        """Removes one item; answers with the conversation object."""

    @abstractmethod
    def create_response(self, body: Mapping[str, Any], *, began: Callable[[str], None] | None = None) -> JSON:
        """One response, run to its end however long it takes. `body` is the body of POST /responses without `stream`.
        `began` is told the response's id if the end is not there at once."""

    @abstractmethod
    def stream_response(self, body: Mapping[str, Any]) -> Events:
        """The same, event by event. Refusals are raised before the first event; closing the iterator hangs up."""

    @abstractmethod
    def retrieve_response(self, response_id: str, *, include: Sequence[str] = ()) -> JSON:
        """A stored response, or `NotFoundError`."""

    @abstractmethod
    def delete_response(self, response_id: str) -> None:
        """Deletes a stored response, or `NotFoundError`."""

    @abstractmethod
    def list_models(self) -> JSON:
        """The list envelope of the models."""

    @abstractmethod
    def check(self) -> None:
        """Raises when the provider cannot be used as configured; cheap enough for a readiness probe."""

    @abstractmethod
    def close(self) -> None:
        """Gives back what is held."""


def all_items(
    provider: Provider, conversation_id: str, *, order: str = "asc", after: str | None = None
) -> Iterator[JSON]:
    """Every item of a conversation, a page in memory at a time."""
    while True:
        page = provider.list_items(conversation_id, limit=PAGE_LIMIT, order=order, after=after)
        yield from page["data"]
        if not page.get("has_more") or not page["data"]:
            return
        after = page["data"][-1]["id"]


# --- From a provider's answer to an error of ours ----------------------------------------------------------


def error_from_answer(
    status: int, error: Mapping[str, Any], headers: Mapping[str, str] | None = None, *, own: bool = True
) -> GatewayError:
    """What the caller is told when the provider answered `status` with this error object.

    Upstream's code and request id are kept; a message is passed on only where it speaks about the client's own input.
    `own`: whether that is the provider's own error object. What answers 429 or 503 without one may be a proxy that lost
    the request after it had passed it on.
    """
    headers = headers or {}
    message = str(error.get("message") or "")
    code = error.get("code")
    param = error.get("param") if isinstance(error.get("param"), str) else None
    details = {"provider_status": status, "provider_code": code}
    known: dict[str, Any] = {
        "details": details,
        "upstream_request_id": headers.get("x-request-id"),
    }
    if code == "conversation_locked":
        return ConversationLockedError(retry_after=retry_delay(headers, message) or 1, **known)
    if code == "context_length_exceeded":
        return ContextLengthExceededError(message or None, param=param, **known)
    if code == "insufficient_quota":
        return InsufficientQuotaError(**known)
    if code == "conversation_gone" or (status == 404 and message.startswith("Conversation with id")):
        return ConversationGoneError(**known)
    if code == "tool_output_missing" or message.startswith("No tool output found for function call"):
        return ToolOutputMissingError(message, **known)
    if code == "turn_busy":
        return ConversationLockedError(retry_after=retry_delay(headers, message) or 1, **known)
    if status == 404 and param == "after":
        return InvalidRequestError(message, param="after", **known)
    if status == 404 and code != "model_not_found":
        return NotFoundError(message or None, **known)
    if status == 429:
        delay = retry_delay(headers, message) or 1
        return ProviderRateLimitedError(retry_after=delay, in_doubt=not own, **known)
    if status in (401, 403):
        # Our own key: the client can do nothing about it, and learns nothing of it.
        return ProviderError("The provider did not accept the gateway's own credentials.", **known)
    if status == 503:
        delay = retry_delay(headers, message) or 1
        return ProviderUnavailableError(retry_after=delay, in_doubt=not own, **known)
    if status == 408:
        return ProviderTimeoutError(in_doubt=True, **known)
    if status >= 500 or status < 400:
        return ProviderError(in_doubt=True, **known)
    return ProviderRejectedError(message or None, param=param, **known)


def error_from_event(event: StreamEvent) -> GatewayError:
    """What the caller is told when a stream ends with this one of `FAILURES`. The provider says that it failed, so that
    nothing of it is in the conversation; a gateway in its place also says where it does not know."""
    told = event.json()
    if event.type == "response.failed":
        response = told.get("response")
        if not isinstance(response, dict):
            raise UnreadableAnswerError()
        return error_of_response(response)
    failure = _failure(told)
    failure.in_doubt = told.get("in_doubt") is True
    return failure


def error_of_response(response: JSON) -> GatewayError:
    """The same of a response whose status is `failed`."""
    error = response.get("error")
    return _failure(error if isinstance(error, dict) else {})


def _failure(error: Mapping[str, Any]) -> GatewayError:
    code = error.get("code")
    status = {"rate_limit_exceeded": 429, "invalid_prompt": 400, "content_filter": 400}.get(str(code), 500)
    failure = error_from_answer(status, error)
    failure.in_doubt = False
    return failure


_DELAY = re.compile(r"try again in ((?:\d+(?:\.\d+)?(?:ms|h|m|s))+)", re.IGNORECASE)
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def retry_delay(headers: Mapping[str, str], message: str) -> float | None:
    """The seconds that the provider asked us to wait: by header, or else by the words of its message."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        with suppress(KeyError, ValueError):
            seconds = float(headers[name]) * unit
            if math.isfinite(seconds):
                return max(0.0, seconds)
    if found := _DELAY.search(message):
        seconds = sum(float(number) * _SECONDS[unit.lower()] for number, unit in _PART.findall(found[1]))
        return seconds if math.isfinite(seconds) else None
    return None
