"""What the model is about to read must hang together: calls with their outputs, no item twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from gateway.providers.local.wire import JSON, WireError, duplicate_item

_OUTPUTS = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}
_CALLS = {output: call for call, output in _OUTPUTS.items()}


def check_context(history: Sequence[JSON], posted: Sequence[JSON]) -> None:
    """Refuses a request that leaves a call without its output, or names a thing twice, or out of the blue."""
    check_unique([*history, *posted])
    _check_reasoning(posted)
    calls: dict[tuple[str, str], bool] = {}
    for item in (*history, *posted):
        kind = item["type"]
        if kind in _OUTPUTS:
            calls.setdefault((kind, item["call_id"]), False)
        elif kind in _CALLS:
            key = (_CALLS[kind], item["call_id"])
            if key not in calls:
                raise WireError(
                    400, f"No tool call found for {_words(_CALLS[kind])} output with call_id {item['call_id']}."
                )
            calls[key] = True
    for (kind, call_id), answered in calls.items():
        if not answered:
            raise WireError(400, f"No tool output found for {_words(kind)} {call_id}.", param="input")


def check_unique(items: Iterable[JSON]) -> None:
    seen: set[str] = set()
    for item in items:
        item_id = item.get("id")
        if item_id is None:
            continue
        if item_id in seen:
            raise duplicate_item(item_id)
        seen.add(item_id)


def _check_reasoning(posted: Sequence[JSON]) -> None:
    """Reasoning belongs to what it led to, and may not be posted without it."""
    for item, following in pairwise([*posted, None]):
        if item is None or item["type"] != "reasoning":
            continue
        if following is None or following["type"] in _CALLS or following.get("role") in ("user", "system", "developer"):
            raise WireError(
                400,
                f"Item '{item.get('id')}' of type 'reasoning' was provided without its required following item.",
                param="input",
            )


def _words(kind: str) -> str:
    return kind.replace("_", " ")
