"""Items: what a client may post, in the form in which it is kept and given back."""

from __future__ import annotations

from typing import Any

from gateway.providers.local.checks import parse_object
from gateway.providers.local.wire import (
    JSON,
    WireError,
    invalid_type,
    invalid_value,
    is_id,
    missing_parameter,
    new_id,
    server_error,
)

PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "reasoning": "rs",
    "web_search_call": "ws",
    "file_search_call": "fs",
    "computer_call": "cu",
    "computer_call_output": "cuo",
    "code_interpreter_call": "ci",
    "image_generation_call": "ig",
    "local_shell_call": "lsh",
    "local_shell_call_output": "lsho",
    "shell_call": "sh",
    "shell_call_output": "sho",
    "apply_patch_call": "apc",
    "apply_patch_call_output": "apco",
    "mcp_list_tools": "mcpl",
    "mcp_approval_request": "mcpr",
    "mcp_approval_response": "mcpa",
    "mcp_call": "mcp",
    "compaction": "cmp",
}
"""How the ids of each type of item begin."""

ROLES = ("user", "assistant", "system", "developer")

_REQUIRED = {
    "function_call": ("call_id", "name", "arguments"),
    "function_call_output": ("call_id", "output"),
    "custom_tool_call": ("call_id", "name", "input"),
    "custom_tool_call_output": ("call_id", "output"),
    "reasoning": ("summary",),
}
_ANSWERS = ("function_call_output", "custom_tool_call_output")
_TEXTS = ("call_id", "name", "arguments", "input")
# Reasoning has a status only when the client gave one.
_WITHOUT_STATUS = {"reasoning", "mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "compaction"}
_PART_TYPES = {
    "input_text": "text",
    "output_text": "text",
    "text": "text",
    "summary_text": "text",
    "reasoning_text": "text",
    "refusal": "refusal",
    "input_image": None,
    "input_file": None,
    "input_audio": None,
    "computer_screenshot": None,
}


def parse_item(value: Any, param: str) -> JSON:
    """A posted item as it is kept, still without an id of ours when it brought none.

    An `item_reference` stays what it is: whoever knows the stored items resolves it.
    """
    item = parse_object(param, value)
    kind = item.get("type") or ("message" if "role" in item else "item_reference" if set(item) == {"id"} else None)
    if kind is None:
        raise missing_parameter(f"{param}.type")
    item_id = item.get("id")
    if item_id is not None and not isinstance(item_id, str):
        raise invalid_type(f"{param}.id", "a string", item_id)
    if item_id is not None and not is_id(item_id):
        raise invalid_value(
            f"{param}.id",
            f"Invalid '{param}.id': '{item_id}'. Expected at most 64 letters, numbers, underscores, or dashes.",
        )
    if kind == "item_reference":
        if item_id is None:
            raise missing_parameter(f"{param}.id")
        return {"type": kind, "id": item_id}
    if not isinstance(kind, str) or kind not in PREFIXES:
        supported = ", ".join(f"'{name}'" for name in PREFIXES)
        raise invalid_value(param, f"Invalid value: '{kind}'. Supported values are: {supported}.")
    if item_id is not None and not item_id.startswith(PREFIXES[kind]):
        raise invalid_value(
            f"{param}.id", f"Invalid '{param}.id': '{item_id}'. Expected an ID that begins with '{PREFIXES[kind]}'."
        )
    if kind == "message":
        return _parse_message(item, param)
    for name in _REQUIRED.get(kind, ()):
        if item.get(name) is None:
            raise missing_parameter(f"{param}.{name}")
    for name in _TEXTS:
        if item.get(name) is not None and not isinstance(item[name], str):
            raise invalid_type(f"{param}.{name}", "a string", item[name])
    if kind in _ANSWERS:
        item = {**item, "output": _parse_output(item["output"], f"{param}.output")}
    if kind not in _WITHOUT_STATUS:
        return {"id": item_id, "type": kind, "status": "completed", **_without(item, "id", "type")}
    return {"id": item_id, "type": kind, **_without(item, "id", "type")}


def parse_output_item(value: Any) -> JSON:
    """An item that a model gave whole, with an id of ours. Its type may be newer than we are; one that we know is held
    to what a client may post, for it is read like that from then on.
    """
    try:
        item = parse_object("output", value)
        kind = item.get("type")
        if not isinstance(kind, str):
            raise missing_parameter("output.type")
        item = _without(item, "id")
        if kind in PREFIXES:
            item = parse_item(item, "output")
    except WireError as exc:
        raise server_error("The model's answer makes no sense.") from exc
    return {**item, "id": new_id(PREFIXES.get(kind, "item"))}


def with_id(item: JSON) -> JSON:
    """The item, named by us if it has no name."""
    if item.get("id") is None:
        item["id"] = new_id(PREFIXES[item["type"]])
    return item


def parts_of(item: JSON) -> list[JSON]:
    """What an item consists of. Only a message's `content` was checked: that of others may be anything."""
    content = item.get("content")
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []


def words_of(part: JSON) -> str:
    words = part.get("text") or part.get("refusal")
    return words if isinstance(words, str) else ""


def text_of(item: JSON) -> str:
    """The words of a message."""
    return "\n".join(filter(None, map(words_of, parts_of(item))))


def output_text(text: str) -> JSON:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _parse_message(item: JSON, param: str) -> JSON:
    role = item.get("role")
    if role is None:
        raise missing_parameter(f"{param}.role")
    if role not in ROLES:
        supported = ", ".join(f"'{name}'" for name in ROLES)
        raise invalid_value(f"{param}.role", f"Invalid value: '{role}'. Supported values are: {supported}.")
    content = item.get("content")
    if content is None:
        raise missing_parameter(f"{param}.content")
    if isinstance(content, str):
        content = [{"type": "output_text" if role == "assistant" else "input_text", "text": content}]
    if not isinstance(content, list):
        raise invalid_type(f"{param}.content", "one of an array of objects or string", content)
    return {
        "id": item.get("id"),
        "type": "message",
        "status": item.get("status") or "completed",
        "content": [_parse_part(part, f"{param}.content[{index}]") for index, part in enumerate(content)],
        "role": role,
        **_without(item, "id", "type", "status", "content", "role"),
    }


def _parse_output(value: Any, param: str) -> str | list[JSON]:
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise invalid_type(param, "one of a string or array of objects", value)
    return [_parse_part(part, f"{param}[{index}]") for index, part in enumerate(value)]


def _parse_part(value: Any, param: str) -> JSON:
    part = parse_object(param, value)
    kind = part.get("type")
    if kind is None:
        raise missing_parameter(f"{param}.type")
    if not isinstance(kind, str) or kind not in _PART_TYPES:
        supported = ", ".join(f"'{name}'" for name in _PART_TYPES)
        raise invalid_value(param, f"Invalid value: '{kind}'. Supported values are: {supported}.")
    if (words := _PART_TYPES[kind]) and not isinstance(part.get(words), str):
        raise (
            missing_parameter(f"{param}.{words}")
            if words not in part
            else invalid_type(f"{param}.{words}", "a string", part[words])
        )
    if kind == "output_text":
        return {**output_text(""), **part}
    return part


def _without(item: JSON, *names: str) -> JSON:
    return {name: value for name, value in item.items() if name not in names}
