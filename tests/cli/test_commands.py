"""What all commands have in common, and what `gateway serve` says when it starts."""

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from gateway.cli import cli
from tests.harness.commands import Inside, Runner
from tests.harness.gateways import GatewayProcess

HEAVY = {"flask", "gunicorn", "httpx2", "openai", "prompt_toolkit", "redis", "requests", "rich", "sqlalchemy"}


def all_commands(group: click.Group) -> Iterator[click.Command]:
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from all_commands(command)
        else:
            yield command


@pytest.mark.parametrize("command", list(all_commands(cli)), ids=lambda command: command.name)
def test_every_command_explains_itself_with_an_example(command: click.Command):
    assert command.help
    assert "Example: " in command.help
    assert "gateway " in command.help
    assert all(option.help for option in command.params if isinstance(option, click.Option))


def test_help_loads_nothing_heavy(gateway: Runner):
    code = f"import sys, gateway.cli; print(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], env=gateway.environ, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    shown = gateway.well("--help")
    assert all(name in shown for name in ("serve", "check", "chat", "sessions", "copy", "export", "import"))


@pytest.mark.parametrize("words", [("dance",), ("copy", "--dance"), ("sessions", "dance")])
def test_a_wrong_command_line_is_exit_code_2(inside: Inside, words: tuple[str, ...]):
    assert inside(*words).returncode == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_completion_script(inside: Inside, shell: str):
    assert f"_GATEWAY_COMPLETE={shell}_complete" in inside.well("completion", shell)


def test_the_completion_completes(gateway: Runner):
    asked = {"_GATEWAY_COMPLETE": "bash_complete", "COMP_WORDS": "gateway sessions pu", "COMP_CWORD": "2"}
    script = "from gateway.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script], env={**gateway.environ, **asked}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split(",") == ["plain", "purge\n"]


def test_serve_says_what_it_runs_on_and_what_one_would_regret():
    settings = {"GATEWAY_STORE": "memory:", "WEB_CONCURRENCY": 2, "HOST": "0.0.0.0", "GATEWAY_ALLOW_ANONYMOUS": "true"}
    with GatewayProcess(**settings) as process:
        log = process.log.read_text()
        assert f"The conversation gateway, on http://0.0.0.0:{process.port}\n" in log
        assert "  store     memory:\n" in log
        assert "  provider  local with the built-in demo model" in log
        assert "  workers   2 gthread with 256 threads each\n" in log
        assert "Warning: the memory store is each worker's own: with 2 workers a session is several." in log
        assert "can read and write every session: there is no auth." in log
        assert "Warning: the demo model only repeats what it read. Set OPENAI_API_KEY" in log


def test_serve_says_in_one_line_what_stops_it(gateway: Runner):
    done = gateway("serve", "--port", "http", "--store", "json:x.json")
    assert done.returncode == 1
    assert done.stderr == "gateway: PORT='http' cannot be used: it takes a whole number from 0 to 65535.\n"
