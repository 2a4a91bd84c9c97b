"""JSON Schemas out of the types in `bodies` and `replies`. The one module that needs pydantic, so it is loaded late."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

from pydantic import ConfigDict, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from typing_extensions import get_original_bases, is_typeddict

from gateway.model import JSON
from gateway.web.api import bodies, replies


class _Schemas(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False  # the name again, in capitals


def make_schemas(ref_template: str) -> dict[str, JSON]:
    """The schema of every type, by the type's name."""
    types = [*_types(bodies, extra="forbid"), *_types(replies, extra="ignore")]
    adapters = [(each.__name__, "validation", TypeAdapter(each)) for each in types]
    _, defined = TypeAdapter.json_schemas(adapters, ref_template=ref_template, schema_generator=_Schemas)  # type: ignore[arg-type]
    schemas: dict[str, JSON] = defined["$defs"]
    for each in types:
        for base in get_original_bases(each):
            if is_typeddict(base):
                # What a type has from another is described there.
                schemas[each.__name__]["properties"] |= schemas[base.__name__]["properties"]
    return schemas


def _types(module: ModuleType, *, extra: Any) -> Iterator[Any]:
    for each in vars(module).values():
        if is_typeddict(each) and each.__module__ == module.__name__:
            config = ConfigDict(use_attribute_docstrings=True, extra="allow" if each in module.OPEN else extra)
            each.__pydantic_config__ = config
            yield each
