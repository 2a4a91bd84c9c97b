"""Types of single fields, with what JSON Schema can say of them and Python cannot."""

from __future__ import annotations

from typing import Annotated, Any


class Schema:
    """Words of JSON Schema, beside those that the annotated type makes by itself."""

    def __init__(self, **words: Any) -> None:
        self._words = words

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        return {**handler(core), **self._words}


SessionId = Annotated[
    str,
    Schema(
        pattern=r"^(?!conv_)(?!\.{1,2}$)[A-Za-z0-9._~:@+=,|-]{1,200}$",
        minLength=1,
        maxLength=200,
        examples=["user_alice_session"],
    ),
]
"""A client's own word for its conversation."""

UserId = Annotated[str, Schema(minLength=1, maxLength=200, examples=["alice"])]
"""Printable characters."""

Time = Annotated[str, Schema(format="date-time", examples=["2025-10-26T10:05:00.000Z"])]

Data = Annotated[dict[str, Any], Schema(examples=[{"cart": 3}])]
"""Any JSON object."""

Metadata = Annotated[
    dict[str, Annotated[str, Schema(maxLength=512)]],
    Schema(maxProperties=16, propertyNames={"maxLength": 64}, examples=[{"plan": "pro"}]),
]

Count = Annotated[int, Schema(minimum=0)]
