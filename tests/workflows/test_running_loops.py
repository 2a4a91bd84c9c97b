"""`run_workflow` and `arun_workflow` where an event loop runs already: in a notebook, in an async server."""

import asyncio
import contextvars
import inspect
import logging
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from agents import Agent, function_tool

from gateway import arun_workflow, run_workflow, scripts
from gateway.errors import ProviderError, TurnBusyError
from gateway.events import Delta
from gateway.model import TurnState
from gateway.workflows.agents import AgentWorkflow
from gateway.workflows.base import Workflow, WorkflowTurn
from gateway.workflows.function import FunctionWorkflow
from tests.harness.support import run_script
from tests.workflows.conftest import Bench

MakeBench = Callable[..., Bench]


@pytest.fixture
def install(make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> Callable[[Workflow], Bench]:
    """Makes the gateway that scripts of this process speak to."""

    def make(workflow: Workflow) -> Bench:
        bench = make_bench(workflow)
        monkeypatch.setattr(scripts, "_script_gateway", bench.gateway)
        return bench

    return make


def in_a_loop(act: Callable[[], Any]) -> Any:
    """What `act` returns to a loop that runs it."""

    async def main() -> Any:
        return act()

    return asyncio.run(main())


async def until(event: threading.Event) -> None:
    async with asyncio.timeout(10):
        while not event.is_set():
            await asyncio.sleep(0.01)


def plain(turn: WorkflowTurn) -> Any:
    return turn.respond()


async def coroutine(turn: WorkflowTurn) -> Any:
    await asyncio.sleep(0)
    return turn.respond()


async def async_generator(turn: WorkflowTurn) -> AsyncIterator[str]:
    for words in turn.respond():
        yield words


@function_tool
def weather(city: str) -> str:
    """Tells the weather."""
    return f"sun in {city}"


WORKFLOWS = [
    FunctionWorkflow(plain),
    FunctionWorkflow(coroutine),
    FunctionWorkflow(async_generator),
    AgentWorkflow(Agent(name="A", tools=[weather])),
]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=["plain", "coroutine", "async generator", "agent"])
def test_every_kind_of_workflow_answers_inside_a_running_loop(
    install: Callable[[Workflow], Bench], workflow: Workflow
) -> None:
    bench = install(workflow)

    async def main() -> None:
        first = run_workflow("My cat is called Minka.", session_id="alice")
        second = await arun_workflow("What is my cat called?", session_id="alice")
        assert first.conversation_id == second.conversation_id
        assert "Minka" in second.output_text
        third = await arun_workflow("Hello")
        assert third.created

    asyncio.run(main())
    assert [turn.state for turn in bench.gateway.sessions.turns(bench.last_turn().key)] == [TurnState.COMPLETED] * 2


def test_an_agents_tools_run_inside_a_running_loop(install: Callable[[Workflow], Bench]) -> None:
    install(WORKFLOWS[-1])
    words = 'please call weather {"city": "Rome"}'
    assert '"sun in Rome"' in in_a_loop(lambda: run_workflow(words)).output_text
    assert '"sun in Rome"' in asyncio.run(arun_workflow(words)).output_text


def test_a_notebook_that_has_nothing_but_the_settings(tmp_path: Path) -> None:
    (tmp_path / "flows.py").write_text("async def greet(turn):\n    return f'Hello {turn.input}'\n")
    done = run_script(
        "import asyncio, os\n"
        "os.environ['GATEWAY_WORKFLOW'] = 'flows:greet'\n"
        "from gateway import arun_workflow, run_workflow\n"
        "async def main():\n"
        "    first = run_workflow('Bob', session_id='alice')\n"
        "    second = await arun_workflow('Ann', session_id='alice')\n"
        "    print(first.output_text, second.output_text, second.conversation_id == first.conversation_id)\n"
        "asyncio.run(main())\n",
        tmp_path,
    )
    assert (done.stdout, done.stderr) == ("Hello Bob Hello Ann True\n", "")


FORKED = """
import asyncio, os, threading
import flows
from gateway import arun_workflow

os.environ |= {"GATEWAY_WORKFLOW": "flows:held", "GATEWAY_BUSY_WAIT": "5"}
turn = arun_workflow("Hi", session_id="s")
parent = threading.Thread(target=lambda: asyncio.run(turn))
parent.start()
assert flows.begun.wait(10)
child = os.fork()
flows.go.set()
if child == 0:
    reply = asyncio.run(arun_workflow("Hi", session_id="s"))
    print(reply.output_text, reply.created, flush=True)
    os._exit(0)
parent.join()
os.waitpid(child, 0)
"""


def test_a_child_of_a_fork_waits_for_no_turn_but_in_the_store(tmp_path: Path) -> None:
    (tmp_path / "flows.py").write_text(
        "import threading\nbegun, go = threading.Event(), threading.Event()\n"
        "def held(turn):\n    begun.set()\n    go.wait(10)\n    return f'Hello {turn.input}'\n"
    )
    done = run_script(FORKED, tmp_path)
    assert (done.stdout, done.returncode) == ("Hello Hi False\n", 0), done.stderr


def test_both_take_the_same(install: Callable[[Workflow], Bench]) -> None:
    assert inspect.iscoroutinefunction(arun_workflow)
    assert inspect.signature(arun_workflow) == inspect.signature(run_workflow)
    bench = install(WORKFLOWS[1])
    asyncio.run(arun_workflow("Hi", session_id="alice", user_id="zoë"))
    session = bench.gateway.sessions.get(bench.last_turn().key)
    assert session is not None
    assert session.user_id == "zoë"


def test_what_is_refused_is_raised_by_await_too(install: Callable[[Workflow], Bench]) -> None:
    async def broken(turn: WorkflowTurn) -> str:
        raise OSError("secret")

    install(FunctionWorkflow(broken))
    with pytest.raises(ProviderError, match="The workflow failed"):
        asyncio.run(arun_workflow("Hi"))


# --- The loop that waits ---------------------------------------------------------------------------------------


class Gate:
    """A workflow that says what it was told, once it may."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        self.heard: list[Any] = []

    def __call__(self, turn: WorkflowTurn) -> str:
        self.heard.append(turn.input)
        self.reached.set()
        assert self.opened.wait(10), "nobody opened the gate"
        return str(turn.input)


def test_the_loop_goes_on_while_a_turn_runs(install: Callable[[Workflow], Bench]) -> None:
    gate = Gate()
    install(FunctionWorkflow(gate))

    async def main() -> None:
        turn = asyncio.create_task(arun_workflow("Hi"))
        await until(gate.reached)
        gate.opened.set()  # by this loop, while the turn waits for it
        assert (await turn).output_text == "Hi"

    asyncio.run(main())


def test_turns_of_a_session_keep_the_order_of_their_calls(install: Callable[[Workflow], Bench]) -> None:
    gate = Gate()
    bench = install(FunctionWorkflow(gate))
    numbers = [str(number) for number in range(20)]

    async def main() -> None:
        turns = asyncio.gather(*(arun_workflow(number, session_id="alice") for number in numbers))
        await until(gate.reached)
        other = asyncio.create_task(arun_workflow("other", session_id="bob"))
        async with asyncio.timeout(10):
            while "other" not in gate.heard:  # another session waits for nobody
                await asyncio.sleep(0.01)
        gate.opened.set()
        assert [reply.output_text for reply in await turns] == numbers
        await other

    asyncio.run(main())
    assert gate.heard == ["0", "other", *numbers[1:]]
    assert len(bench.gateway.sessions.turns(bench.last_turn().key)) == len(numbers)


def test_a_turn_waits_for_the_one_before_it_no_longer_than_the_settings_say(
    install: Callable[[Workflow], Bench],
) -> None:
    """Nor for ever for its own session's, when a workflow asks its own session something."""

    async def nested(turn: WorkflowTurn) -> str:
        if turn.input == "inner":
            return "inner"
        with pytest.raises(TurnBusyError):
            await arun_workflow("inner", session_id=turn.session_id)
        return "outer"

    bench = install(FunctionWorkflow(nested))
    bench.gateway.sessions.wait_seconds = 0.1
    assert asyncio.run(arun_workflow("outer", session_id="alice")).output_text == "outer"


def test_who_is_cancelled_loses_no_turn(install: Callable[[Workflow], Bench], caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    bench = install(FunctionWorkflow(gate))

    async def main() -> None:
        first, second = (asyncio.create_task(arun_workflow(words, session_id="alice")) for words in ("one", "two"))
        await until(gate.reached)
        for task in (first, second):  # of which one runs, and one waits for the session
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert bench.last_turn().state is TurnState.RUNNING
        threading.Timer(0.2, gate.opened.set).start()

    asyncio.run(main())
    turns = bench.gateway.sessions.turns(bench.last_turn().key)
    assert [turn.state for turn in turns] == [TurnState.COMPLETED] * 2
    assert gate.heard == ["one", "two"]
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


# --- A workflow's own loop, beside the one that runs --------------------------------------------------------------


def test_one_task_draws_all_pieces_and_the_next_one_only_when_asked(make_bench: MakeBench) -> None:
    seen: list[Any] = []
    number = contextvars.ContextVar("number", default=0)

    async def workflow(turn: WorkflowTurn) -> AsyncIterator[str]:
        helper = asyncio.create_task(asyncio.Event().wait())
        async with asyncio.timeout(30):
            for word in ("a", "b"):
                seen.append(asyncio.current_task())
                yield word
        seen.append(number.get())
        seen.append(helper)

    def act() -> None:
        number.set(5)
        events = make_bench(FunctionWorkflow(workflow)).stream("Go")
        next(events)
        assert next(events) == Delta("a")
        assert len(seen) == 1
        assert next(events) == Delta("b")
        assert len(list(events)) == 1

    before = threading.active_count()
    in_a_loop(act)
    first, second, value, helper = seen
    assert first is second
    assert value == 5
    assert helper.cancelled()
    assert threading.active_count() <= before + 1  # the store's keeper may have begun


def test_a_turn_that_nobody_reads_on_ends_its_workflow(make_bench: MakeBench) -> None:
    ended = threading.Event()

    async def workflow(turn: WorkflowTurn) -> AsyncIterator[str]:
        try:
            yield "one"
            yield "two"
        finally:
            ended.set()

    def act() -> None:
        events = make_bench(FunctionWorkflow(workflow)).stream("Go")
        assert [next(events), next(events)][1] == Delta("one")
        events.close()
        assert ended.is_set()

    in_a_loop(act)


@pytest.fixture(params=[KeyboardInterrupt, SystemExit])
def interrupt(request: pytest.FixtureRequest) -> Iterator[type[BaseException]]:
    """What the stop button of a notebook raises, or a handler of somebody's own."""

    def handle(number: int, frame: object) -> None:
        raise request.param

    before = signal.signal(signal.SIGINT, handle)
    yield request.param
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_ends_the_workflow_at_once(make_bench: MakeBench, interrupt: type[BaseException]) -> None:
    ended = threading.Event()

    async def workflow(turn: WorkflowTurn) -> AsyncIterator[str]:
        yield "one"
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    bench = make_bench(FunctionWorkflow(workflow))
    loop = asyncio.new_event_loop()

    async def main() -> None:
        with pytest.raises(interrupt):
            bench.say("Go")
        assert ended.is_set()

    loop.run_until_complete(main())
    loop.close()
