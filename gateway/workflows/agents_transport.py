"""What the Agents SDK takes for the provider: its requests are answered out of the conversation."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import closing

import httpx2
import orjson

from gateway.errors import ProviderError
from gateway.events import StreamEvent
from gateway.model import JSON
from gateway.sse import encode_event
from gateway.workflows.conversation import Conversation


class ConversationTransport(httpx2.AsyncBaseTransport):
    """Answers POST /responses out of the conversation. Each response is read in a thread, to its end, whether or not
    the SDK still listens: a guardrail that stops the run must not leave half a response at the provider."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._readings: list[asyncio.Future[None]] = []
        self._hung_up = threading.Event()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method != "POST" or not request.url.path.endswith("/responses"):
            raise ProviderError("The agent asked for something that a conversation does not have.")
        body: JSON = orjson.loads(await request.aread())
        streamed = body.pop("stream", False)
        # An agent that is another one's tool runs on its own: its responses are no part of the conversation.
        events = self._read(body, aside="conversation" not in body)
        # A refusal is an error before there is an answer.
        first = await anext(events)
        if streamed:
            return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=_frames(first, events))
        last = first
        async for event in events:
            last = event
        return httpx2.Response(200, json=last.json()["response"])

    async def settled(self) -> None:
        """Waits until every response is read to its end."""
        await asyncio.gather(*self._readings, return_exceptions=True)

    def hang_up(self) -> None:
        self._hung_up.set()

    async def _read(self, body: JSON, *, aside: bool) -> AsyncIterator[StreamEvent]:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[StreamEvent | Exception | None] = asyncio.Queue()

        def put(event: StreamEvent | Exception | None) -> None:
            loop.call_soon_threadsafe(queue.put_nowait, event)

        self._readings.append(loop.run_in_executor(None, self._read_on, body, aside, put))
        while (event := await queue.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event

    def _read_on(self, body: JSON, aside: bool, put: Callable[[StreamEvent | Exception | None], None]) -> None:
        try:
            with closing(self._conversation.events(body, aside=aside)) as events:
                for event in events:
                    if self._hung_up.is_set():
                        return
                    put(event)
        except Exception as exc:
            put(exc)
        else:
            put(None)


async def _frames(first: StreamEvent, events: AsyncIterator[StreamEvent]) -> AsyncIterator[bytes]:
    yield encode_event(first.type, first.data)
    async for event in events:
        yield encode_event(event.type, event.data)
