"""The built-in workflow: one response in the session's conversation."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.workflows.base import Workflow, WorkflowTurn


class RespondWorkflow(Workflow):
    """Passes the input on with the model, instructions, tools and truncation of the settings."""

    def run(self, turn: WorkflowTurn) -> Iterator[str]:
        # Without an `Answer`, which keeps all of its words.
        yield from turn.conversation.respond(turn.request())
