"""The body of POST /responses, checked once, and the response object that echoes it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.providers.local.checks import (
    parse_conversation_id,
    parse_integer,
    parse_metadata,
    parse_object,
)
from gateway.providers.local.items import parse_item
from gateway.providers.local.tools import parse_format, parse_tool_choice, parse_tools
from gateway.providers.local.wire import JSON, WireError, invalid_type, is_id, previous_response_not_found


@dataclass(frozen=True, slots=True)
class ResponseRequest:
    """What is asked for, and where; `body` is what the client sent."""

    model: str
    conversation_id: str | None
    previous_response_id: str | None
    items: list[JSON]
    stored: bool
    body: Mapping[str, Any]


def parse_request(body: Mapping[str, Any], *, default_model: str) -> ResponseRequest:
    """The request, or the refusal that its own words already earn."""
    conversation = body.get("conversation")
    previous = body.get("previous_response_id")
    if conversation is not None and previous is not None:
        raise WireError(
            400,
            "Mutually exclusive parameters: ''. Ensure you are only providing one of: 'pre..._id' or 'conversation'.",
            code="mutually_exclusive_parameters",
        )
    given = body.get("input")
    if given in (None, []) and previous is None and body.get("prompt") is None and conversation is None:
        raise WireError(
            400,
            "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must be provided.",
            code="missing_required_parameter",
        )
    _refuse_what_only_the_service_has(body)
    if previous is not None and not isinstance(previous, str):
        raise invalid_type("previous_response_id", "a string", previous)
    if previous is not None and not is_id(previous):
        raise previous_response_not_found(previous)
    model = body.get("model") or default_model
    if not isinstance(model, str):
        raise invalid_type("model", "a string", model)
    request = ResponseRequest(
        model=model,
        conversation_id=None if conversation is None else _parse_conversation(conversation),
        previous_response_id=previous,
        items=_parse_input(given),
        stored=body.get("store") is not False,
        body=body,
    )
    if body.get("max_output_tokens") is not None:
        parse_integer("max_output_tokens", body["max_output_tokens"], least=1)
    return request


def new_response(request: ResponseRequest, response_id: str) -> JSON:
    """The response as its first event shows it: in progress, every parameter echoed or at its default."""
    body = request.body
    text = parse_object("text", body.get("text") or {})
    reasoning = parse_object("reasoning", body.get("reasoning") or {})
    tools = parse_tools(body.get("tools"))
    return {
        "id": response_id,
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "background": False,
        **({"conversation": {"id": request.conversation_id}} if request.conversation_id else {}),
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": body.get("max_tool_calls"),
        "model": request.model,
        "output": [],
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "previous_response_id": request.previous_response_id,
        "prompt_cache_key": body.get("prompt_cache_key"),
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "safety_identifier": body.get("safety_identifier"),
        "service_tier": "auto",
        "store": request.stored,
        "temperature": _number(body, "temperature"),
        "text": {"format": parse_format(text.get("format")), "verbosity": text.get("verbosity") or "medium"},
        "tool_choice": parse_tool_choice(body.get("tool_choice"), tools),
        "tools": tools,
        "top_logprobs": body.get("top_logprobs") or 0,
        "top_p": _number(body, "top_p"),
        "truncation": body.get("truncation") or "disabled",
        "usage": None,
        "user": body.get("user"),
        "metadata": parse_metadata(body.get("metadata")),
    }


def _parse_conversation(value: Any) -> str:
    if isinstance(value, Mapping):
        return parse_conversation_id(value.get("id"), param="conversation")
    return parse_conversation_id(value, param="conversation")


def _parse_input(value: Any) -> list[JSON]:
    if value is None:
        return []
    if isinstance(value, str):
        return [parse_item({"role": "user", "content": value}, "input")]
    if not isinstance(value, list):
        raise invalid_type("input", "one of a string or array of input items", value)
    return [parse_item(item, f"input[{index}]") for index, item in enumerate(value)]


def _number(body: Mapping[str, Any], param: str) -> float:
    value = body.get(param)
    if value is None:
        return 1.0
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise invalid_type(param, "a decimal", value)
    return float(value)


def _refuse_what_only_the_service_has(body: Mapping[str, Any]) -> None:
    if body.get("background"):
        raise WireError(
            400,
            "The local provider does not run responses in the background.",
            code="unsupported_value",
            param="background",
        )
    if (prompt := body.get("prompt")) is not None:
        prompt_id = prompt.get("id") if isinstance(prompt, Mapping) else prompt
        raise WireError(404, f"Prompt with id '{prompt_id}' not found.", param="prompt")
