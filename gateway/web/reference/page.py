"""The document as people read it: each group of routes with its operations, each of those in a few plain lists."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from gateway.model import JSON

_BASE = "http://127.0.0.1:8080"


class Field(NamedTuple):
    """A field, a parameter or a header."""

    name: str
    kind: str
    needed: bool
    about: str


class Operation(NamedTuple):
    anchor: str
    method: str
    path: str
    summary: str
    about: str
    asked: list[tuple[str, list[Field]]]
    """What is sent, by where it stands: in the path, the query, the headers, the body."""
    curl: str
    answers: list[tuple[str, str, str]]
    """Status, meaning, and an example."""
    errors: list[tuple[str, str, str]]
    """Status, code, meaning."""


def groups_of(document: JSON) -> dict[str, list[Operation]]:
    groups: dict[str, list[Operation]] = {tag["name"]: [] for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            groups[operation["tags"][0]].append(_operation(document, path, method.upper(), operation))
    return groups


def _operation(document: JSON, path: str, method: str, operation: JSON) -> Operation:
    return Operation(
        anchor=operation["operationId"],
        method=method,
        path=path,
        summary=operation["summary"],
        about=operation.get("description", ""),
        asked=[*_asked(document, operation)],
        curl=_curl(path, method, operation),
        answers=[*_answers(operation)],
        errors=[*_errors(operation)],
    )


# --- What is sent ------------------------------------------------------------------------------------------


def _asked(document: JSON, operation: JSON) -> Iterator[tuple[str, list[Field]]]:
    places: dict[str, list[Field]] = defaultdict(list)
    for each in operation.get("parameters", ()):
        kind = _kind(document, each["schema"])
        places[each["in"]].append(
            Field(each["name"], kind, each["required"], _about(each.get("description", ""), each["schema"]))
        )
    for place, title in (("path", "In the path"), ("query", "In the query"), ("header", "Headers")):
        if places[place]:
            yield title, places[place]
    if "requestBody" in operation:
        schema = _resolved(document, operation["requestBody"]["content"]["application/json"]["schema"])
        needed = schema.get("required", ())
        fields = [
            Field(name, _kind(document, each), name in needed, _about(each.get("description", ""), each))
            for name, each in schema.get("properties", {}).items()
        ]
        if fields:
            yield "In the body", fields


def _about(description: str, schema: JSON) -> str:
    default = schema.get("default")
    return description if default in (None, "", []) else f"{description} Left out, it is `{_plain(default)}`.".lstrip()


def _kind(document: JSON, schema: JSON) -> str:
    """The schema's type in a few words."""
    if "$ref" in schema and "properties" in (named := _resolved(document, schema)):
        return str(named["title"])
    schema = _resolved(document, schema)
    if "enum" in schema or "const" in schema:
        return " | ".join(map(_plain, schema.get("enum", [schema.get("const")])))
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(_kind(document, each) for each in schema["anyOf"]))
    if schema.get("type") == "array":
        return f"list of {_kind(document, schema['items'])}"
    return str(schema.get("type", "any"))


def _resolved(document: JSON, schema: JSON) -> JSON:
    if "$ref" not in schema:
        return schema
    found: JSON = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def _curl(path: str, method: str, operation: JSON) -> str:
    query = []
    for each in operation.get("parameters", ()):
        if each["in"] == "path":
            path = path.replace(f"{{{each['name']}}}", each["example"])
        elif each["in"] == "query" and each["required"]:
            query.append(f"{each['name']}={each['schema']['examples'][0]}")
    address = f"{_BASE}{path}" + (f"?{'&'.join(query)}" if query else "")
    lines = [f"curl {'' if method == 'GET' else f'-X {method} '}'{address}'"]
    if operation["security"]:
        lines.append('-H "Authorization: Bearer $KEY"')
    example = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
    if example is not None:
        lines += ["-H 'Content-Type: application/json'", f"-d '{_plain(example)}'"]
    return " \\\n  ".join(lines)


# --- What comes back ---------------------------------------------------------------------------------------


def _answers(operation: JSON) -> Iterator[tuple[str, str, str]]:
    for status, answer in operation["responses"].items():
        if status < "300":
            contents = answer.get("content", {}).items()
            shown = [_shown(media_type, each["example"]) for media_type, each in contents if "example" in each]
            yield status, answer["description"], "\n\n".join(shown)


def _shown(media_type: str, example: Any) -> str:
    if media_type == "application/json":
        return orjson.dumps(example, option=orjson.OPT_INDENT_2).decode()
    return f"# {media_type}\n{str(example).strip()}"


def _errors(operation: JSON) -> Iterator[tuple[str, str, str]]:
    for status, answer in operation["responses"].items():
        if status >= "400":
            for line in answer["description"].splitlines():
                code, _, meaning = line.removeprefix("- `").partition("`: ")
                yield status, code, meaning


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
