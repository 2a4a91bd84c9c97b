"""POST /workflow and POST /workflow/NAME: one turn, in JSON or as a stream."""

from __future__ import annotations

from flask import Blueprint, Response, request

from gateway.model import JSON, TurnRequest
from gateway.web.access import own_namespace, owner
from gateway.web.bodies import Workflow
from gateway.web.limits import take_slot
from gateway.web.posted_items import parse_items
from gateway.web.queries import TurnHeaders
from gateway.web.reference import turns as routes
from gateway.web.requests import application, gateway, json_reply
from gateway.web.routes import serve
from gateway.web.sse import event_stream
from gateway.workflows.responses import reply_of

blueprint = Blueprint("workflow", __name__)


@serve(blueprint, routes.RUN_WORKFLOW)
def run(headers: TurnHeaders, body: Workflow, posted: JSON, name: str = "") -> Response:
    turn = turn_request(headers, body, posted, name)
    events = take_slot().counted(gateway().stream_turn(own_namespace(), turn))
    return event_stream(application().readers.start(events)) if turn.stream else json_reply(reply_of(events).as_dict())


def turn_request(headers: TurnHeaders, body: Workflow, posted: JSON, workflow: str) -> TurnRequest:
    """The turn that is asked for."""
    return TurnRequest(
        input=_input_of(body),
        session_id=body.session_id,
        workflow=workflow,
        wait=body.on_busy == "wait",
        restart=body.on_lost == "restart",
        user_id=owner(body.user_id),
        metadata=body.metadata,
        data=body.data,
        stream=body.stream or "text/event-stream" in request.environ.get("HTTP_ACCEPT", ""),
        idempotency_key=headers.idempotency_key,
        body={**posted, "workflow": workflow},
    )


def _input_of(body: Workflow) -> str | list[JSON]:
    if isinstance(body.input, list):
        return parse_items(body.input, "input", body.session_id)
    return body.text
