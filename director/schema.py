"""The JSON Schema of storyboards, for completion in editors: generated from the same models that validate."""

from __future__ import annotations

import json
from typing import Any

from .board import SCHEMA, Board

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of `longtake.storyboard.v1`."""
    made = Board.model_json_schema(by_alias=True, mode="validation")
    title = {"$schema": DIALECT, "$id": "urn:" + SCHEMA.replace(".", ":"), "title": "longtake storyboard"}
    _needs_one_length(made["$defs"]["Shot"], "seconds", "frames")
    _needs_one_length(made["$defs"]["Beat"], "at", "at_frame")
    tidy: dict[str, Any] = _tidied(title | {k: v for k, v in made.items() if k != "title"})
    return tidy


def schema_text() -> str:
    """`schema()` as the text of a file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _needs_one_length(definition: dict[str, Any], one: str, other: str) -> None:
    definition["oneOf"] = [{"required": [one]}, {"required": [other]}]


def _tidied(node: Any) -> Any:
    """Without what only repeats: titles that are a field's own name, and `or null` of fields that may be left out."""
    if isinstance(node, list):
        return [_tidied(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {k: v for k, v in node.items() if not (k == "default" and v is None)}
    if "properties" in node:
        bare = {name: _untitled(value) for name, value in node["properties"].items()}
        node["properties"] = bare
    choices = node.get("anyOf")
    if isinstance(choices, list) and {"type": "null"} in choices:
        rest = [choice for choice in choices if choice != {"type": "null"}]
        node.pop("anyOf")
        node = (rest[0] | node) if len(rest) == 1 else node | {"anyOf": rest}
    return {name: _tidied(value) for name, value in node.items()}


def _untitled(value: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in value.items() if k != "title"}
