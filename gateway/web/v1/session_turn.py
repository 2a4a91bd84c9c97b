"""One turn of a session, as POST /v1/responses asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from flask import request

from gateway.errors import GatewayError, IdempotencyUnsupportedError, InvalidRequestError, StoreUnavailableError
from gateway.events import Done, Held, StreamEvent, TurnEvent
from gateway.model import JSON, SessionKey, TurnRequest
from gateway.providers.shapes import response_of
from gateway.sockets import Presence
from gateway.web import wall
from gateway.web.access import own_namespace, owner
from gateway.web.bodies import CreateResponse
from gateway.web.limits import take_slot
from gateway.web.queries import ResponseHeaders
from gateway.web.requests import gateway
from gateway.web.v1.names import speak_of
from gateway.workflows.builtin import PASSED_THROUGH, PassThroughWorkflow


class SessionTurn:
    """Checked when it is made: all that it names is the caller's own. What it needs of the request it takes then,
    for its events may be read when the request is over."""

    def __init__(self, headers: ResponseHeaders, body: CreateResponse, posted: JSON, session_id: str) -> None:
        turn = turn_request(headers, body, posted, session_id)
        # Looking at what it names may take long, too.
        slot = take_slot()
        wall.writable_key(session_id, restart=turn.restart)
        wall.check_in_session(session_id, wall.ids_in(body.input, "input"), "input")
        self.names = speak_of(session_id)
        self._gateway = gateway()
        self._key = SessionKey(own_namespace(), session_id)
        # A server that does not show its socket cannot tell whether the client is there.
        self._presence = Presence(request.environ.get("gunicorn.socket") or request.environ.get("werkzeug.socket"))
        workflow = PassThroughWorkflow(posted)
        events = self._gateway.stream_turn(self._key.tenant, turn, workflow=workflow, left=self._presence.has_closed)
        self._events = slot.counted(events)

    def events(self) -> Iterator[TurnEvent]:
        """The turn's events. The reply's items are the caller's once it is there."""
        for event in self._events:
            if isinstance(event, Done):
                # The turn is recorded: nothing that fails now may make a failure of it.
                with suppress(StoreUnavailableError):
                    wall.give(self._gateway, self._key.tenant, wall.ids_given_in(event.response))
            yield event

    def response(self) -> JSON:
        """What the turn comes to: its response, also one that the provider says has failed."""
        failed: JSON | None = None
        try:
            for event in self.events():
                if isinstance(event, Held):
                    self.names.learn(event.conversation_id)
                elif isinstance(event, StreamEvent) and event.type == "response.failed":
                    failed = response_of(event)
                elif isinstance(event, Done):
                    return self.names.response(dict(event.response))
        except GatewayError:
            if failed is None:
                raise
        assert failed is not None, "a turn ended without an end"
        return self.names.response(failed)

    def left(self, held: Held | None) -> None:
        """The client is gone."""
        self._presence.leave()
        sessions = self._gateway.sessions
        # The turn may have ended before this was seen; while it runs it asks for itself.
        with suppress(StoreUnavailableError):
            if held is not None and (record := sessions.turn_record(self._key, held.turn_id)):
                sessions.mark_undelivered(record)


def turn_request(headers: ResponseHeaders, body: CreateResponse, posted: JSON, session_id: str) -> TurnRequest:
    """The turn that is asked for, if a session can have it."""
    if body.background:
        raise InvalidRequestError(
            "background cannot be combined with conversation: a session's turns run one after the other.",
            param="background",
        )
    if body.previous_response_id is not None:
        raise InvalidRequestError(
            "previous_response_id and conversation cannot be combined: a conversation knows what was said before.",
            param="previous_response_id",
        )
    if headers.idempotency_key is not None and body.store is False:
        raise IdempotencyUnsupportedError(
            "With store: false no stored response could be given again, so an Idempotency-Key can promise nothing.",
            param="Idempotency-Key",
        )
    return TurnRequest(
        input="",
        session_id=session_id,
        workflow=PASSED_THROUGH,
        user_id=owner(),
        wait=headers.on_busy == "wait",
        restart=headers.on_lost == "restart",
        stream=body.stream is True,
        idempotency_key=headers.idempotency_key,
        blind_retry=_is_blind_retry(),
        body={"/v1/responses": posted},
    )


def _is_blind_retry() -> bool:
    """Whether the client's library says that it sends this again by itself."""
    return request.headers.get("x-stainless-retry-count", "0") not in ("", "0")
