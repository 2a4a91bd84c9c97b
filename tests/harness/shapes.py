"""The shapes seen in recordings of the live service, and how to hold something against them.

A shape is a list of alternatives: the name of a type, `{"array": shape of its elements}`, or `{"object": {field: …}}`
(with `type` beside it, for objects told apart by theirs). A field that ends in `?` may be missing; one that was never
seen may not be there. An array of which only empty ones were seen may hold anything.
"""

import json
from pathlib import Path
from typing import Any

SEEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "fixtures/provider/shapes.json").read_text())

_NAMES = {type(None): "null", bool: "boolean", int: "integer", float: "number", str: "string"}


def differences(value: Any, shape: list[Any], where: str = "") -> list[str]:
    """What is different from every recording, in words; empty when nothing is."""
    if isinstance(value, dict):
        if "object" in shape:
            return []
        objects = [one for one in shape if isinstance(one, dict) and "object" in one]
        fitting = [one for one in objects if one.get("type") in (None, value.get("type"))]
        if not fitting:
            return [f"{where}: an object of type {value.get('type')} was never seen"]
        return _fields(value, fitting[0]["object"], where)
    if isinstance(value, list):
        arrays = [one for one in shape if isinstance(one, dict) and "array" in one]
        if not arrays:
            return [f"{where}: an array was never seen"]
        elements = arrays[0]["array"]
        return [
            found
            for index, element in enumerate(value if elements else [])
            for found in differences(element, elements, f"{where}[{index}]")
        ]
    name = _NAMES[type(value)]
    return [] if name in shape else [f"{where}: {name} was never seen"]


def _fields(value: dict[str, Any], fields: dict[str, Any], where: str) -> list[str]:
    known = {name.rstrip("?"): shape for name, shape in fields.items()}
    found = [f"{where}.{name} is missing" for name in fields if not name.endswith("?") and name not in value]
    for name, inner in value.items():
        if name not in known:
            found.append(f"{where}.{name} was never seen")
        else:
            found += differences(inner, known[name], f"{where}.{name}")
    return found


def run_together(types: list[str]) -> list[str]:
    """The types of a stream's events, repetitions counted once."""
    return [name for index, name in enumerate(types) if index == 0 or types[index - 1] != name]
