"""Checks of what a request brings, each with the service's own words when it is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from gateway.providers.base import ITEMS_A_CALL, PAGE_LIMIT
from gateway.providers.local.wire import (
    JSON,
    WireError,
    conversation_not_found,
    invalid_type,
    invalid_value,
    is_id,
    missing_parameter,
)

_WRITTEN_INTEGER = re.compile(r"-?[0-9]{1,18}")

METADATA_PAIRS = 16
METADATA_KEY = 64
METADATA_VALUE = 512


def check_json(body: Mapping[str, Any]) -> None:
    """Refuses what cannot be written as JSON, such as half a surrogate pair, a number of more than 64 bits, or
    hundreds of levels.
    """
    try:
        orjson.dumps([[dict(body)]])  # what is told or kept of it lies up to two levels deeper
    except orjson.JSONEncodeError as exc:
        raise WireError(400, "Invalid body: failed to parse JSON value.", code="invalid_json") from exc


def parse_metadata(value: Any) -> dict[str, str]:
    """At most 16 pairs of text, keys up to 64 characters, values up to 512; null is none."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise invalid_type("metadata", "an object with string values", value)
    if len(value) > METADATA_PAIRS:
        raise WireError(
            400,
            f"Invalid 'metadata': too many properties. Expected an object with at most {METADATA_PAIRS} properties, "
            f"but got an object with {len(value)} properties instead.",
            code="object_above_max_properties",
            param="metadata",
        )
    for key, text in value.items():
        if len(key) > METADATA_KEY:
            raise WireError(
                400,
                f"Invalid property name in 'metadata': '{key[:METADATA_KEY]}...' is too long. Expected a string with "
                f"maximum length {METADATA_KEY}, but got a string with length {len(key)} instead.",
                code="property_name_above_max_length",
                param="metadata",
            )
        if not isinstance(text, str):
            raise invalid_type(f"metadata.{key}", "a string", text)
        if len(text) > METADATA_VALUE:
            raise WireError(
                400,
                f"Invalid 'metadata.{key}': string too long. Expected a string with maximum length {METADATA_VALUE}, "
                f"but got a string with length {len(text)} instead.",
                code="string_above_max_length",
                param=f"metadata.{key}",
            )
    return dict(value)


def parse_integer(param: str, value: Any, *, least: int, most: int | None = None) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise invalid_type(param, "an integer", value)
    if value < least:
        raise WireError(
            400,
            f"Invalid '{param}': integer below minimum value. Expected a value >= {least}, but got {value} instead.",
            code="integer_below_min_value",
            param=param,
        )
    if most is not None and value > most:
        raise WireError(
            400,
            f"Invalid '{param}': integer above maximum value. Expected a value <= {most}, but got {value} instead.",
            code="integer_above_max_value",
            param=param,
        )
    return value


def parse_limit(value: Any) -> int:
    """How long a page may be; a query string brings it as text."""
    if isinstance(value, str) and _WRITTEN_INTEGER.fullmatch(value):
        value = int(value)
    return parse_integer("limit", value, least=1, most=PAGE_LIMIT)


def parse_order(value: Any) -> str:
    if value not in ("asc", "desc"):
        raise invalid_value("order", f"Invalid value: '{value}'. Supported values are: 'asc' and 'desc'.")
    return str(value)


def parse_posted_items(value: Any) -> list[Any]:
    """The `items` of a call that adds some: a list of at most 20."""
    if value is None:
        raise missing_parameter("items")
    if not isinstance(value, list):
        raise invalid_type("items", "an array of items", value)
    if len(value) > ITEMS_A_CALL:
        raise WireError(
            400,
            f"Invalid 'items': array too long. Expected an array with maximum length {ITEMS_A_CALL}, "
            f"but got an array with length {len(value)} instead.",
            code="array_above_max_length",
            param="items",
        )
    return value


def parse_conversation_id(value: Any, *, param: str = "conversation_id") -> str:
    if not isinstance(value, str):
        raise invalid_type(param, "a string", value)
    if not value.startswith("conv"):
        raise invalid_value(param, f"Invalid '{param}': '{value}'. Expected an ID that begins with 'conv'.")
    if not is_id(value):
        raise conversation_not_found(value)
    return value


def parse_object(param: str, value: Any) -> JSON:
    if not isinstance(value, dict):
        raise invalid_type(param, "an object", value)
    return value
