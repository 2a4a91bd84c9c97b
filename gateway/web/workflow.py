"""POST /workflow and POST /workflow/NAME: one turn, in JSON or as a stream."""

from __future__ import annotations

import re

from flask import Blueprint, Response, request

from gateway.errors import InvalidRequestError
from gateway.model import JSON, TurnRequest, new_session_id, parse_session_id
from gateway.reply import reply_of
from gateway.web import fields, query
from gateway.web.access import own_namespace, owner
from gateway.web.api import bodies
from gateway.web.limits import take_place
from gateway.web.posted_items import parse_items
from gateway.web.requests import gateway, json_reply, parse_body, readers
from gateway.web.sse import event_stream

blueprint = Blueprint("workflow", __name__)


@blueprint.post("/workflow")
@blueprint.post("/workflow/<name>")
def run(name: str = "") -> Response:
    query.parse_query()
    turn = parse_turn(parse_body(), name)
    events = take_place().during(gateway().stream_turn(own_namespace(), turn))
    return event_stream(readers().start(events)) if turn.stream else json_reply(reply_of(events).as_dict())


def parse_turn(body: JSON, workflow: str = "") -> TurnRequest:
    """The turn that this body (and the request's headers) ask for."""
    fields.only(body, bodies.Workflow)
    session_id = parse_session_id(body["session_id"]) if "session_id" in body else new_session_id()
    return TurnRequest(
        input=_parse_input(body, session_id),
        session_id=session_id,
        workflow=workflow,
        wait=fields.choice(body, "on_busy", ("wait", "reject")) == "wait",
        restart=fields.choice(body, "on_lost", ("error", "restart")) == "restart",
        user_id=owner(fields.optional_text(body, "user_id")),
        metadata=fields.optional_metadata(body),
        data=fields.optional_object(body, "data"),
        stream=fields.flag(body, "stream", False) or "text/event-stream" in request.headers.get("Accept", ""),
        idempotency_key=parse_idempotency_key(request.headers.get("Idempotency-Key")),
        body={**body, "workflow": workflow},
    )


def parse_idempotency_key(value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"[\x21-\x7e]{1,255}", value):
        raise InvalidRequestError("An Idempotency-Key has 1 to 255 visible characters.", param="Idempotency-Key")
    return value


def _parse_input(body: JSON, session_id: str) -> str | list[JSON]:
    if ("input" in body) == ("input_as_text" in body):
        raise InvalidRequestError("Exactly one of input_as_text and input is needed.", param="input_as_text")
    name = "input" if "input" in body else "input_as_text"
    value = body[name]
    if name == "input" and isinstance(value, list):
        return parse_items(value, name, session_id)
    if not isinstance(value, str) or not value:
        raise InvalidRequestError(f"{name} must be a text that is not empty.", param=name)
    return value
