"""What was deleted is not in the database's files any more."""

import random
import threading
from collections.abc import Callable
from pathlib import Path

from gateway.providers.base import all_items
from gateway.providers.local import LocalProvider
from tests.harness.support import eventually
from tests.providers.local.conftest import user


def in_files(folder: Path, words: str) -> bool:
    return any(words.encode() in path.read_bytes() for path in folder.iterdir())


def erase(provider: LocalProvider, conversation_id: str, response_ids: list[str]) -> None:
    for item in list(all_items(provider, conversation_id)):
        provider.delete_item(conversation_id, item["id"])
    provider.delete_conversation(conversation_id)
    for response_id in response_ids:
        provider.delete_response(response_id)


def test_erased_text_is_in_no_file(provider: LocalProvider, tmp_path: Path) -> None:
    conversation_id = provider.create_conversation(metadata={"name": "METADATA-SECRET"})["id"]
    response = provider.create_response({"conversation": conversation_id, "input": "MESSAGE-SECRET"})
    kept = provider.create_conversation(metadata={}, items=[user("MESSAGE-KEPT")])["id"]
    assert in_files(tmp_path, "MESSAGE-SECRET")
    erase(provider, conversation_id, [response["id"]])
    assert not in_files(tmp_path, "METADATA-SECRET")
    assert not in_files(tmp_path, "MESSAGE-SECRET")
    assert in_files(tmp_path, "MESSAGE-KEPT")
    assert len(provider.list_items(kept)["data"]) == 1


def test_a_single_deleted_item_is_in_no_file(provider: LocalProvider, tmp_path: Path) -> None:
    made = provider.create_conversation(metadata={}, items=[user("SECRET-ONE"), user("KEPT-TWO")])
    first = provider.list_items(made["id"], order="asc")["first_id"]
    provider.delete_item(made["id"], first)
    assert not in_files(tmp_path, "SECRET-ONE")
    assert in_files(tmp_path, "KEPT-TWO")


def test_no_copy_stays_behind_when_pages_are_rebuilt(provider: LocalProvider, tmp_path: Path) -> None:
    """Conversations of all sizes come and go between each other, so that SQLite splits and merges its pages."""
    choose = random.Random(5)
    alive: dict[str, tuple[str, list[str]]] = {}
    for number in range(60):
        words = f"SECRET-{number:04d}-"
        conversation_id = provider.create_conversation(metadata={"words": words})["id"]
        alive[conversation_id] = (words, [])
        for _ in range(2):
            some = choose.choice(list(alive))
            text = alive[some][0] * choose.choice([1, 3, 30, 300])
            alive[some][1].append(provider.create_response({"conversation": some, "input": text})["id"])
        if number % 2:
            gone = choose.choice(list(alive))
            words, response_ids = alive.pop(gone)
            erase(provider, gone, response_ids)
            assert not in_files(tmp_path, words)


def test_a_reader_only_delays_it(tmp_path: Path, make_provider: Callable[..., LocalProvider]) -> None:
    provider = make_provider(tmp_path / "local.db", lease_seconds=0.3)
    made = provider.create_conversation(metadata={}, items=[user("SECRET-ONE")])
    item_id = provider.list_items(made["id"])["first_id"]
    opened, closing = threading.Event(), threading.Event()

    def read_slowly() -> None:
        with provider.service._log._database.read() as connection:
            connection.exec_driver_sql("BEGIN")
            connection.exec_driver_sql("SELECT count(*) FROM local_items").all()
            opened.set()
            closing.wait(10)
            connection.exec_driver_sql("COMMIT")

    reader = threading.Thread(target=read_slowly)
    reader.start()
    opened.wait(10)
    provider.delete_item(made["id"], item_id)
    assert in_files(tmp_path, "SECRET-ONE")
    closing.set()
    reader.join()
    eventually(lambda: not in_files(tmp_path, "SECRET-ONE"))


def test_the_database_is_for_its_owner_only(provider: LocalProvider, tmp_path: Path) -> None:
    provider.create_conversation(metadata={})
    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}
