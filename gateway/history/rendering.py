"""What a reader is told of an item: who speaks, and the parts of what is said. Nothing that a screen cannot show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import orjson


class Kind(Enum):
    TEXT = "text"
    CODE = "code"
    QUOTE = "quote"
    """Words that were thought, not said."""
    NOTE = "note"
    """Ours, about something that is no text."""


@dataclass(frozen=True, slots=True)
class Part:
    kind: Kind
    text: str
    language: str = ""
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    title: str
    parts: list[Part]
    is_message: bool = False


_SPEAKERS = {"user": "User", "assistant": "Assistant", "system": "System", "developer": "Developer"}


class ItemRenderer:
    """Reads the items of one conversation in their order: an output is named after its call."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def read(self, item: Mapping[str, Any]) -> Passage:
        kind = str(item.get("type") or "message")
        if kind == "message":
            role = str(item.get("role"))
            return Passage(_SPEAKERS.get(role, role.capitalize()), list(_content(item.get("content"))), is_message=True)
        if kind == "reasoning":
            return Passage("Reasoning", list(_thoughts(item)))
        if kind.endswith("_output"):
            name = self._names.pop(str(item.get("call_id")), None)
            return Passage(f"Output of {name}" if name else _words(kind), list(_output(item.get("output"))))
        name = str(item.get("name") or _words(kind))
        if "call_id" in item:
            self._names[str(item["call_id"])] = name
        title = f"Call of {name}" if item.get("name") else name
        return Passage(title, list(_call(item)))


def _content(content: Any) -> Iterator[Part]:
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    for part in content or ():
        kind = str(part.get("type"))
        if part.get("refusal"):
            yield Part(Kind.NOTE, "refused")
            yield Part(Kind.TEXT, part["refusal"])
        elif isinstance(part.get("text"), str):
            yield Part(Kind.TEXT, part["text"])
        elif kind in ("input_image", "computer_screenshot"):
            yield _attachment("picture", part.get("image_url"), part.get("file_id"))
        elif kind == "input_file":
            name = part.get("filename") or part.get("file_id")
            yield _attachment("file", part.get("file_url") or part.get("file_data"), name)
        elif kind == "input_audio":
            yield Part(Kind.NOTE, "recording")
            if part.get("transcript"):
                yield Part(Kind.TEXT, part["transcript"])
        else:
            yield Part(Kind.NOTE, _words(kind).lower())


def _attachment(what: str, url: Any, name: Any) -> Part:
    """A picture or a file by its name or address. What was sent inside the message is not repeated here."""
    words = f"{what} {name}" if name else what
    if isinstance(url, str) and url.startswith(("http://", "https://")) and not set(url) & set("<>\n\r"):
        return Part(Kind.NOTE, words, link=url)
    return Part(Kind.NOTE, words)


def _thoughts(item: Mapping[str, Any]) -> Iterator[Part]:
    said = [*(item.get("summary") or ()), *(item.get("content") or ())]
    texts = [part["text"] for part in said if part.get("text")]
    yield from (Part(Kind.QUOTE, text) for text in texts)
    if not texts:
        yield Part(Kind.NOTE, "not shown by the provider")


def _output(output: Any) -> Iterator[Part]:
    if isinstance(output, str):
        yield _code(output)
    elif isinstance(output, list) and all("type" in part for part in output):
        yield from _content(output)
    else:
        yield _code(orjson.dumps(output).decode())


_ASKED = ("arguments", "input", "code", "action", "queries", "operation")
"""Where the several kinds of calls keep what they ask for."""


def _call(item: Mapping[str, Any]) -> Iterator[Part]:
    for name in _ASKED:
        if asked := item.get(name):
            yield _code(asked if isinstance(asked, str) else orjson.dumps(asked).decode(), python=name == "code")
    # Calls that the provider itself carries out keep what came of it in the same item.
    for name in ("output", "outputs", "error"):
        if came := item.get(name):
            yield from _output(came if isinstance(came, str) else orjson.dumps(came).decode())


def _code(text: str, *, python: bool = False) -> Part:
    if python:
        return Part(Kind.CODE, text, "python")
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return Part(Kind.CODE, text)
    if not isinstance(value, dict | list):
        return Part(Kind.CODE, text)
    return Part(Kind.CODE, orjson.dumps(value, option=orjson.OPT_INDENT_2).decode(), "json")


def _words(kind: str) -> str:
    return kind.replace("_", " ").capitalize()
