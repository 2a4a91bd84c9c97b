"""JSON Schemas out of the types that check requests, and of those of replies; the words are their docstrings."""

from __future__ import annotations

import ast
import inspect
from collections import defaultdict
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import msgspec

from gateway.model import JSON
from gateway.web import bodies, openai_objects, queries, replies
from gateway.web.fields import reference

REFERENCE = reference("{name}")["$ref"]


def make_schemas() -> dict[str, JSON]:
    """The schema of every body and reply, by the type's name."""
    asked, given = _schemas(bodies), _schemas(replies) | _schemas(openai_objects)
    for schema in asked.values():
        schema.setdefault("additionalProperties", True)
    for kind in (*replies.OPEN, *openai_objects.OPEN):
        given[kind.__name__]["additionalProperties"] = True
    return asked | given


def make_parameters() -> dict[str, JSON]:
    """The schema of every query and of every kind of headers, by the type's name."""
    return _schemas(queries)


def _schemas(module: ModuleType) -> dict[str, JSON]:
    kinds = [each for each in vars(module).values() if isinstance(each, type) and each.__module__ == module.__name__]
    schemas: dict[str, JSON] = msgspec.json.schema_components(kinds, ref_template=REFERENCE)[1]
    docstrings = _docstrings(module)
    for kind in kinds:
        properties = schemas[kind.__name__]["properties"]
        for name, about in docstrings[kind.__name__].items():
            properties[_name_outside(kind, name)]["description"] = about
    return {name: _plain(schema) for name, schema in schemas.items()}


def _plain(schema: Any) -> Any:
    """The same, with what generators of clients look for, and without what says nothing."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: _plain(value) for name, value in schema.items()}
    if "enum" in plain:
        plain["type"] = "boolean" if isinstance(plain["enum"][0], bool) else "string"
    if isinstance(about := plain.get("description"), str):
        plain["description"] = " ".join(about.split())
    if plain.get("required") == []:
        del plain["required"]
    if plain.get("default", ...) is None:
        del plain["default"]
    return plain


def _name_outside(kind: type[Any], name: str) -> str:
    """A header's name is no name in Python."""
    if issubclass(kind, msgspec.Struct):
        return dict(zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True))[name]
    return name


def _docstrings(module: ModuleType) -> dict[str, dict[str, str]]:
    """What stands below each field, by the names of the type and of the field; a type has those of its bases too."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for kind in ast.parse(inspect.getsource(module)).body:
        if isinstance(kind, ast.ClassDef):
            for base in kind.bases:
                found[kind.name] |= found[ast.unparse(base)]
            found[kind.name] |= _below_fields(kind)
    return found


def _below_fields(kind: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, below in zip(kind.body, kind.body[1:], strict=False):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(about))):
                yield name, about
