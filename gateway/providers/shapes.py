"""The provider's objects, as far as anybody here looks into them.

What is not looked into is not checked. Whatever is not of these shapes may mean that the request was carried out all
the same, so it is no reason to send it again: `UnreadableAnswerError`.
"""

from __future__ import annotations

from typing import Any

from gateway.errors import UnreadableAnswerError
from gateway.events import StreamEvent
from gateway.model import JSON


def parse_object(value: object) -> JSON:
    """An object that has an id: a conversation, an item."""
    if not isinstance(value, dict) or not isinstance(value.get("id"), str):
        raise UnreadableAnswerError()
    return value


def parse_page(value: object) -> JSON:
    """The list envelope: `data` is a list of objects with ids."""
    if not isinstance(value, dict) or not isinstance(value.get("data"), list):
        raise UnreadableAnswerError()
    for each in value["data"]:
        parse_object(each)
    return value


def parse_response(value: object) -> JSON:
    """A response with its output: a list of objects, of which messages have their words in `content`."""
    response = parse_object(value)
    output = response.get("output")
    if not _is_list_of_objects(output):
        raise UnreadableAnswerError()
    for item in output or ():
        if not isinstance(item.get("id"), str | None):
            raise UnreadableAnswerError()
        if item.get("type") == "message" and not _is_list_of_objects(item.get("content")):
            raise UnreadableAnswerError()
    for name in ("error", "incomplete_details"):
        if not isinstance(response.get(name), dict | None):
            raise UnreadableAnswerError()
    return response


def response_of(event: StreamEvent) -> JSON:
    """The response that an event of its stream brings along."""
    return parse_response(event.json().get("response"))


def _is_list_of_objects(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(each, dict) for each in value))
