"""One mapping of a storyboard, as a pydantic model: strict, closed, and with a short form where it has one."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


class Part(BaseModel):
    """One mapping of a storyboard. `short` names the field that a bare value stands for."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=False)
    short: ClassVar[str | None] = None

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /) -> JsonSchemaValue:
        schema = handler(core_schema)
        if cls.short is None:
            return schema
        resolved = handler.resolve_ref_schema(schema)
        bare = dict(resolved["properties"][cls.short])
        if "anyOf" in bare:
            bare = {"anyOf": [b for b in bare["anyOf"] if b.get("type") != "null"]}
        bare.pop("default", None)
        return {"anyOf": [bare, schema]}


class ShortPart(Part):
    """A mapping that a bare value may stand for."""

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        return {cls.short: value} if isinstance(value, str) and cls.short else value
