"""The smallest value that satisfies a JSON schema, for a model that has nothing to say but must say it in form."""

from __future__ import annotations

import math
from typing import Any

import orjson

from gateway.providers.local.wire import JSON

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
# Deeper than this a schema that refers to itself is led to its end; deeper than that it has none.
_DEEP = 8
_DEEPEST = 64
# The longest text or list, and the largest number.
_LONGEST = 300
_LARGEST = 2**53
# How large the whole value may be, in characters, when each step on the way to it counts as some.
_IN_ALL = 100_000
_A_STEP = 10
# What is read of a schema: as what, and for a number from where to where. The rest of it may be anything.
_KINDS: dict[str, tuple[type, ...]] = {
    "$ref": (str,),
    "type": (str, list),
    "format": (str,),
    "properties": (dict,),
    **dict.fromkeys(("required", "enum", "anyOf", "oneOf", "allOf"), (list,)),
    **dict.fromkeys(("minItems", "minLength", "maxLength"), (int,)),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), (int, float)),
}
_RANGES: dict[str, tuple[float, float]] = {
    "minItems": (0, _LONGEST),
    "minLength": (0, _LONGEST),
    "maxLength": (0, math.inf),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), (-_LARGEST, _LARGEST)),
    "multipleOf": (1e-9, _LARGEST),
}


class SchemaError(Exception):
    """No value is made for this schema: it is none, or it asks for too much."""


def minimal_instance(schema: JSON, words: str) -> Any:
    """A value of this schema: what is optional is left out, and every free string is `words`, or how they begin."""
    return _Maker(schema, words[:_LONGEST]).value(schema, 0)


class _Maker:
    """Makes one value."""

    def __init__(self, root: JSON, words: str) -> None:
        self._root = root
        self._words = words
        self._left = _IN_ALL

    def value(self, schema: Any, depth: int) -> Any:
        if schema is True:
            schema = {}  # anything will do
        self._check(schema)
        if depth > _DEEPEST:
            raise SchemaError("it is nested too deeply")
        if "$ref" in schema:
            return self.value(self._resolve(schema["$ref"]), depth + 1)
        if "const" in schema:
            return self._given(schema["const"])
        if schema.get("enum"):
            return self._given(schema["enum"][0])
        for union in ("anyOf", "oneOf"):
            if schema.get(union):
                return self.value(_choose(schema[union], depth), depth + 1)
        if schema.get("allOf"):
            return self.value(self._merged([schema, *schema["allOf"]]), depth + 1)
        match _type(schema, depth):
            case "object":
                properties = schema.get("properties", {})
                return {
                    self._given(name): self.value(properties.get(name, True), depth + 1)
                    for name in schema.get("required", ())
                }
            case "array":
                return [self.value(schema.get("items", True), depth + 1) for _ in range(schema.get("minItems", 0))]
            case "integer":
                return int(_number(schema, whole=True))
            case "number":
                return _number(schema, whole=False)
            case "boolean":
                return False
            case "null":
                return None
            case "string":
                return self._given(_string(schema, self._words))
        raise SchemaError("its 'type' is unknown")

    def _check(self, schema: Any) -> None:
        """Afterwards all that is read of this schema is what it has to be, and looking through it is paid for."""
        if not isinstance(schema, dict):
            raise SchemaError("a part of it is no schema")
        self._spend(_A_STEP + len(schema))
        for keyword, kinds in _KINDS.items():
            if keyword not in schema:
                continue
            value = schema[keyword]
            if type(value) not in kinds:  # a boolean is no number
                raise SchemaError(f"its '{keyword}' is of the wrong type")
            if isinstance(value, list | dict):
                self._spend(len(value))
            elif keyword in _RANGES:
                least, most = _RANGES[keyword]
                if not least <= value <= most:
                    raise SchemaError(f"its '{keyword}' is too small or too large")
        if not all(isinstance(name, str) for name in schema.get("required", ())):
            raise SchemaError("its 'required' is no list of names")

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise SchemaError("it asks for too large a value")

    def _given(self, value: Any) -> Any:
        """This value as it is."""
        self._spend(len(orjson.dumps(value)))
        return value

    def _merged(self, schemas: list[Any]) -> JSON:
        merged: JSON = {}
        properties: JSON = {}
        required: list[str] = []
        for schema in schemas:
            if schema is True:
                continue
            self._check(schema)
            part = self._resolve(schema["$ref"]) if "$ref" in schema else schema
            self._check(part)
            properties.update(part.get("properties", {}))
            required.extend(part.get("required", ()))
            merged.update({key: value for key, value in part.items() if key != "allOf"})
        if properties:
            merged.update(properties=properties, required=required)
        return merged

    def _resolve(self, reference: str) -> Any:
        self._spend(len(reference))
        start, *steps = reference.split("/")
        found: Any = self._root
        try:
            if start != "#":
                raise LookupError(start)
            for step in steps:
                name = step.replace("~1", "/").replace("~0", "~")
                found = found[int(name)] if isinstance(found, list) else found[name]
        except (LookupError, TypeError, ValueError):
            raise SchemaError("its '$ref' leads nowhere") from None
        return found


def _type(schema: JSON, depth: int) -> Any:
    kinds = schema.get("type")
    if isinstance(kinds, list):
        if depth > _DEEP and "null" in kinds:
            return "null"
        return next((kind for kind in kinds if kind != "null"), "null")
    if kinds is None:
        return "object" if "properties" in schema else "string"
    return kinds


def _choose(options: list[Any], depth: int) -> Any:
    if depth > _DEEP:
        return next(filter(_is_null, options), options[-1])
    return next((option for option in options if not _is_null(option)), options[0])


def _is_null(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("type") == "null"


def _number(schema: JSON, *, whole: bool) -> Any:
    step = schema.get("multipleOf", 1)
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


def _string(schema: JSON, words: str) -> str:
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    return words.ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength")]
