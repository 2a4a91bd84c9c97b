"""The service as its wire has it: bodies and parameters in, plain JSON objects or `WireError`s out."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

from gateway.errors import ConfigurationError
from gateway.providers.base import StreamEvent
from gateway.providers.local.chat_model import ChatModel
from gateway.providers.local.checks import (
    check_json,
    parse_conversation_id,
    parse_limit,
    parse_metadata,
    parse_order,
    parse_posted_items,
)
from gateway.providers.local.database import ConversationDatabase
from gateway.providers.local.demo import DemoModel
from gateway.providers.local.events import EventWriter
from gateway.providers.local.items import parse_item
from gateway.providers.local.keeper import Keeper
from gateway.providers.local.log import ConversationLog, Run
from gateway.providers.local.models import Model, ModelRequest
from gateway.providers.local.request import parse_request
from gateway.providers.local.responses_model import ResponsesModel
from gateway.providers.local.wire import (
    JSON,
    WireError,
    cursor_not_found,
    is_id,
    item_not_found,
    missing_parameter,
    response_not_found,
    server_error,
)

_log = logging.getLogger(__name__)

# What a response's object says about its payer, but the events of a stream do not.
_BILLING = {"billing": {"payer": "developer"}}
# How a response that failed on the way answers a caller who did not stream it.
_STATUS_OF_CODE = {"rate_limit_exceeded": 429, "insufficient_quota": 429, "context_length_exceeded": 400}


class LocalService:
    """Thread-safe; any number of processes and hosts may work on one database."""

    def __init__(
        self,
        database: str,
        *,
        model_url: str | None,
        model_api: str,
        timeout_seconds: float,
        default_model: str,
        lease_seconds: float,
    ) -> None:
        self._default_model = default_model
        self._model = open_model(model_url, model_api, timeout_seconds=timeout_seconds, default_model=default_model)
        self._log = ConversationLog(ConversationDatabase(database), lease_seconds=lease_seconds)
        self._keeper = Keeper(self._log.renew, interval_seconds=lease_seconds / 3)

    # --- Conversations and items ---------------------------------------------------------------------------

    def create_conversation(self, body: Mapping[str, Any]) -> JSON:
        check_json(body)
        posted = parse_posted_items(body.get("items") or [])
        return self._log.create_conversation(parse_metadata(body.get("metadata")), _parse_items(posted))

    def retrieve_conversation(self, conversation_id: str) -> JSON:
        return self._log.retrieve_conversation(parse_conversation_id(conversation_id))

    def update_conversation(self, conversation_id: str, body: Mapping[str, Any]) -> JSON:
        check_json(body)
        if "metadata" not in body:
            raise missing_parameter("metadata")
        return self._log.update_conversation(parse_conversation_id(conversation_id), parse_metadata(body["metadata"]))

    def delete_conversation(self, conversation_id: str) -> JSON:
        self._log.delete_conversation(parse_conversation_id(conversation_id))
        self._scrub_later()
        return {"id": conversation_id, "object": "conversation.deleted", "deleted": True}

    def list_items(
        self, conversation_id: str, *, limit: Any = 20, order: str = "desc", after: str | None = None
    ) -> JSON:
        if after is not None and not is_id(after):
            raise cursor_not_found(after)
        return self._log.list_items(
            parse_conversation_id(conversation_id), limit=parse_limit(limit), order=parse_order(order), after=after
        )

    def add_items(self, conversation_id: str, body: Mapping[str, Any]) -> JSON:
        check_json(body)
        posted = parse_posted_items(body.get("items"))
        return self._log.add_items(parse_conversation_id(conversation_id), _parse_items(posted))

    def retrieve_item(self, conversation_id: str, item_id: str) -> JSON:
        return self._log.retrieve_item(parse_conversation_id(conversation_id), _item_id(item_id))

    def delete_item(self, conversation_id: str, item_id: str) -> JSON:
        conversation = self._log.delete_item(parse_conversation_id(conversation_id), _item_id(item_id))
        self._scrub_later()
        return conversation

    # --- Responses -----------------------------------------------------------------------------------------

    def create_response(self, body: Mapping[str, Any]) -> JSON:
        """The stream's own way, walked to its end."""
        return fold_response(self.stream_response(body))

    def stream_response(self, body: Mapping[str, Any]) -> Generator[StreamEvent, None, None]:
        """One response. Its turn joins the conversation before the last event is given; closing early loses it."""
        check_json(body)
        request = parse_request(body, default_model=self._default_model)
        run = self._log.begin(request)
        writer = EventWriter(run.response)
        opened = settled = False
        try:
            with self._keeper.holding(run.response_id):
                asked = ModelRequest(request.model, [*run.history, *run.posted], body)
                with _model_errors():
                    started = self._model.start(asked)
                with closing(started) as pieces:
                    opened = True
                    yield from writer.opening()
                    try:
                        with _model_errors():
                            for piece in pieces:
                                yield from writer.feed(piece)
                            ending = writer.complete()
                    except WireError as error:
                        ending = writer.fail(error)
                settled = True
                if not self._log.finish(run, writer.response):
                    lost = "The response took too long to be renewed and lost its conversation."
                    ending = writer.fail(server_error(lost))
        finally:
            if not settled:
                self._abandon(run, writer if opened else None)
        yield ending

    def retrieve_response(self, response_id: str) -> JSON:
        return self._log.retrieve_response(_response_id(response_id)) | _BILLING

    def delete_response(self, response_id: str) -> JSON:
        self._log.delete_response(_response_id(response_id))
        self._scrub_later()
        return {"id": response_id, "object": "response", "deleted": True}

    # --- The rest ------------------------------------------------------------------------------------------

    def list_models(self) -> JSON:
        with _model_errors():
            return {"object": "list", "data": self._model.list_models()}

    def check(self) -> None:
        self._log.check()
        with _model_errors():
            self._model.check()

    def close(self) -> None:
        self._keeper.close()
        self._model.close()
        self._log.close()

    def _abandon(self, run: Run, writer: EventWriter | None) -> None:
        """Ends a response that its caller or its model left: cancelled, or as if it had never been asked for."""
        try:
            if writer is not None:
                writer.cancel()
                self._log.finish(run, writer.response)
            else:
                self._log.release(run)
        except WireError:
            # Its lease runs out by itself, and what made us abandon it matters more.
            _log.warning("An abandoned response could not be ended.", exc_info=True)

    def _scrub_later(self) -> None:
        """The keeper goes on trying while a reader keeps erased text in the database's files."""
        if self._log.scrub_is_owed:
            self._keeper.wake()


@contextmanager
def _model_errors() -> Iterator[None]:
    """Whatever a model raises reads as an error of the service's: nobody knows what a server may answer."""
    try:
        yield
    except WireError:
        raise
    except Exception as exc:
        _log.warning("The model's answer could not be read.", exc_info=True)
        raise server_error("The model's answer could not be read.") from exc


def fold_response(events: Iterator[StreamEvent]) -> JSON:
    """What a caller gets who did not want the events: the response, or the error that it failed with."""
    *_, last = events
    response: JSON = last.json()["response"]
    if response["status"] == "failed":
        error = response["error"]
        status = _STATUS_OF_CODE.get(error["code"], 500)
        kind = "server_error" if status == 500 else "invalid_request_error"
        raise WireError(status, error["message"], code=error["code"], type=kind)
    return response | _BILLING


def _item_id(text: str) -> str:
    if not is_id(text):
        raise item_not_found(text)
    return text


def _response_id(text: str) -> str:
    if not is_id(text):
        raise response_not_found(text)
    return text


def _parse_items(posted: list[Any]) -> list[JSON]:
    return [parse_item(item, f"items[{index}]") for index, item in enumerate(posted)]


def open_model(url: str | None, api: str, *, timeout_seconds: float, default_model: str) -> Model:
    """The server at `url`, spoken to in `api`; without one the built-in demo."""
    if url is None:
        return DemoModel(default_model)
    if api == "responses":
        return ResponsesModel(url, timeout_seconds=timeout_seconds)
    if api == "chat":
        return ChatModel(url, timeout_seconds=timeout_seconds)
    raise ConfigurationError(f"The local provider's model API is 'responses' or 'chat', not {api!r}.")
