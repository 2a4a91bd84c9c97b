"""What a turn does with the provider: the built-in workflow, an agent, or a callable of the user's own."""

from __future__ import annotations

from gateway.workflows.base import Workflow, WorkflowTurn
from gateway.workflows.loading import load_workflows

__all__ = ["Workflow", "WorkflowTurn", "load_workflows"]
