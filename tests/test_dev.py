"""What dev.py believes to be installed, and what it does about it; nothing is really installed here."""

from pathlib import Path
from types import ModuleType

import pytest

Call = tuple[str, ...]


@pytest.fixture
def dev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """dev.py, as if it lay in an empty checkout."""
    import dev

    (tmp_path / "pyproject.toml").write_text("[project]\n")
    monkeypatch.setattr(dev, "ROOT", tmp_path)
    monkeypatch.setattr(dev, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(dev, "STAMP", tmp_path / ".venv" / "installed.json")
    return dev


@pytest.fixture
def calls(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What dev.py called: `venv` makes an empty one, `pip` does nothing."""
    made: list[str] = []

    def call(*command: str | Path) -> None:
        made.append(str(command[2]))
        dev.VENV.mkdir(exist_ok=True)

    monkeypatch.setattr(dev, "call", call)
    return made


def test_a_second_call_installs_nothing(dev: ModuleType, calls: list[str]) -> None:
    dev.ensure_installed("all", "dev")
    assert calls == ["venv", "pip"]
    dev.ensure_installed("all", "dev")
    dev.ensure_installed("all")
    assert calls == ["venv", "pip"]


def test_more_extras_are_added_to_the_same_venv(dev: ModuleType, calls: list[str]) -> None:
    dev.ensure_installed("all")
    dev.ensure_installed("all", "dev")
    assert calls == ["venv", "pip", "pip"]


def test_changed_dependencies_are_installed_and_the_extras_kept(dev: ModuleType, calls: list[str]) -> None:
    dev.ensure_installed("all", "dev")
    (dev.ROOT / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    dev.ensure_installed("all")
    assert calls == ["venv", "pip", "pip"]
    assert dev.is_installed(("all", "dev"))


def test_an_interrupted_install_begins_anew(dev: ModuleType, calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    dev.ensure_installed("all")

    def interrupted(*command: str | Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(dev, "call", interrupted)
        with pytest.raises(KeyboardInterrupt):
            dev.ensure_installed("all", "dev")
    assert not dev.is_installed(("all",))
    dev.ensure_installed("all")
    assert calls == ["venv", "pip", "venv", "pip"]


def test_a_venv_of_a_moved_checkout_is_made_anew(
    dev: ModuleType, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dev.ensure_installed("all")
    moved = dev.ROOT / "moved"
    moved.mkdir()
    dev.VENV.rename(moved / ".venv")
    monkeypatch.setattr(dev, "VENV", moved / ".venv")
    monkeypatch.setattr(dev, "STAMP", moved / ".venv" / "installed.json")
    dev.ensure_installed("all")
    assert calls == ["venv", "pip", "venv", "pip"]


def test_every_check_runs_even_after_one_failed(
    dev: ModuleType, calls: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[str] = []

    def in_venv(module: str, *words: str) -> int:
        ran.append(module)
        return 1 if module == "mypy" else 0

    monkeypatch.setattr(dev, "in_venv", in_venv)
    assert dev.test([]) == 1
    assert ran == ["ruff", "ruff", "mypy", "pytest"]
    assert "FAILED: mypy --strict gateway" in capsys.readouterr().out


def test_words_go_to_pytest_alone(dev: ModuleType, calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Call] = []

    def in_venv(*command: str) -> int:
        ran.append(command)
        return 5

    monkeypatch.setattr(dev, "in_venv", in_venv)
    assert dev.test(["-k", "queue"]) == 5
    assert ran == [("pytest", "-k", "queue")]


def test_a_quick_test_checks_everything_and_runs_what_is_quick(
    dev: ModuleType, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[Call] = []

    def in_venv(*command: str) -> int:
        ran.append(command)
        return 0

    monkeypatch.setattr(dev, "in_venv", in_venv)
    assert dev.test(["quick", "-k", "queue"]) == 0
    assert [command[0] for command in ran] == ["ruff", "ruff", "mypy", "pytest"]
    assert "--quick" in ran[-1]
    assert ran[-1][-2:] == ("-k", "queue")


def test_help_names_every_command(dev: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert dev.main([]) == 0
    shown = capsys.readouterr().out
    assert all(f"    {name} " in shown for name in dev.COMMANDS)


def test_an_unknown_command_is_named(dev: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert dev.main(["tset"]) == 2
    assert "'tset'" in capsys.readouterr().err
