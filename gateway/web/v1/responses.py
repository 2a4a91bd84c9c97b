"""POST /v1/responses: a turn of the session that `conversation` names, or a plain response without one; and what is
stored of either."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from typing import Any

from flask import Blueprint, Response, request

from gateway.errors import (
    GatewayError,
    IdempotencyUnsupportedError,
    InvalidRequestError,
    ProviderError,
    ProviderRejectedError,
    StoreUnavailableError,
)
from gateway.model import JSON, Done, Held, SessionKey, StreamEvent, TurnEvent, TurnRequest
from gateway.providers.base import ENDS, FAILURES, error_from_event
from gateway.providers.shapes import response_of
from gateway.sockets import Presence
from gateway.turn import Gateway
from gateway.web import account_ids, wall
from gateway.web.access import own_namespace, owner
from gateway.web.limits import take_place
from gateway.web.requests import gateway, json_reply, parse_body, readers
from gateway.web.v1.asked import header_choice, is_blind_retry, parse_query
from gateway.web.v1.naming import Names, speak_of
from gateway.web.v1.streams import event_stream
from gateway.web.workflow import parse_idempotency_key
from gateway.workflows.passing import PASSED_THROUGH, PassThroughWorkflow

blueprint = Blueprint("responses", __name__)

_SAID = frozenset(
    {
        *("id", "object", "created_at", "completed_at", "status", "error", "incomplete_details", "model", "output"),
        *("conversation", "usage"),
    }
)
"""What is shown of a response that a workflow of the operator's asked for: what was said, nothing of the settings."""


@blueprint.post("/responses")
def create() -> Response:
    parse_query()
    body = parse_body()
    if body.get("stream") not in (None, True, False):
        raise InvalidRequestError("stream must be true or false.", param="stream")
    for name, value in body.items():
        account_ids.check_ids(value, name)
    session_id = wall.parse_conversation(body)
    if session_id is None:
        return _answer_alone(body)
    return _answer_in_session(body, session_id)


@blueprint.get("/responses/<response_id>")
def retrieve(response_id: str) -> Response:
    _, include = parse_query(("include",))
    owner = wall.own_response(response_id)
    names = speak_of(owner.session_id, owner.conversation_id)
    found = wall.found_or(
        wall.response_not_found(response_id),
        lambda: gateway().provider.retrieve_response(response_id, include=include),
    )
    # One that was answered in the background has its items only now.
    wall.give(gateway(), own_namespace(), _ids_given(found))
    if owner.workflow not in (None, PASSED_THROUGH):
        found = {name: value for name, value in found.items() if name in _SAID}
    return json_reply(names.response(found))


@blueprint.delete("/responses/<response_id>")
def delete(response_id: str) -> Response:
    parse_query()
    owner = wall.own_response(response_id)
    speak_of(owner.session_id, owner.conversation_id)
    missing = wall.response_not_found(response_id)
    wall.found_or(missing, lambda: gateway().provider.delete_response(response_id))
    return json_reply({"id": response_id, "object": "response", "deleted": True})


@blueprint.get("/models")
def models() -> Response:
    return json_reply(gateway().provider.list_models())


# --- In a session ------------------------------------------------------------------------------------------


def _answer_in_session(body: JSON, session_id: str) -> Response:
    turn = _parse_turn(body, session_id)
    # Looking at what it names may take long, too.
    place = take_place()
    wall.writable_key(session_id, restart=turn.restart)
    wall.check_in_session(session_id, wall.ids_in(body.get("input"), "input"), "input")
    names = speak_of(session_id)
    # A server that does not show its socket cannot tell whether the client is there.
    presence = Presence(request.environ.get("gunicorn.socket") or request.environ.get("werkzeug.socket"))
    workflow = PassThroughWorkflow(body)
    events = place.during(gateway().stream_turn(own_namespace(), turn, workflow=workflow, left=presence.has_closed))
    events = _giving(gateway(), own_namespace(), events)
    if not turn.stream:
        return json_reply(names.response(_last_response(events, names)))
    key, sessions = SessionKey(own_namespace(), session_id), gateway().sessions

    def left(held: Held | None) -> None:
        presence.leave()
        # The turn may have ended before this was seen; while it runs it asks for itself.
        with suppress(StoreUnavailableError):
            if held is not None and (record := sessions.turn_record(key, held.turn_id)):
                sessions.mark_undelivered(record)

    return event_stream(readers().start(events), names, left)


def _giving(gateway: Gateway, tenant: str, events: Iterator[TurnEvent]) -> Iterator[TurnEvent]:
    """The same, and the reply's items are the caller's from then on."""
    for event in events:
        if isinstance(event, Done):
            # The turn is recorded: nothing that fails now may make a failure of it.
            with suppress(StoreUnavailableError):
                wall.give(gateway, tenant, _ids_given(event.response))
        yield event


def _ids_given(response: Mapping[str, Any]) -> list[str]:
    """What the caller may name again: the items of the output, and what they name."""
    output = response.get("output") or ()
    return [*(item["id"] for item in output if item.get("id")), *account_ids.ids_given(output)]


def _parse_turn(body: JSON, session_id: str) -> TurnRequest:
    if body.get("background"):
        raise InvalidRequestError(
            "background cannot be combined with conversation: a session's turns run one after the other.",
            param="background",
        )
    if body.get("previous_response_id") is not None:
        raise InvalidRequestError(
            "previous_response_id and conversation cannot be combined: a conversation knows what was said before.",
            param="previous_response_id",
        )
    idempotency_key = parse_idempotency_key(request.headers.get("Idempotency-Key"))
    if idempotency_key is not None and body.get("store") is False:
        raise IdempotencyUnsupportedError(
            "With store: false no stored response could be given again, so an Idempotency-Key can promise nothing.",
            param="Idempotency-Key",
        )
    return TurnRequest(
        input="",
        session_id=session_id,
        workflow=PASSED_THROUGH,
        user_id=owner(),
        wait=header_choice("X-On-Busy", ("wait", "reject")) == "wait",
        restart=header_choice("X-On-Lost", ("error", "restart")) == "restart",
        stream=body.get("stream") is True,
        idempotency_key=idempotency_key,
        blind_retry=is_blind_retry(),
        body={"/v1/responses": body},
    )


def _last_response(events: Iterator[TurnEvent], names: Names) -> JSON:
    """What the turn came to: its response, also one that the provider says has failed."""
    failed: JSON | None = None
    try:
        for event in events:
            if isinstance(event, Held):
                names.learn(event.conversation_id)
            elif isinstance(event, StreamEvent) and event.type == "response.failed":
                failed = response_of(event)
            elif isinstance(event, Done):
                return dict(event.response)
    except GatewayError:
        if failed is None:
            raise
    assert failed is not None, "a turn ended without an end"
    return failed


# --- Without a session -------------------------------------------------------------------------------------


def _answer_alone(body: JSON) -> Response:
    """A plain response. Whose it is is remembered, so that its owner can go on from it, and nobody else."""
    if request.headers.get("Idempotency-Key") is not None:
        raise IdempotencyUnsupportedError(
            "Without conversation no turn is recorded, so an Idempotency-Key can promise nothing.",
            param="Idempotency-Key",
        )
    place = take_place()
    if body.get("previous_response_id") is not None:
        wall.check_previous(body["previous_response_id"])
    wall.check_given(wall.ids_in(body.get("input"), "input"), "input")
    body = {name: value for name, value in body.items() if name != "conversation"}
    names = speak_of(None)
    if body.get("stream") is True:
        reading = readers().start(place.during(_alone(gateway(), own_namespace(), body)))
        return event_stream(reading, names, lambda held: None)
    try:
        response = gateway().provider.create_response(body)
    except ProviderRejectedError as exc:
        raise _previous_is_gone(exc, body) from exc
    _remember(gateway(), own_namespace(), response)
    return json_reply(response)


def _alone(gateway: Gateway, tenant: str, body: JSON) -> Iterator[TurnEvent]:
    try:
        with closing(gateway.provider.stream_response(body)) as events:
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
        raise _previous_is_gone(exc, body) from exc
    raise ProviderError("The provider's stream broke off.", in_doubt=True)


def _remember(gateway: Gateway, tenant: str, response: JSON) -> None:
    try:
        gateway.sessions.remember(tenant, [response["id"], *_ids_given(response)])
    except StoreUnavailableError as exc:
        # The response was given, so that it must not be asked for again.
        exc.in_doubt = True
        raise


def _previous_is_gone(error: ProviderRejectedError, body: JSON) -> GatewayError:
    """A response of the caller's own that the provider no longer has reads as one that never was."""
    if error.details.get("provider_code") == "previous_response_not_found":
        return wall.previous_not_found(str(body.get("previous_response_id")))
    return error
