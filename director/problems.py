"""Pydantic's errors as problems with a place, the given value, what is allowed and the nearest known name."""

from __future__ import annotations

import difflib
import re
import typing
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from .board import SCHEMA, Board
from .errors import Problem
from .source import Source

Path = tuple[str | int, ...]


def problems_of(error: ValidationError, source: Source, base: Path = ()) -> Iterator[Problem]:
    """Every error of a validation. base: where in the file the validated part stands."""
    for details in error.errors(include_url=False):
        yield _problem(dict(details), source, (*base, *details["loc"]))


def where(path: Path, data: Any) -> str:
    """The path as a person says it: `shot 'quay', transition.seconds`."""
    text, rest = "", path
    if len(path) >= 2 and path[0] == "shots" and isinstance(path[1], int):
        text, rest = _shot_name(data, path[1]), path[2:]
    dotted = ""
    for step in rest:
        dotted += f"[{step}]" if isinstance(step, int) else f".{step}" if dotted else step
    return ", ".join(filter(None, (text, dotted)))


def _shot_name(data: Any, index: int) -> str:
    try:
        name = data["shots"][index]["id"]
    except (KeyError, IndexError, TypeError):
        name = None
    return f"shot {name!r}" if isinstance(name, str) and 0 < len(name) <= 64 else f"shot {index + 1}"


def show(value: Any) -> str:
    """A value as it would be written, shortened."""
    if isinstance(value, dict | list):
        return f"a {'mapping' if isinstance(value, dict) else 'list'} of {len(value)}"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    try:
        text = repr(value)
    except ValueError:  # a whole number of more digits than Python prints
        return "a number of thousands of digits"
    return text if len(text) <= 60 else text[:44] + "..." + text[-12:]


def nearest(name: object, known: typing.Iterable[str]) -> str | None:
    """The known name most like the given one, if any is alike."""
    if not isinstance(name, str) or len(name) > 100:
        return None
    folded = {k.lower().replace("-", "_"): k for k in known}
    close = difflib.get_close_matches(name.lower().replace("-", "_"), list(folded), 1, 0.6)
    return folded[close[0]] if close else None


def fields_at(path: Path) -> list[str]:
    """Names of the fields that the mapping at `path` may have."""
    model: Any = Board
    for step in path:
        if isinstance(step, str):
            found = [f for n, f in model.model_fields.items() if step in (n, f.alias)]
            inner = next(_models_in(found[0].annotation), None) if found else None
            if inner is None:
                return []
            model = inner
    return [f.alias or n for n, f in model.model_fields.items()]


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _models_in(inner)


Made = tuple[str, str | None, str | None]  # what, allowed, nearest
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
_KINDS = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a whole number of bearable size",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be a mapping of fields",
    "model_type": "must be a mapping of fields",
    "model_attributes_type": "must be a mapping of fields",
}


def _problem(details: dict[str, Any], source: Source, path: Path) -> Problem:
    kind, value = details["type"], details.get("input")
    if kind == "missing":
        return _missing(source, path)
    if kind == "extra_forbidden":
        return _unknown_field(source, path)
    given: str | None = show(value)
    what, allowed, near = _describe(kind, details.get("ctx", {}), value, details["msg"])
    if path == ("schema",):
        what, allowed, near = _unknown_schema(value)
    return source.problem(path, what, where=where(path, source.data), given=given, allowed=allowed, nearest=near)


def _missing(source: Source, path: Path) -> Problem:
    parent, name = path[:-1], path[-1]
    allowed = f"`schema: {SCHEMA}` as the first line" if name == "schema" else None
    return source.problem(parent, f"field {name!r} is missing", where=where(parent, source.data), allowed=allowed)


def _unknown_field(source: Source, path: Path) -> Problem:
    parent, name = path[:-1], path[-1]
    place = where(parent, source.data)
    known = fields_at(parent)
    what = f"unknown field {show(name)}"
    return source.problem(path, what, where=place, allowed=", ".join(known), nearest=nearest(name, known), key=True)


def _unknown_schema(value: object) -> Made:
    newer = isinstance(value, str) and re.fullmatch(r"longtake\.storyboard\.v(\d{1,6})", value)
    if newer and int(newer[1]) > 1:
        return "this storyboard is written for a newer longtake; update longtake", f"{SCHEMA} (known here)", None
    return "unknown schema", SCHEMA, None


def _describe(kind: str, ctx: dict[str, Any], value: Any, message: str) -> Made:
    if kind == "rule":
        return ctx["what"], ctx["allowed"], nearest(value, ctx["choices"])
    if kind == "literal_error":
        choices = re.findall(r"'([^']+)'", ctx["expected"])
        return "not one of the known values", ", ".join(choices), nearest(value, choices)
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        limit = ctx[name]
        return "out of range", f"{words} {limit:g}" if isinstance(limit, float) else f"{words} {limit}", None
    if kind in _KINDS:
        return _KINDS[kind], None, None
    maker = _LENGTHS.get(kind)
    return maker(ctx, value) if maker else (message[:1].lower() + message[1:], None, None)


def _text_kind(ctx: dict[str, Any], value: Any) -> Made:
    quoted = isinstance(value, int | float)
    return "must be text" + ("; put it in quotes" if quoted else ""), None, None


_LENGTHS: dict[str, Callable[[dict[str, Any], Any], Made]] = {
    "string_type": _text_kind,
    "string_too_short": lambda ctx, v: ("must not be empty", None, None),
    "string_too_long": lambda ctx, v: (
        f"too long ({len(v)} characters)",
        f"at most {ctx['max_length']} characters",
        None,
    ),
    "too_short": lambda ctx, v: ("must not be empty", f"at least {ctx['min_length']}", None),
    "too_long": lambda ctx, v: (f"too many ({len(v)})", f"at most {ctx['max_length']}", None),
}
