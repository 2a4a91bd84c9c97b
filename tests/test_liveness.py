"""A process's mark of life: there as long as the process, and no longer."""

import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.errors import ConfigurationError, StoreUnavailableError
from gateway.liveness import Liveness
from tests.harness.support import eventually


@pytest.fixture
def alive(tmp_path: Path) -> Iterator[Liveness]:
    mark = Liveness(tmp_path / "marks")
    yield mark
    mark.close()


def start(program: str, folder: Path) -> tuple[subprocess.Popen[str], str]:
    """A process that runs `program` with its mark in `folder`, and the mark's name."""
    code = "import sys, pathlib\nfrom gateway.liveness import Liveness\nmark = Liveness(pathlib.Path(sys.argv[1]))\n"
    code += "print(mark.owner, flush=True)\n" + textwrap.dedent(program)
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_one_is_alive_to_oneself_and_to_others(alive: Liveness, tmp_path: Path) -> None:
    other = Liveness(tmp_path / "marks")
    assert other.owner != alive.owner
    assert alive.is_alive(alive.owner)
    assert alive.is_alive(other.owner)
    assert other.is_alive(alive.owner)
    other.close()
    assert not alive.is_alive(other.owner)


def test_a_killed_process_is_dead_at_once(alive: Liveness, tmp_path: Path) -> None:
    process, owner = start("sys.stdin.read()", tmp_path / "marks")
    assert alive.is_alive(owner)
    process.kill()
    process.wait()
    assert not alive.is_alive(owner)
    assert not (tmp_path / "marks" / owner).exists()  # and leaves nothing lying about


def test_a_paused_process_is_alive(alive: Liveness, tmp_path: Path) -> None:
    process, owner = start("sys.stdin.read()", tmp_path / "marks")
    os.kill(process.pid, signal.SIGSTOP)
    assert alive.is_alive(owner)
    process.kill()
    process.wait()


def test_a_child_does_not_keep_its_dead_parent_alive(alive: Liveness, tmp_path: Path) -> None:
    program = """
        import os, signal
        child = os.fork()
        if child == 0:
            signal.pause()
        print(child, flush=True)
        sys.stdin.read(1)
        os.kill(os.getpid(), 9)
    """
    process, owner = start(program, tmp_path / "marks")
    assert process.stdin is not None
    assert process.stdout is not None
    child = int(process.stdout.readline())
    assert alive.is_alive(owner)
    process.stdin.write("x")
    process.stdin.flush()
    process.wait()
    eventually(lambda: not alive.is_alive(owner))  # the child lets go as soon as it runs
    os.kill(child, signal.SIGKILL)


def test_a_child_has_a_mark_of_its_own(alive: Liveness, tmp_path: Path) -> None:
    program = """
        import os, signal
        child = os.fork()
        if child == 0:
            print(mark.owner, flush=True)
            signal.pause()
        sys.stdin.read(1)
        os.kill(child, 9)
        os.waitpid(child, 0)
        print("killed", flush=True)
        sys.stdin.read()
    """
    process, parent = start(program, tmp_path / "marks")
    assert process.stdin is not None
    assert process.stdout is not None
    child = process.stdout.readline().strip()
    assert child != parent
    assert alive.is_alive(child)
    process.stdin.write("x")
    process.stdin.flush()
    assert process.stdout.readline() == "killed\n"
    assert not alive.is_alive(child)
    assert alive.is_alive(parent)
    process.kill()
    process.wait()


def test_nor_does_a_program_that_it_started(alive: Liveness, tmp_path: Path) -> None:
    program = """
        import os, subprocess
        print(subprocess.Popen(["sleep", "60"]).pid, flush=True)
        sys.stdin.read(1)
        os.kill(os.getpid(), 9)
    """
    process, owner = start(program, tmp_path / "marks")
    assert process.stdin is not None
    assert process.stdout is not None
    sleeper = int(process.stdout.readline())
    process.stdin.write("x")
    process.stdin.flush()
    process.wait()
    assert not alive.is_alive(owner)
    os.kill(sleeper, signal.SIGKILL)


def test_who_was_never_there_is_dead(alive: Liveness) -> None:
    assert not alive.is_alive("1-00000000000000000000000000000000")


def test_marks_of_the_dead_are_swept_away_at_the_next_start(alive: Liveness, tmp_path: Path) -> None:
    process, _ = start("sys.stdin.read()", tmp_path / "marks")
    process.kill()
    process.wait()
    next_one = Liveness(tmp_path / "marks")
    assert {path.name for path in (tmp_path / "marks").iterdir()} == {alive.owner, next_one.owner}
    next_one.close()


def test_a_mark_that_was_tidied_away_is_put_back(alive: Liveness, tmp_path: Path) -> None:
    other = Liveness(tmp_path / "marks")
    for path in (tmp_path / "marks").iterdir():
        path.unlink()
    (tmp_path / "marks").rmdir()
    owner = alive.owner
    alive.refresh()
    other.refresh()
    assert alive.owner == owner
    assert other.is_alive(alive.owner)
    other.close()


def test_many_start_at_once_and_all_are_alive(alive: Liveness, tmp_path: Path) -> None:
    started = [start("sys.stdin.read()", tmp_path / "marks") for _ in range(8)]
    assert all(alive.is_alive(owner) for _, owner in started)
    assert len({owner for _, owner in started}) == 8
    for process, _ in started:
        process.kill()
        process.wait()
    eventually(lambda: not any(alive.is_alive(owner) for _, owner in started))


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="file"):
        Liveness(tmp_path / "file" / "marks")


# --- When there are no files to be had ---------------------------------------------------------------------


def test_without_a_file_nobody_is_taken_for_dead(alive: Liveness, tmp_path: Path) -> None:
    other = Liveness(tmp_path / "marks")
    with no_more_files(), pytest.raises(StoreUnavailableError) as refused:
        alive.is_alive(other.owner)
    assert refused.value.retry_after == 1
    assert alive.is_alive(other.owner)
    other.close()


def test_a_mark_that_cannot_be_put_back_now_is_put_back_later(alive: Liveness, tmp_path: Path) -> None:
    other = Liveness(tmp_path / "marks")
    (tmp_path / "marks" / alive.owner).unlink()
    for _ in range(2):
        with no_more_files(), pytest.raises(StoreUnavailableError):
            alive.refresh()
    alive.refresh()
    assert other.is_alive(alive.owner)
    other.close()


def test_a_folder_that_has_gone_for_a_while_is_unavailable(alive: Liveness, tmp_path: Path) -> None:
    """As on a disk that is away: it comes back, and the mark with it."""
    (tmp_path / "marks").rename(tmp_path / "away")
    (tmp_path / "marks").write_text("in the way")
    with pytest.raises(StoreUnavailableError):
        alive.refresh()
    (tmp_path / "marks").unlink()
    (tmp_path / "away").rename(tmp_path / "marks")
    alive.refresh()
    other = Liveness(tmp_path / "marks")
    assert other.is_alive(alive.owner)
    other.close()


def test_one_that_was_closed_comes_back_no_more(tmp_path: Path) -> None:
    closed = Liveness(tmp_path / "marks")
    closed.close()
    closed.refresh()
    assert list((tmp_path / "marks").iterdir()) == []


@contextmanager
def no_more_files() -> Iterator[None]:
    """This process cannot open any more files (EMFILE)."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Path("/dev/null").open() as probe:
        free = probe.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_disk_on_which_nothing_more_can_be_written_is_unavailable(alive: Liveness) -> None:
    alive.check()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        with pytest.raises(StoreUnavailableError):
            alive.check()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    alive.check()


def test_whoever_looks_at_once_puts_a_lost_mark_back_once(alive: Liveness, tmp_path: Path) -> None:
    mark = tmp_path / "marks" / alive.owner
    for _ in range(10):
        mark.unlink()
        start_line = threading.Barrier(2)

        def look(verb: Callable[[], None], start_line: threading.Barrier = start_line) -> None:
            start_line.wait()
            verb()

        # Daemons, so that one which never ends is a failure and no run without an end.
        both = [threading.Thread(target=look, args=(verb,), daemon=True) for verb in (alive.check, alive.refresh)]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join(10)
            assert not thread.is_alive()
        assert alive.is_alive(alive.owner)
        assert mark.exists()
