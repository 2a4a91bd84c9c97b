"""Finding workflows by the names in the settings."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from agents import Agent, output_guardrail
from agents.testing import ScriptedModel

from gateway.assembly import assemble
from gateway.config import Settings
from gateway.errors import ConfigurationError, NotFoundError
from gateway.model import TurnRequest
from gateway.providers.local import LocalProvider
from gateway.sessions import open_sessions
from gateway.workflows import load_workflows
from gateway.workflows.agents import AgentWorkflow
from gateway.workflows.builtin import RespondWorkflow
from gateway.workflows.function import FunctionWorkflow

WriteModule = Callable[[str], str]

agent = Agent(name="Assistant")
not_a_workflow = 5


class Agents:
    """Attributes may be nested."""

    inner = agent


class OwnAgent(Agent):
    """An agent all the same."""


own_agent = OwnAgent(name="Own")


class OwnWorkflow(RespondWorkflow):
    """A workflow of the gateway's own kind, named by its class."""


@output_guardrail
def polite(context: object, agent: object, output: object) -> None: ...


guarded_agent = Agent(name="Guarded", output_guardrails=[polite])
modelled_agent = Agent(name="Outer", handoffs=[Agent(name="Modelled", model=ScriptedModel([]))])


def function(turn: object) -> str:
    return "a function"


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WriteModule:
    """Writes a module into the working directory; returns its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    name = f"users_module_{tmp_path.name.replace('-', '_')}"

    def write(text: str) -> str:
        Path(f"{name}.py").write_text(text, encoding="utf-8")
        return name

    return write


def load_one(place: str) -> object:
    return load_workflows({"": place})[""]


def test_without_a_name_it_is_the_built_in_one() -> None:
    assert isinstance(load_workflows({})[""], RespondWorkflow)


@pytest.mark.parametrize(
    ("attribute", "kind"),
    [
        ("agent", AgentWorkflow),
        ("own_agent", AgentWorkflow),
        ("Agents.inner", AgentWorkflow),
        ("function", FunctionWorkflow),
        ("OwnWorkflow", OwnWorkflow),
    ],
)
def test_each_kind_is_recognised(attribute: str, kind: type) -> None:
    assert type(load_one(f"{__name__}:{attribute}")).__name__ == kind.__name__


def test_several_named_ones_beside_the_built_in(tmp_path: Path) -> None:
    settings = Settings(workflow=f"coach={__name__}:agent,echo={__name__}:function")
    provider = LocalProvider(str(tmp_path / "local.db"))
    gateway = assemble(settings, sessions=open_sessions("memory:"), provider=provider)
    try:
        replies = [
            gateway.run_turn("", TurnRequest(input="Hi", session_id="s", workflow=name)).output_text
            for name in ("", "coach", "echo")
        ]
        assert replies[0].startswith('You said: "Hi"')
        assert "That makes 2 messages" in replies[1]
        assert replies[2] == "a function"
        with pytest.raises(NotFoundError, match="'nobody'"):
            gateway.run_turn("", TurnRequest(input="Hi", session_id="s", workflow="nobody"))
    finally:
        gateway.close()


def test_a_workflow_in_the_working_directory_is_found(write_module: WriteModule) -> None:
    name = write_module("def workflow(turn):\n    return 'mine'\n")
    assert isinstance(load_one(f"{name}:workflow"), FunctionWorkflow)


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("no_such_package.module:agent", "there is no module 'no_such_package'"),
        (f"{__name__}:missing", f"module '{__name__}' has no attribute 'missing'"),
        (f"{__name__}:agent.missing", "has no attribute 'missing'"),
        (f"{__name__}:not_a_workflow", "it takes an agents.Agent or a callable workflow(turn), not int"),
        (f"{__name__}:guarded_agent", "agent 'Guarded' has output guardrails"),
        (f"{__name__}:modelled_agent", "the model of agent 'Modelled' has to be a name"),
    ],
)
def test_what_cannot_be_used_is_one_line_that_names_it(place: str, reason: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        load_one(place)
    message = str(error.value)
    assert message.startswith(f"GATEWAY_WORKFLOW={place!r} cannot be used: ")
    assert reason in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import one_that_is_missing", "there is no module 'one_that_is_missing'"),
        ("def workflow(:", "fails to import: SyntaxError"),
        ("raise ValueError('first line\\nsecond line')", "fails to import: ValueError: first line."),
        ("raise AttributeError('of its own')", "fails to import: AttributeError: of its own"),
    ],
)
def test_a_module_that_fails_is_one_line_too(write_module: WriteModule, text: str, reason: str) -> None:
    name = write_module(text)
    with pytest.raises(ConfigurationError) as error:
        load_one(f"{name}:workflow")
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_without_the_sdk_the_extra_is_named(write_module: WriteModule, monkeypatch: pytest.MonkeyPatch) -> None:
    name = write_module("from agents import Agent\nagent = Agent(name='A')\n")
    monkeypatch.setitem(sys.modules, "agents", None)  # as if it were not installed
    with pytest.raises(ConfigurationError, match=r"install conversation-gateway\[agents\]"):
        load_one(f"{name}:agent")


def test_functions_load_without_the_sdk(write_module: WriteModule, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "agents")
    name = write_module("def workflow(turn):\n    return 'mine'\n")
    assert isinstance(load_one(f"{name}:workflow"), FunctionWorkflow)
    assert "agents" not in sys.modules
