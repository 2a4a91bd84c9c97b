"""Tools, the choice among them and the form of the text: checked, and echoed as the service echoes them."""

from __future__ import annotations

from typing import Any

from gateway.providers.local.checks import parse_object
from gateway.providers.local.wire import JSON, WireError, invalid_type, invalid_value, missing_parameter


def parse_tools(value: Any) -> list[JSON]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise invalid_type("tools", "an array of objects", value)
    return [_parse_tool(tool, f"tools[{index}]") for index, tool in enumerate(value)]


def parse_tool_choice(value: Any, tools: list[JSON]) -> str | JSON:
    """The choice; one that no tool can satisfy is refused."""
    if value is None:
        return "auto"
    if isinstance(value, str):
        if value not in ("none", "auto", "required"):
            raise invalid_value(
                "tool_choice", f"Invalid value: '{value}'. Supported values are: 'none', 'auto', and 'required'."
            )
        if value == "required" and not tools:
            raise WireError(
                400, "Tool choice 'required' must be specified with 'tools' parameter.", param="tool_choice"
            )
        return value
    choice = parse_object("tool_choice", value)
    functions = [tool["name"] for tool in tools if tool["type"] == "function"]
    if choice.get("type") == "function" and choice.get("name") not in functions:
        raise WireError(400, f"Tool choice '{choice.get('name')}' not found in 'tools' parameter.", param="tool_choice")
    return choice


def parse_format(value: Any) -> JSON:
    if value is None:
        return {"type": "text"}
    form = parse_object("text.format", value)
    kind = form.get("type")
    if kind not in ("text", "json_object", "json_schema"):
        raise invalid_value(
            "text.format.type",
            f"Invalid value: '{kind}'. Supported values are: 'json_object', 'json_schema', and 'text'.",
        )
    if kind != "json_schema":
        return {"type": kind}
    for name in ("name", "schema"):
        if name not in form:
            raise missing_parameter(f"text.format.{name}")
    return {
        "type": kind,
        "description": form.get("description"),
        "name": form["name"],
        "schema": parse_object("text.format.schema", form["schema"]),
        "strict": bool(form.get("strict")),
    }


def _parse_tool(value: Any, param: str) -> JSON:
    tool = parse_object(param, value)
    if tool.get("type") is None:
        raise missing_parameter(f"{param}.type")
    if tool["type"] != "function":
        return tool
    if not isinstance(tool.get("name"), str):
        raise missing_parameter(f"{param}.name")
    parameters = tool.get("parameters")
    if parameters is not None:
        parse_object(f"{param}.parameters", parameters)
    strict = tool.get("strict")
    return {
        "type": "function",
        "description": tool.get("description"),
        "name": tool["name"],
        # Who does not say otherwise gets strict parameters.
        "parameters": _strict(parameters) if strict is None else parameters,
        "strict": strict is not False,
    }


def _strict(schema: Any) -> Any:
    """The schema with every property required and no other allowed."""
    if isinstance(schema, list):
        return [_strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _strict(part) for name, part in schema.items()}
    if isinstance(schema.get("properties"), dict):
        made.update(required=list(schema["properties"]), additionalProperties=False)
    return made
