"""The built-in model: it knows nothing, but it reads the whole conversation and shows that it did.

Deterministic: the same conversation gets the same words. It quotes what was said before, calls a tool when the message
says `call NAME` or `call NAME {"its": "arguments"}`, and fills in any JSON schema that it is given.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import orjson

from gateway.providers.local.items import parts_of, text_of, words_of
from gateway.providers.local.minimal import SchemaError, minimal_instance
from gateway.providers.local.models import (
    CallDelta,
    CallStarted,
    Finished,
    Model,
    ModelRequest,
    Piece,
    Pieces,
    TextDelta,
)
from gateway.providers.local.wire import JSON, WireError, new_id

_CALL = re.compile(r"\bcall\s+([A-Za-z0-9_-]+)\s*", re.IGNORECASE)
_WORD = re.compile(r"\s*\S+|\s+$")
_CHUNK = re.compile(r".{1,12}", re.DOTALL)
# How many earlier messages an answer quotes, and how much of each.
_QUOTED = 6
_QUOTE_LENGTH = 240
_PICTURE_TOKENS = 85
_CALLS_AN_ANSWER = 16


class DemoModel(Model):
    """Needs no key, no network and no time."""

    def __init__(self, name: str) -> None:
        self._name = name

    def start(self, request: ModelRequest) -> Pieces:
        # Thought out before the first piece: what cannot be answered is refused.
        calls = _calls(request)
        return _pieces(request, calls, "" if calls else _text(request))

    def check(self) -> None:
        pass

    def close(self) -> None:
        pass

    def list_models(self) -> list[JSON]:
        return [{"id": self._name, "object": "model", "created": 0, "owned_by": "gateway"}]


def _pieces(request: ModelRequest, calls: Sequence[tuple[str, str]], text: str) -> Pieces:
    limit = request.body.get("max_output_tokens")
    used, reason = 0, None
    for piece, tokens in _answer(calls, text):
        if limit is not None and used + tokens > limit:
            used, reason = limit, "max_output_tokens"
            break
        used += tokens
        yield piece
    yield Finished(_input_tokens(request), used, incomplete_reason=reason)


def _answer(calls: Sequence[tuple[str, str]], text: str) -> Iterator[tuple[Piece, int]]:
    for name, arguments in calls:
        yield CallStarted(name, new_id("call")), _tokens(name)
        for chunk in _CHUNK.findall(arguments):
            yield CallDelta(chunk), _tokens(chunk)
    for word in _WORD.findall(text):
        yield TextDelta(word), _tokens(word)


# --- What it answers ---------------------------------------------------------------------------------------


def _text(request: ModelRequest) -> str:
    said = [_words(item) for item in request.items if _is_users(item)]
    form = (request.body.get("text") or {}).get("format") or {}
    latest = said[-1] if said else ""
    if form.get("type") == "json_schema":
        try:
            return _in_form(form["schema"], latest)
        except SchemaError as exc:
            raise WireError(
                400,
                f"Invalid schema for response_format: {exc}.",
                code="invalid_json_schema",
                param="text.format.schema",
            ) from exc
    if form.get("type") == "json_object":
        return orjson.dumps({"you_said": latest, "you_said_before": said[:-1]}).decode()
    if outputs := _outputs_since_the_last_message(request.items):
        answers = " ".join(f"The tool {name} answered {_quote(output)}." for name, output in outputs)
        return f"{answers} You had asked: {_quote(latest)}." if said else answers
    if not said:
        return "I am the built-in demo model. Nothing was said yet that I could answer."
    if len(said) == 1:
        return (
            f"You said: {_quote(latest)}. This is your first message here, and I will remember it. "
            "(I am the built-in demo model: I only repeat what I read.)"
        )
    earlier = said[:-1]
    # The first one, and the most recent ones.
    kept = earlier if len(earlier) <= _QUOTED else [earlier[0], *earlier[-(_QUOTED - 1) :]]
    return (
        f"You said: {_quote(latest)}. I remember: earlier you said {', then '.join(map(_quote, kept))}. "
        f"That makes {len(said)} messages from you in this conversation."
    )


def _in_form(schema: JSON, words: str) -> str:
    return orjson.dumps(minimal_instance(schema, words)).decode()


def _is_users(item: JSON) -> bool:
    """Whether it is a message of the user's: other items may have a role too, whatever that says."""
    return (item["type"], item.get("role")) == ("message", "user")


def _words(message: JSON) -> str:
    """The message in words; what is not text is only named."""
    parts = [text_of(message)]
    for part in message.get("content", ()):
        if part["type"] == "input_image":
            parts.append("[a picture]")
        elif part["type"] == "input_file":
            parts.append(f"[the file {part.get('filename') or part.get('file_id') or part.get('file_url')}]")
        elif part["type"] == "input_audio":
            parts.append("[a recording]")
    return " ".join(part for part in parts if part)


def _quote(text: str) -> str:
    return f'"{text}"' if len(text) <= _QUOTE_LENGTH else f'"{text[:_QUOTE_LENGTH]}…"'


# --- Tools -------------------------------------------------------------------------------------------------


def _calls(request: ModelRequest) -> list[tuple[str, str]]:
    """The functions that are to be called now, with their arguments."""
    functions = {tool["name"]: tool for tool in request.body.get("tools") or () if tool.get("type") == "function"}
    choice = request.body.get("tool_choice") or "auto"
    if not functions or choice == "none":
        return []
    latest = next((text_of(item) for item in reversed(request.items) if _is_users(item)), "")
    asked_for = _asked_for(latest, functions)
    if isinstance(choice, Mapping) and choice.get("type") == "function":
        name = choice["name"]
        return [call for call in asked_for if call[0] == name][:1] or [(name, _arguments(functions[name], latest))]
    if choice == "required":
        first = next(iter(functions.values()))
        calls = asked_for or [(first["name"], _arguments(first, latest))]
    else:
        calls = [] if _outputs_since_the_last_message(request.items) else asked_for
    return calls[:1] if request.body.get("parallel_tool_calls") is False else calls


def _asked_for(text: str, functions: Mapping[str, JSON]) -> list[tuple[str, str]]:
    calls = ((found[1], found.end()) for found in _CALL.finditer(text) if found[1] in functions)
    return [
        (name, _given_arguments(text, end) or _arguments(functions[name], text))
        for name, end in islice(calls, _CALLS_AN_ANSWER)
    ]


def _given_arguments(text: str, start: int) -> str | None:
    if not text.startswith("{", start):
        return None
    try:
        given, _ = json.JSONDecoder().raw_decode(text, start)
        return orjson.dumps(given).decode()
    except (ValueError, TypeError, RecursionError):  # not JSON, or not what JSON can be written of
        return None


def _arguments(function: JSON, words: str) -> str:
    try:
        return _in_form(function.get("parameters") or {"type": "object"}, words)
    except SchemaError as exc:
        raise WireError(
            400,
            f"Invalid schema for function '{function['name']}': {exc}.",
            code="invalid_function_parameters",
            param="tools",
        ) from exc


def _outputs_since_the_last_message(items: Sequence[JSON]) -> list[tuple[str, str]]:
    """The names of the tools that answered since the user last spoke, with their answers."""
    outputs: list[tuple[str, Any]] = []
    for item in reversed(items):
        if _is_users(item):
            break
        if item["type"] == "function_call_output":
            outputs.append((item["call_id"], item["output"]))
    names = {item["call_id"]: item["name"] for item in items if item["type"] == "function_call"} if outputs else {}
    return [
        (names.get(call_id, call_id), output if isinstance(output, str) else text_of({"content": output}))
        for call_id, output in reversed(outputs)
    ]


# --- Tokens ------------------------------------------------------------------------------------------------


def _tokens(text: str) -> int:
    """About four characters are a token."""
    return -(-len(text) // 4)


def _input_tokens(request: ModelRequest) -> int:
    instructions = request.body.get("instructions")
    return _tokens(instructions if isinstance(instructions, str) else "") + sum(map(_item_tokens, request.items))


def _item_tokens(item: JSON) -> int:
    count = 4  # what sets an item apart from the next
    for field in ("name", "arguments", "input", "output"):
        value: Any = item.get(field)
        if isinstance(value, str):
            count += _tokens(value)
    for part in parts_of(item):
        count += _PICTURE_TOKENS if part.get("type") == "input_image" else _tokens(words_of(part))
    return count
