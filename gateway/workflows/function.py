"""A callable of the user's own as a workflow: plain or async, returning its text or yielding it piece by piece."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import aclosing, contextmanager
from contextvars import copy_context
from typing import Any

from gateway.workflows.base import Workflow, WorkflowTurn


class FunctionWorkflow(Workflow):
    """`workflow(turn)`. What it returns may not be what the provider said, so a replay cannot be promised.

    It returns or yields text, or answers of `turn.respond`; it may be a coroutine function or an async generator, which
    run on an event loop of their own. When it fails, the tool calls that it left open are cancelled.
    """

    replayable = False

    def __init__(self, function: Callable[[WorkflowTurn], Any]) -> None:
        self._function = function

    def run(self, turn: WorkflowTurn) -> Iterator[str]:
        conversation = turn.conversation
        try:
            result = self._function(turn)
            if inspect.isawaitable(result) or isinstance(result, AsyncIterable):
                for piece in iterate(_pieces(result)):
                    yield from _words(piece)
            elif result is not None:
                yield from _words(result)
            if conversation.speaking is not None:
                conversation.speaking.finish()
            turn.seal()
        except Exception as exc:
            conversation.leave_usable(exc)
            raise


def iterate(pieces: AsyncGenerator[Any, None]) -> Iterator[Any]:
    """An async generator's pieces, on an event loop of their own.

    One task draws them all, as `async for` would (a time-out or a cancel scope may span them), and draws the next one
    only when it is asked for. Whatever the loop still runs in the end is cancelled and waited for.
    """
    with _own_loop() as run:
        queue: asyncio.Queue[Any] = asyncio.Queue()
        drawing = run(_start(pieces, queue))
        while (piece := run(_next(queue, drawing))) is not _END:
            yield piece
            queue.task_done()
        if drawing.cancelled():
            raise RuntimeError("the workflow cancelled itself")
        drawing.result()


_END = object()

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@contextmanager
def _own_loop() -> Iterator[Run]:
    """What runs coroutines on one loop after another's end: in this thread, if none runs here yet."""
    if _loop_runs_here():
        with _loop_elsewhere() as run:
            yield run
    else:
        with asyncio.Runner() as runner:
            yield runner.run


def _loop_runs_here() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@contextmanager
def _loop_elsewhere() -> Iterator[Run]:
    """The same in a thread of its own: a thread runs one loop at a time, and this one's is a notebook's, say."""
    runner, context = asyncio.Runner(), copy_context()
    with ThreadPoolExecutor(1) as thread:
        loop = thread.submit(runner.get_loop).result()

        def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
            running = thread.submit(runner.run, coroutine, context=context)
            try:
                # A signal that comes just as a thread begins to wait is heard only when it has waited.
                while not wait([running], timeout=1.0).done:
                    pass
            except BaseException:
                # It came while this thread waited: the other one knows nothing of it, and may run for long.
                loop.call_soon_threadsafe(_cancel_tasks, loop)
                raise
            return running.result()

        try:
            yield run
        finally:
            thread.submit(runner.close).result()


def _cancel_tasks(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()


async def _start(pieces: AsyncGenerator[Any, None], queue: asyncio.Queue[Any]) -> asyncio.Task[None]:
    return asyncio.create_task(_draw(pieces, queue))


async def _draw(pieces: AsyncGenerator[Any, None], queue: asyncio.Queue[Any]) -> None:
    async with aclosing(pieces):
        async for piece in pieces:
            queue.put_nowait(piece)
            await queue.join()


async def _next(queue: asyncio.Queue[Any], drawing: asyncio.Task[None]) -> Any:
    getting = asyncio.create_task(queue.get())
    await asyncio.wait((getting, drawing), return_when=asyncio.FIRST_COMPLETED)
    if getting.done():
        return getting.result()
    getting.cancel()
    return _END


async def _pieces(result: Any) -> AsyncGenerator[Any, None]:
    """What an async function came to: its pieces, or the one thing that it returned."""
    if inspect.isawaitable(result):
        result = await result
    if isinstance(result, AsyncIterable):
        async for piece in result:
            yield piece
    elif result is not None:
        yield result


def _words(piece: Any) -> Iterator[str]:
    """Text, an answer, or something that yields them. Anything else is the workflow's mistake, and not made text of."""
    if isinstance(piece, str):
        yield piece
    elif isinstance(piece, Iterable) and not isinstance(piece, Mapping | bytes):
        for part in piece:
            yield from _words(part)
    else:
        raise TypeError(f"a workflow returns or yields text, not {type(piece).__name__}")
