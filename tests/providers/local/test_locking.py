"""One active response a conversation, whoever asks; and whoever dies frees it."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import select

from gateway.providers.base import ConversationLockedError, StreamEvent
from gateway.providers.local import LocalProvider
from gateway.providers.local.tables import running as running_responses
from tests.harness.support import eventually
from tests.harness.upstream import UpstreamProcess
from tests.providers.local.conftest import refused, text_of, texts, user

LOCKED = "Another process is currently operating on this conversation. Please retry in a few seconds."
MakeProvider = Callable[..., LocalProvider]


def begin(provider: LocalProvider, conversation_id: str, text: str = "First") -> Iterator[StreamEvent]:
    """A response of which only the first event was taken."""
    events = provider.stream_response({"conversation": conversation_id, "input": text})
    next(events)
    return events


def test_while_a_response_runs_its_conversation_is_locked(database: str, make_provider: MakeProvider) -> None:
    one, other = make_provider(database), make_provider(database)
    conversation_id = one.create_conversation(metadata={}, items=[user("Zero")])["id"]
    item_id = one.list_items(conversation_id)["first_id"]
    running = begin(one, conversation_id)
    for provider in (one, other):
        for ask in (
            lambda service: service.create_response({"conversation": conversation_id, "input": "Second"}),
            lambda service: service.add_items(conversation_id, {"items": [user("Second")]}),
            lambda service: service.delete_item(conversation_id, item_id),
            lambda service: service.delete_conversation(conversation_id),
        ):
            with refused(400, LOCKED, code="conversation_locked", param="conversation"):
                ask(provider.service)
        with pytest.raises(ConversationLockedError):
            provider.create_response({"conversation": conversation_id, "input": "Second"})
    list(running)
    assert texts(one, conversation_id)[:2] == ["Zero", "First"]
    other.create_response({"conversation": conversation_id, "input": "Second"})
    assert len(texts(one, conversation_id)) == 5


def test_a_locked_conversation_can_be_read_and_others_are_free(everywhere: LocalProvider) -> None:
    locked, free = (everywhere.create_conversation(metadata={})["id"] for _ in range(2))
    running = begin(everywhere, locked)
    assert everywhere.list_items(locked)["data"] == []
    assert everywhere.update_conversation(locked, metadata={"a": "b"})["metadata"] == {"a": "b"}
    assert everywhere.create_response({"conversation": free, "input": "Hello"})["status"] == "completed"
    list(running)


def test_a_refused_request_leaves_no_lock(everywhere: LocalProvider) -> None:
    conversation_id = everywhere.create_conversation(metadata={})["id"]
    with refused(404, "Item with id 'msg_none' not found.", param="input"):
        everywhere.service.create_response({"conversation": conversation_id, "input": [{"id": "msg_none"}]})
    assert everywhere.create_response({"conversation": conversation_id, "input": "Hello"})["status"] == "completed"


def test_of_many_threads_one_gets_in(database: str, make_provider: MakeProvider) -> None:
    providers = [make_provider(database), make_provider(database)]
    conversation_id = providers[0].create_conversation(metadata={})["id"]
    start = threading.Barrier(8)

    def ask(number: int) -> Iterator[StreamEvent] | None:
        start.wait()
        try:
            return begin(providers[number % 2], conversation_id, f"Message {number}")
        except ConversationLockedError:
            return None

    with ThreadPoolExecutor(8) as pool:
        let_in = [events for events in pool.map(ask, range(8)) if events is not None]
    assert len(let_in) == 1
    list(let_in[0])
    assert len(texts(providers[0], conversation_id)) == 2


def test_turns_that_try_again_all_find_their_place(database: str, make_provider: MakeProvider) -> None:
    provider = make_provider(database)
    conversation_id = provider.create_conversation(metadata={})["id"]

    def ask(number: int) -> None:
        def tried() -> bool:
            try:
                return bool(provider.create_response({"conversation": conversation_id, "input": f"Message {number}"}))
            except ConversationLockedError:
                return False

        eventually(tried, 30)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(ask, range(6)))
    said = texts(provider, conversation_id)
    assert sorted(said[::2]) == [f"Message {number}" for number in range(6)]
    assert all(f'"{question}"' in answer for question, answer in zip(said[::2], said[1::2], strict=True))


@pytest.mark.slow
def test_a_running_response_keeps_its_lease(database: str, make_provider: MakeProvider) -> None:
    provider = make_provider(database, lease_seconds=0.5)
    conversation_id = provider.create_conversation(metadata={})["id"]
    running = begin(provider, conversation_id)

    def lease_until() -> float:
        with provider.service._log._database.read() as connection:
            query = select(running_responses.c.lease_until).where(
                running_responses.c.conversation_id == conversation_id
            )
            return connection.scalars(query).one()

    begun = lease_until()
    eventually(lambda: lease_until() > begun + 1)
    with pytest.raises(ConversationLockedError):
        provider.create_response({"conversation": conversation_id, "input": "Second"})
    *_, last = running
    assert last.type == "response.completed"


def test_a_response_that_lost_its_lease_appends_nothing(database: str, make_provider: MakeProvider) -> None:
    paused, other = make_provider(database, lease_seconds=0.5), make_provider(database)
    conversation_id = paused.create_conversation(metadata={})["id"]
    running = begin(paused, conversation_id, "Lost")
    paused.service._keeper.close()  # as if the whole process stood still

    def tried() -> Any:
        try:
            return other.create_response({"conversation": conversation_id, "input": "Second"})
        except ConversationLockedError:
            return None

    second = eventually(tried)
    *_, last = running
    assert last.type == "response.failed"
    assert texts(other, conversation_id) == ["Second", text_of(second)]


# --- Processes ---------------------------------------------------------------------------------------------

PAUSE = {"match": "POST /v1/responses", "fault": "pause", "events": 3, "times": None}


@pytest.fixture
def two(tmp_path: Path) -> Iterator[list[UpstreamProcess]]:
    """Two processes on one database, with a lease of one second, whose responses stop on their way."""
    database = tmp_path / "shared.db"
    with (
        UpstreamProcess(database=database, lease_seconds=1) as one,
        UpstreamProcess(database=database, lease_seconds=1) as other,
    ):
        for process in (one, other):
            process.faults(PAUSE)
        yield [one, other]


def respond(process: UpstreamProcess, conversation_id: str) -> requests.Response:
    body = {"conversation": conversation_id, "input": "Hello"}
    return requests.post(f"{process.url}/responses", json=body, timeout=30)


def new_conversation(process: UpstreamProcess) -> str:
    made: str = requests.post(f"{process.url}/conversations", json={}, timeout=10).json()["id"]
    return made


def test_of_two_processes_one_gets_in(two: list[UpstreamProcess]) -> None:
    conversation_id = new_conversation(two[0])
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(respond, process, conversation_id) for process in two]
        eventually(lambda: any(each.done() for each in asked))
        for process in two:
            process.release()
        answers = [each.result() for each in asked]
    assert sorted(answer.status_code for answer in answers) == [200, 400]
    assert [answer.json()["error"]["code"] for answer in answers if answer.status_code == 400] == [
        "conversation_locked"
    ]


def test_a_killed_process_frees_its_conversation(two: list[UpstreamProcess]) -> None:
    killed, other = two
    conversation_id = new_conversation(killed)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(respond, killed, conversation_id)
        eventually(lambda: killed.seen()["waiting"])
        other.withdraw()
        assert respond(other, conversation_id).status_code == 400
        killed.kill()
        assert isinstance(asked.exception(), requests.ConnectionError)
    answer = eventually(lambda: [last for last in [respond(other, conversation_id)] if last.status_code == 200])[0]
    page = requests.get(f"{other.url}/conversations/{conversation_id}/items", timeout=10).json()
    assert page["first_id"] == answer.json()["output"][0]["id"]
    assert len(page["data"]) == 2
