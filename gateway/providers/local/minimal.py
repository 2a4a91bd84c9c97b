"""The smallest value that satisfies a JSON schema, for a model that has nothing to say but must say it in form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_FORMATS = {
    "date": "2000-01-01",
    "date-time": "2000-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "uri": "https://example.com/",
}
# Deeper than this a schema that refers to itself is led to its end.
_DEEP = 8


def minimal_instance(schema: Mapping[str, Any], words: str) -> Any:
    """A value of this schema: what is optional is left out, and every free string is `words`."""
    return _value(schema, words, schema, 0)


def _value(schema: Any, words: str, root: Mapping[str, Any], depth: int) -> Any:
    if not isinstance(schema, Mapping):
        return words  # `true`: anything will do
    if "$ref" in schema:
        return _value(_resolve(str(schema["$ref"]), root), words, root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for union in ("anyOf", "oneOf"):
        if schema.get(union):
            return _value(_choose(schema[union], depth), words, root, depth + 1)
    if schema.get("allOf"):
        return _value(_merged([schema, *schema["allOf"]], root), words, root, depth + 1)
    match _type(schema, depth):
        case "object":
            properties = schema.get("properties") or {}
            return {
                name: _value(properties.get(name, True), words, root, depth + 1)
                for name in schema.get("required") or ()
            }
        case "array":
            return [_value(schema.get("items", True), words, root, depth + 1)] * int(schema.get("minItems", 0))
        case "integer":
            return int(_number(schema, whole=True))
        case "number":
            return _number(schema, whole=False)
        case "boolean":
            return False
        case "null":
            return None
        case _:
            return _string(schema, words)


def _type(schema: Mapping[str, Any], depth: int) -> str:
    kinds = schema.get("type")
    if isinstance(kinds, list):
        if depth > _DEEP and "null" in kinds:
            return "null"
        return next((str(kind) for kind in kinds if kind != "null"), "null")
    if kinds is None:
        return "object" if "properties" in schema else "string"
    return str(kinds)


def _choose(options: list[Any], depth: int) -> Any:
    if depth > _DEEP:
        return next((option for option in options if option.get("type") == "null"), options[-1])
    return next((option for option in options if option.get("type") != "null"), options[0])


def _merged(schemas: list[Mapping[str, Any]], root: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for schema in schemas:
        part = _resolve(str(schema["$ref"]), root) if "$ref" in schema else schema
        properties = {**merged.get("properties", {}), **part.get("properties", {})}
        required = [*merged.get("required", ()), *part.get("required", ())]
        merged.update({key: value for key, value in part.items() if key != "allOf"})
        if properties:
            merged.update(properties=properties, required=required)
    return merged


def _resolve(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = root
    for step in reference.lstrip("#").strip("/").split("/"):
        if step:
            found = found.get(step.replace("~1", "/").replace("~0", "~"), {})
    return found if isinstance(found, Mapping) else {}


def _number(schema: Mapping[str, Any], *, whole: bool) -> Any:
    step = schema.get("multipleOf") or 1
    least = schema.get("minimum")
    above = schema.get("exclusiveMinimum")
    most = schema.get("maximum", schema.get("exclusiveMaximum"))
    if least is None and above is None:
        if most is None or most > 0:
            return 0
        lower = math.floor(most / step) * step
        return lower if lower < schema.get("exclusiveMaximum", math.inf) else lower - step
    bound = max(value for value in (least, above) if value is not None)
    upper = math.ceil(bound / step) * step
    if above is not None and upper <= above:
        upper += step
    if not whole and most is not None and upper > most:
        return float((bound + most) / 2)
    return upper


def _string(schema: Mapping[str, Any], words: str) -> str:
    if schema.get("format") in _FORMATS:
        return _FORMATS[str(schema["format"])]
    text = words.ljust(int(schema.get("minLength", 0)), ".")
    return text[: int(schema["maxLength"])] if "maxLength" in schema else text
