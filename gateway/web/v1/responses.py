"""POST /v1/responses: a turn of the session that `conversation` names, or a plain response without one; and what is
stored of either."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from flask import Blueprint, Response

from gateway.errors import (
    GatewayError,
    IdempotencyUnsupportedError,
    ProviderError,
    ProviderRejectedError,
    StoreUnavailableError,
)
from gateway.events import TurnEvent
from gateway.model import JSON
from gateway.providers.base import ENDS, FAILURES, error_from_event
from gateway.providers.shapes import response_of
from gateway.turn import Gateway
from gateway.web import account_ids, wall
from gateway.web.access import own_namespace
from gateway.web.bodies import CreateResponse
from gateway.web.limits import take_slot
from gateway.web.openai_objects import DeletedResponse
from gateway.web.queries import IncludeQuery, ResponseHeaders
from gateway.web.reference import v1 as routes
from gateway.web.requests import application, gateway, json_reply
from gateway.web.routes import serve
from gateway.web.v1.names import speak_of
from gateway.web.v1.session_turn import SessionTurn
from gateway.web.v1.streams import event_stream
from gateway.workflows.builtin import PASSED_THROUGH

blueprint = Blueprint("responses", __name__)

_SAID = frozenset(
    {
        *("id", "object", "created_at", "completed_at", "status", "error", "incomplete_details", "model", "output"),
        *("conversation", "usage"),
    }
)
"""What is shown of a response that a workflow of the operator's asked for: what was said, nothing of the settings."""


@serve(blueprint, routes.CREATE_RESPONSE)
def create(headers: ResponseHeaders, body: CreateResponse, posted: JSON) -> Response:
    for name, value in posted.items():
        account_ids.check_ids(value, name)
    if body.session_id is None:
        return _answer_alone(headers, body, posted)
    turn = SessionTurn(headers, body, posted, body.session_id)
    if not body.stream:
        return json_reply(turn.response())
    return event_stream(application().readers.start(turn.events()), turn.names, turn.left)


@serve(blueprint, routes.RETRIEVE_RESPONSE)
def retrieve(response_id: str, query: IncludeQuery) -> Response:
    owner = wall.own_response(response_id)
    names = speak_of(owner.session_id, owner.conversation_id)
    found = wall.found_or(
        wall.response_not_found(response_id),
        lambda: gateway().provider.retrieve_response(response_id, include=query.include),
    )
    # One that was answered in the background has its items only now.
    wall.give(gateway(), own_namespace(), wall.ids_given_in(found))
    if owner.workflow not in (None, PASSED_THROUGH):
        found = {name: value for name, value in found.items() if name in _SAID}
    return json_reply(names.response(found))


@serve(blueprint, routes.DELETE_RESPONSE)
def delete(response_id: str) -> Response:
    owner = wall.own_response(response_id)
    speak_of(owner.session_id, owner.conversation_id)
    missing = wall.response_not_found(response_id)
    wall.found_or(missing, lambda: gateway().provider.delete_response(response_id))
    return json_reply(DeletedResponse(id=response_id, object="response", deleted=True))


@serve(blueprint, routes.LIST_MODELS)
def models() -> Response:
    return json_reply(gateway().provider.list_models())


# --- Without a session -------------------------------------------------------------------------------------


def _answer_alone(headers: ResponseHeaders, body: CreateResponse, posted: JSON) -> Response:
    """A plain response. Whose it is is remembered, so that its owner can go on from it, and nobody else."""
    if headers.idempotency_key is not None:
        raise IdempotencyUnsupportedError(
            "Without conversation no turn is recorded, so an Idempotency-Key can promise nothing.",
            param="Idempotency-Key",
        )
    slot = take_slot()
    if body.previous_response_id is not None:
        wall.check_previous(body.previous_response_id)
    wall.check_given(wall.ids_in(body.input, "input"), "input")
    parameters = {name: value for name, value in posted.items() if name != "conversation"}
    names = speak_of(None)
    if body.stream:
        reading = application().readers.start(slot.counted(_alone(gateway(), own_namespace(), parameters)))
        return event_stream(reading, names, lambda held: None)
    try:
        response = gateway().provider.create_response(parameters)
    except ProviderRejectedError as exc:
        raise _previous_is_gone(exc, parameters) from exc
    _remember(gateway(), own_namespace(), response)
    return json_reply(response)


def _alone(gateway: Gateway, tenant: str, parameters: JSON) -> Iterator[TurnEvent]:
    try:
        with closing(gateway.provider.stream_response(parameters)) as events:
            for event in events:
                if event.type == "response.created" or event.type in ENDS:
                    _remember(gateway, tenant, response_of(event))
                elif event.type in FAILURES:
                    # One that cannot be read says nothing.
                    error_from_event(event)
                yield event
                if event.type in ENDS or event.type in FAILURES:
                    return
    except ProviderRejectedError as exc:
        raise _previous_is_gone(exc, parameters) from exc
    raise ProviderError("The provider's stream broke off.", in_doubt=True)


def _remember(gateway: Gateway, tenant: str, response: JSON) -> None:
    try:
        gateway.sessions.remember(tenant, [response["id"], *wall.ids_given_in(response)])
    except StoreUnavailableError as exc:
        # The response was given, so that it must not be asked for again.
        exc.in_doubt = True
        raise


def _previous_is_gone(error: ProviderRejectedError, parameters: JSON) -> GatewayError:
    """A response of the caller's own that the provider no longer has reads as one that never was."""
    if error.details.get("provider_code") == "previous_response_not_found":
        return wall.previous_not_found(str(parameters.get("previous_response_id")))
    return error
