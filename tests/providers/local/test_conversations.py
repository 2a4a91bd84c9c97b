"""Conversations and their items: what is kept, in which order, and what is refused in which words."""

import re
from typing import Any

import pytest

from gateway.errors import ConversationGoneError, InvalidRequestError, NotFoundError
from gateway.providers.base import all_items
from gateway.providers.local import LocalProvider
from tests.providers.local.conftest import refused, texts, user

NOWHERE = "conv_" + "0" * 48


def test_a_conversation_is_read_back_as_it_was_made(everywhere: LocalProvider) -> None:
    made = everywhere.create_conversation(metadata={"topic": "Grüße 👋"})
    assert re.fullmatch(r"conv_[0-9a-f]{48}", made["id"])
    assert everywhere.retrieve_conversation(made["id"]) == made
    assert made["metadata"] == {"topic": "Grüße 👋"}


def test_new_metadata_replaces_the_old(everywhere: LocalProvider) -> None:
    made = everywhere.create_conversation(metadata={"a": "1", "b": "2"})
    changed = everywhere.update_conversation(made["id"], metadata={"b": "3"})
    assert changed == {**made, "metadata": {"b": "3"}} == everywhere.retrieve_conversation(made["id"])


def test_a_deleted_conversation_reads_as_if_it_had_never_been(everywhere: LocalProvider) -> None:
    gone = everywhere.create_conversation(metadata={})["id"]
    everywhere.delete_conversation(gone)
    for conversation_id in (gone, NOWHERE):
        message = f"Conversation with id '{conversation_id}' not found."
        for ask in (
            everywhere.service.retrieve_conversation,
            everywhere.service.delete_conversation,
            everywhere.service.list_items,
            lambda name: everywhere.service.update_conversation(name, {"metadata": {}}),
            lambda name: everywhere.service.add_items(name, {"items": [user("Hello")]}),
            lambda name: everywhere.service.retrieve_item(name, "msg_1"),
            lambda name: everywhere.service.delete_item(name, "msg_1"),
            lambda name: everywhere.service.create_response({"conversation": name, "input": "Hello"}),
        ):
            with refused(404, message):
                ask(conversation_id)


def test_items_come_back_in_their_order_page_by_page(everywhere: LocalProvider) -> None:
    said = [f"Message {number}" for number in range(45)]
    conversation_id = everywhere.create_conversation(metadata={}, items=[user(text) for text in said[:20]])["id"]
    everywhere.add_items(conversation_id, [user(text) for text in said[20:40]])
    everywhere.add_items(conversation_id, [user(text) for text in said[40:]])
    assert texts(everywhere, conversation_id) == said
    newest = everywhere.list_items(conversation_id)
    assert [item["content"][0]["text"] for item in newest["data"]] == said[:-21:-1]
    assert newest["has_more"] is True
    older = everywhere.list_items(conversation_id, after=newest["last_id"], limit=25)
    assert [item["content"][0]["text"] for item in older["data"]] == said[24::-1]
    assert older["has_more"] is False
    newer = everywhere.list_items(conversation_id, order="asc", after=older["first_id"], limit=1)
    assert newer["data"] == [newest["data"][-1]]
    assert newer["first_id"] == newer["last_id"] == newest["last_id"]
    assert len(list(all_items(everywhere, conversation_id))) == 45


def test_an_empty_list_has_null_ids(everywhere: LocalProvider) -> None:
    conversation_id = everywhere.create_conversation(metadata={})["id"]
    empty = {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    assert everywhere.list_items(conversation_id) == empty


def test_adding_answers_with_the_added_items_only(everywhere: LocalProvider) -> None:
    conversation_id = everywhere.create_conversation(metadata={}, items=[user("Old")])["id"]
    added = everywhere.add_items(conversation_id, [user("New")])
    (item,) = added["data"]
    assert re.fullmatch(r"msg_[0-9a-f]{50}", item["id"])
    assert item == {
        "id": item["id"],
        "type": "message",
        "status": "completed",
        "content": [{"type": "input_text", "text": "New"}],
        "role": "user",
    }
    assert everywhere.retrieve_item(conversation_id, item["id"]) == item


def test_deleting_an_item_answers_with_its_conversation(everywhere: LocalProvider) -> None:
    made = everywhere.create_conversation(metadata={"a": "b"}, items=[user("One"), user("Two")])
    newest = everywhere.list_items(made["id"])["first_id"]
    assert everywhere.delete_item(made["id"], newest) == made
    assert texts(everywhere, made["id"]) == ["One"]
    for ask in (everywhere.service.delete_item, everywhere.service.retrieve_item):
        with refused(404, f"Item with id '{newest}' not found in conversation."):
            ask(made["id"], newest)


def test_an_item_of_another_conversation_is_not_found_in_this_one(everywhere: LocalProvider) -> None:
    mine = everywhere.create_conversation(metadata={})["id"]
    other = everywhere.create_conversation(metadata={}, items=[user("Secret")])["id"]
    item_id = everywhere.list_items(other)["first_id"]
    with refused(404, f"Item with id '{item_id}' not found in conversation."):
        everywhere.service.retrieve_item(mine, item_id)
    with refused(404, f"No item found with id '{item_id}'", param="after"):
        everywhere.service.list_items(mine, after=item_id)


def test_a_posted_id_of_an_item_stored_elsewhere_brings_that_items_content(everywhere: LocalProvider) -> None:
    other = everywhere.create_conversation(metadata={}, items=[user("Secret")])["id"]
    secret = everywhere.list_items(other)["data"][0]
    mine = everywhere.create_conversation(metadata={})["id"]
    assert everywhere.add_items(mine, [user("Harmless", id=secret["id"])])["data"] == [secret]
    everywhere.delete_conversation(other)
    again = everywhere.create_conversation(metadata={})["id"]
    assert everywhere.add_items(again, [{"type": "item_reference", "id": secret["id"]}])["data"] == [secret]


def test_a_posted_id_that_is_nowhere_is_kept(provider: LocalProvider) -> None:
    conversation_id = provider.create_conversation(metadata={})["id"]
    assert provider.add_items(conversation_id, [user("Hello", id="msg_mine")])["first_id"] == "msg_mine"


def test_an_item_is_in_a_conversation_once(everywhere: LocalProvider) -> None:
    conversation_id = everywhere.create_conversation(metadata={}, items=[user("Hello")])["id"]
    item = everywhere.list_items(conversation_id)["data"][0]
    with refused(400, "Item already in conversation", code="item_already_in_conversation", param="items"):
        everywhere.service.add_items(conversation_id, {"items": [user("New"), item]})
    assert texts(everywhere, conversation_id) == ["Hello"]


def test_a_reference_to_nothing_is_refused(provider: LocalProvider) -> None:
    with refused(404, "Item with id 'msg_none' not found.", param="input"):
        provider.service.create_response({"input": [{"type": "item_reference", "id": "msg_none"}]})


@pytest.mark.parametrize(
    ("limit", "message", "code"),
    [
        (
            1000,
            "Invalid 'limit': integer above maximum value. Expected a value <= 100, but got 1000 instead.",
            "integer_above_max_value",
        ),
        (
            "0",
            "Invalid 'limit': integer below minimum value. Expected a value >= 1, but got 0 instead.",
            "integer_below_min_value",
        ),
        ("ten", "Invalid type for 'limit': expected an integer, but got a string instead.", "invalid_type"),
    ],
)
def test_a_page_has_1_to_100_items(provider: LocalProvider, limit: Any, message: str, code: str) -> None:
    conversation_id = provider.create_conversation(metadata={})["id"]
    with refused(400, message, code=code, param="limit"):
        provider.service.list_items(conversation_id, limit=limit)


def test_the_order_is_asc_or_desc(provider: LocalProvider) -> None:
    with refused(
        400, "Invalid value: 'up'. Supported values are: 'asc' and 'desc'.", code="invalid_value", param="order"
    ):
        provider.service.list_items(NOWHERE, order="up")


def test_20_items_a_call(provider: LocalProvider) -> None:
    conversation_id = provider.create_conversation(metadata={})["id"]
    for ask in (
        provider.service.create_conversation,
        lambda body: provider.service.add_items(conversation_id, body),
    ):
        with refused(
            400,
            "Invalid 'items': array too long. Expected an array with maximum length 20, "
            "but got an array with length 21 instead.",
            code="array_above_max_length",
            param="items",
        ):
            ask({"items": [user("Hello")] * 21})


@pytest.mark.parametrize(
    ("metadata", "message", "code", "param"),
    [
        (
            {str(number): "" for number in range(17)},
            "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, "
            "but got an object with 17 properties instead.",
            "object_above_max_properties",
            "metadata",
        ),
        (
            {"k": "v" * 513},
            "Invalid 'metadata.k': string too long. Expected a string with maximum length 512, "
            "but got a string with length 513 instead.",
            "string_above_max_length",
            "metadata.k",
        ),
        ({"k": 1}, "Invalid type for 'metadata.k': expected a string, but got an integer instead.", "invalid_type",
         "metadata.k"),
    ],
)  # fmt: skip
def test_metadata_has_limits(provider: LocalProvider, metadata: Any, message: str, code: str, param: str) -> None:
    conversation_id = provider.create_conversation(metadata={"k" * 64: "v" * 512})["id"]
    for ask in (
        provider.service.create_conversation,
        lambda body: provider.service.update_conversation(conversation_id, body),
        lambda body: provider.service.create_response({**body, "input": "Hello"}),
    ):
        with refused(400, message, code=code, param=param):
            ask({"metadata": metadata})


def test_a_metadata_key_has_64_characters(provider: LocalProvider) -> None:
    with pytest.raises(InvalidRequestError, match=r"Expected a string with maximum length 64, but got .* 65 instead"):
        provider.create_conversation(metadata={"k" * 65: "v"})


@pytest.mark.parametrize(
    ("item", "message", "param"),
    [
        ({"type": "message", "content": "Hello"}, "Missing required parameter: 'items[0].role'.", "items[0].role"),
        ({"role": "user"}, "Missing required parameter: 'items[0].content'.", "items[0].content"),
        ({"type": "function_call", "name": "f", "arguments": "{}"}, "Missing required parameter: 'items[0].call_id'.",
         "items[0].call_id"),
        ({"content": "Hello"}, "Missing required parameter: 'items[0].type'.", "items[0].type"),
    ],
)  # fmt: skip
def test_an_item_has_what_its_type_needs(provider: LocalProvider, item: Any, message: str, param: str) -> None:
    with refused(400, message, code="missing_required_parameter", param=param):
        provider.service.create_conversation({"items": [item]})


@pytest.mark.parametrize(
    "item",
    [
        {"type": "poem", "text": "…"},
        {"role": "king", "content": "…"},
        {"role": "user", "content": [{"type": "smell"}]},
        {"role": "user", "content": [{"type": "input_text", "text": 5}]},
        {"role": "user", "content": 5},
        {"role": "user", "content": "…", "id": "msg_\0"},
        {"role": "user", "content": "…", "id": "msg_" + "1" * 61},
        {"type": "function_call", "id": "msg_1", "call_id": "c", "name": "f", "arguments": "{}"},
        "Hello",
    ],
)
def test_an_item_of_a_wrong_kind_is_refused(provider: LocalProvider, item: Any) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        provider.create_conversation(metadata={}, items=[item])
    assert caught.value.details["provider_code"] in ("invalid_value", "invalid_type")


def test_an_id_that_is_no_conversations_is_refused(provider: LocalProvider) -> None:
    message = "Invalid 'conversation': 'user_1'. Expected an ID that begins with 'conv'."
    with refused(400, message, code="invalid_value", param="conversation"):
        provider.service.create_response({"conversation": "user_1", "input": "Hello"})


def test_what_cannot_be_an_id_is_not_found(everywhere: LocalProvider) -> None:
    conversation_id = everywhere.create_conversation(metadata={})["id"]
    for name in ("\0", "msg_ü👋", "x" * 70_000, ""):
        with refused(404, f"Item with id '{name}' not found in conversation."):
            everywhere.service.retrieve_item(conversation_id, name)
        with refused(404, f"No item found with id '{name}'", param="after"):
            everywhere.service.list_items(conversation_id, after=name)
        with refused(404, f"Response with id '{name}' not found."):
            everywhere.service.retrieve_response(name)
        with refused(404, f"Conversation with id 'conv_ {name}' not found."):
            everywhere.service.retrieve_conversation(f"conv_ {name}")


def test_errors_leave_the_provider_as_the_gateways_own(provider: LocalProvider) -> None:
    with pytest.raises(ConversationGoneError):
        provider.retrieve_conversation(NOWHERE)
    with pytest.raises(NotFoundError):
        provider.retrieve_response("resp_none")
    conversation_id = provider.create_conversation(metadata={})["id"]
    with pytest.raises(NotFoundError):
        provider.retrieve_item(conversation_id, "msg_none")
    with pytest.raises(InvalidRequestError) as caught:
        provider.list_items(conversation_id, after="msg_none")
    assert caught.value.param == "after"
