"""Finding workflows by the names in the settings."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any

from gateway.errors import ConfigurationError
from gateway.workflows.base import Workflow
from gateway.workflows.builtin import RespondWorkflow
from gateway.workflows.function import FunctionWorkflow


def load_workflows(places: Mapping[str, str]) -> dict[str, Workflow]:
    """Name → workflow for these `package.module:attribute`s; the empty name is the built-in one unless it is given.

    Whatever is wrong with one of them is one line of a `ConfigurationError` that names it.
    """
    return {"": RespondWorkflow(), **{name: _load(place) for name, place in places.items()}}


def _load(place: str) -> Workflow:
    module_name, _, attribute = place.partition(":")
    if "" not in sys.path:
        # A console script does not look into the working directory, where a user's own workflow lives.
        sys.path.insert(0, "")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as exc:
        extra = "; install conversation-gateway[agents]" if exc.name == "agents" else ""
        raise _unusable(place, f"there is no module {exc.name!r}{extra}") from exc
    except Exception as exc:
        raise _unusable(place, f"{module_name} fails to import: {_one_line(exc)}") from exc
    try:
        for part in attribute.split("."):
            found = getattr(found, part)
    except AttributeError as exc:
        raise _unusable(place, _one_line(exc)) from exc
    return _as_workflow(place, found)


def _as_workflow(place: str, found: Any) -> Workflow:
    if isinstance(found, type) and issubclass(found, Workflow):
        found = found()
    if isinstance(found, Workflow):
        return found
    # Whoever made an agent has imported the SDK, so that it need not be imported to recognise one.
    agent_class: Any = getattr(sys.modules.get("agents"), "Agent", ())
    if isinstance(found, agent_class):
        from gateway.workflows.agents import AgentWorkflow

        try:
            return AgentWorkflow(found)
        except ConfigurationError as exc:
            raise _unusable(place, str(exc).removesuffix(".")) from exc
    if not callable(found):
        raise _unusable(place, f"it takes an agents.Agent or a callable workflow(turn), not {type(found).__name__}")
    return FunctionWorkflow(found)


def _unusable(place: str, reason: str) -> ConfigurationError:
    return ConfigurationError(f"GATEWAY_WORKFLOW={place!r} cannot be used: {reason}.")


def _one_line(exc: Exception) -> str:
    first, *_ = [*str(exc).splitlines(), ""]
    return f"{type(exc).__name__}: {first}" if first else type(exc).__name__
