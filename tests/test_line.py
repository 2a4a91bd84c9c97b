"""The line before a few places: its order is kept, and no place is ever lost."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.errors import StoreUnavailableError
from gateway.line import Line
from tests.harness.support import eventually, run_script


def join(line: Line, served: list[str], name: str, *, urgent: bool = False) -> threading.Thread:
    """A thread that has taken its place in the line, and writes its name when it is let in."""
    waiting = len(line._waiting)

    def wait() -> None:
        with line.place(30, urgent=urgent):
            served.append(name)

    thread = threading.Thread(target=wait)
    thread.start()
    eventually(lambda: len(line._waiting) == waiting + 1)
    return thread


def held_at_once(line: Line, most: int) -> int:
    """How many of `most` find a place that nobody has to give up."""
    if not most:
        return 0
    try:
        with line.place(0):
            return 1 + held_at_once(line, most - 1)
    except StoreUnavailableError:
        return 0


def test_no_more_are_let_in_than_there_are_places() -> None:
    assert held_at_once(Line(3), 10) == 3


def test_who_came_first_is_served_first() -> None:
    line, served = Line(1), list[str]()
    with line.place(1):
        threads = [join(line, served, str(number)) for number in range(10)]
        assert served == []
    for thread in threads:
        thread.join()
    assert served == [str(number) for number in range(10)]


def test_a_newcomer_does_not_pass_those_who_wait() -> None:
    """Not even who gives back a place and wants it again at once, before the others have woken up."""
    line, served = Line(1), list[str]()
    with line.place(1):
        thread = join(line, served, "waits")
    with line.place(30):
        served.append("comes again")
    thread.join()
    assert served == ["waits", "comes again"]


def test_the_urgent_one_is_let_in_next() -> None:
    line, served = Line(1), list[str]()
    with line.place(1):
        threads = [join(line, served, "first"), join(line, served, "urgent", urgent=True)]
    for thread in threads:
        thread.join()
    assert served == ["urgent", "first"]


def test_who_waits_too_long_is_told_when_to_come_again_and_leaves_no_hole() -> None:
    line, served = Line(1), list[str]()
    with line.place(1):
        with pytest.raises(StoreUnavailableError) as refused, line.place(0.01):
            pass
        thread = join(line, served, "next")
    thread.join()
    assert refused.value.retry_after == 1
    assert served == ["next"]
    assert held_at_once(line, 10) == 1


def test_a_place_that_comes_at_the_last_moment_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The holder leaves between the end of the wait and the moment at which the one who waited says so."""
    line, leave = Line(1), Line._give_up
    held = line.place(1)
    held.__enter__()

    def left_just_before(line: Line, gate: threading.Lock) -> bool:
        held.__exit__(None, None, None)
        return leave(line, gate)

    monkeypatch.setattr(Line, "_give_up", left_just_before)
    with line.place(0.01):
        assert held_at_once(line, 1) == 0
    assert held_at_once(line, 10) == 1


def test_a_place_is_given_back_by_an_error() -> None:
    line = Line(1)
    with pytest.raises(ZeroDivisionError), line.place(1):
        1 / 0  # noqa: B018
    assert held_at_once(line, 10) == 1


def test_in_a_crowd_that_loses_patience_no_place_is_lost_or_held_twice() -> None:
    line, inside, most = Line(3), list[int](), list[int]()

    def come_often(worker: int) -> int:
        served = 0
        for number in range(300):
            try:
                with line.place(0.0005 * (number % 4)):
                    inside.append(worker)
                    most.append(len(inside))
                    inside.remove(worker)
                    served += 1
            except StoreUnavailableError:
                pass
        return served

    with ThreadPoolExecutor(24) as crowd:
        served = sum(crowd.map(come_often, range(24)))
    assert served > 0
    assert max(most) <= 3
    assert held_at_once(line, 10) == 3


def test_greenlets_stand_in_line_as_threads_do_and_those_that_are_killed_leave_it(tmp_path: Path) -> None:
    script = """if True:
        from gevent import monkey; monkey.patch_all()
        import gevent
        from gateway.line import Line

        line, served = Line(1), []

        def wait(name):
            with line.place(30):
                served.append(name)

        with line.place(1):
            waiting = [gevent.spawn(wait, name) for name in "abcd"]
            gevent.sleep(0)
            waiting[1].kill()
            waiting[0].kill(block=False)  # it dies when the place has been handed to it
        gevent.joinall(waiting, timeout=30)
        with line.place(0):
            print("".join(served))
    """
    done = run_script(script, tmp_path)
    assert done.stdout.strip() == "cd", done.stderr
