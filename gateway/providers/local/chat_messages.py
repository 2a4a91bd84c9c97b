"""From items and Responses parameters to the body of a chat completion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.providers.local.items import text_of
from gateway.providers.local.models import ModelRequest
from gateway.providers.local.wire import JSON, invalid_value

# Our parameter, and the chat API's word for it.
_PARAMETERS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "max_output_tokens": "max_tokens",
    "user": "user",
}


def chat_body(request: ModelRequest) -> JSON:
    """The body that asks for the same answer, streamed and with its usage."""
    given = request.body
    body: JSON = {
        "model": request.model,
        "messages": chat_messages(request.items, given.get("instructions")),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    body.update({theirs: given[ours] for ours, theirs in _PARAMETERS.items() if given.get(ours) is not None})
    if effort := (given.get("reasoning") or {}).get("effort"):
        body["reasoning_effort"] = effort
    if form := _response_format((given.get("text") or {}).get("format") or {}):
        body["response_format"] = form
    if given.get("tools"):
        body["tools"] = [_tool(tool, index) for index, tool in enumerate(given["tools"])]
        if given.get("parallel_tool_calls") is not None:
            body["parallel_tool_calls"] = given["parallel_tool_calls"]
        if choice := given.get("tool_choice"):
            body["tool_choice"] = (
                {"type": "function", "function": {"name": choice["name"]}}
                if isinstance(choice, Mapping) and choice.get("type") == "function"
                else choice
            )
    return body


def chat_messages(items: Sequence[JSON], instructions: Any = None) -> list[JSON]:
    """The conversation as chat messages; what chat has no word for, such as reasoning, is left out."""
    messages: list[JSON] = []
    if isinstance(instructions, str):
        messages.append({"role": "system", "content": instructions})
    for item in items:
        match item["type"]:
            case "message" if item["role"] == "assistant":
                messages.append({"role": "assistant", "content": text_of(item)})
            case "message":
                # Few servers besides OpenAI's know developers.
                role = "system" if item["role"] == "developer" else item["role"]
                messages.append({"role": role, "content": _content(item["content"])})
            case "function_call":
                if not messages or messages[-1]["role"] != "assistant":
                    messages.append({"role": "assistant", "content": None})
                messages[-1].setdefault("tool_calls", []).append(
                    {
                        "id": item["call_id"],
                        "type": "function",
                        "function": {"name": item["name"], "arguments": item["arguments"]},
                    }
                )
            case "function_call_output":
                output = item["output"]
                text = output if isinstance(output, str) else text_of({"content": output})
                messages.append({"role": "tool", "tool_call_id": item["call_id"], "content": text})
    return messages


def _content(parts: Sequence[JSON]) -> str | list[JSON]:
    if all("text" in part for part in parts):
        return text_of({"content": parts})
    return [_part(part) for part in parts]


def _part(part: JSON) -> JSON:
    match part["type"]:
        case "input_image" if part.get("image_url"):
            image = {"url": part["image_url"], "detail": part.get("detail") or "auto"}
            return {"type": "image_url", "image_url": image}
        case "input_file" if part.get("file_data"):
            return {"type": "file", "file": {"filename": part.get("filename"), "file_data": part["file_data"]}}
        case "input_audio":
            return {"type": "input_audio", "input_audio": part.get("input_audio")}
        case _ if "text" in part:
            return {"type": "text", "text": part["text"]}
        case kind:
            raise invalid_value("input", f"The local provider's chat model cannot read this '{kind}'.")


def _tool(tool: JSON, index: int) -> JSON:
    if tool.get("type") != "function":
        raise invalid_value(
            f"tools[{index}].type", f"Invalid value: '{tool.get('type')}'. Supported values are: 'function'."
        )
    wanted = ("name", "description", "parameters", "strict")
    return {"type": "function", "function": {name: tool[name] for name in wanted if tool.get(name) is not None}}


def _response_format(form: Mapping[str, Any]) -> JSON | None:
    if form.get("type") == "json_object":
        return {"type": "json_object"}
    if form.get("type") != "json_schema":
        return None
    wanted = ("name", "description", "schema", "strict")
    return {"type": "json_schema", "json_schema": {name: form[name] for name in wanted if form.get(name) is not None}}
