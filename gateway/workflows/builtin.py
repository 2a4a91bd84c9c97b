"""The workflows of the gateway's own: the built-in one, and what /v1 runs as a turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from gateway.events import StreamEvent
from gateway.workflows.base import Workflow, WorkflowTurn

PASSED_THROUGH = "/v1/responses"
"""The name of /v1's in the records: no setting can give one a name like this."""


class RespondWorkflow(Workflow):
    """One response in the session's conversation: passes the input on with the model, instructions, tools and
    truncation of the settings."""

    def run(self, turn: WorkflowTurn) -> Iterator[str]:
        # Without an `Answer`, which keeps all of its words.
        yield from turn.conversation.respond(turn.request())


class PassThroughWorkflow(Workflow):
    """Passes on a body of POST /responses, and gives the provider's own events.

    Before the turn fails it gives the one that says how the response failed, if the provider told that in a stream that
    the client wanted, or in a plain 200.
    """

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = body
        self.replayable = body.get("store") is not False

    def run(self, turn: WorkflowTurn) -> Iterator[str | StreamEvent]:
        conversation = turn.conversation
        if conversation.stream:
            yield from conversation.events(self._body, failures=self._body.get("stream") is True)
            return
        response = conversation.ask(self._body)
        if response.get("status") == "failed":
            yield StreamEvent("response.failed", orjson.dumps({"type": "response.failed", "response": response}))
        conversation.keep(response)
