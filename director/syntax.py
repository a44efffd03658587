"""Storyboard text into plain data that knows where each value stands.

YAML is read as a stream of ruamel's parser events, so nothing is constructed that this module does not
construct: no tags, no Python objects, and an alias is the same object again, counted but never copied.
JSON is read by the standard library for its values and walked once more for its positions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

MOST_NODES = 1_000_000
"""Values in one file after its aliases are expanded. A film of 100,000 shots has about 700,000."""
MOST_DEPTH = 24
"""Nesting of one file. A storyboard needs seven levels."""


class Mark(NamedTuple):
    """A place in the text, counted from 1."""

    line: int
    column: int


class BadText(Exception):
    """Text that is not one plain document. Turned into a StoryboardError by `source`, which knows the file."""

    def __init__(self, what: str, mark: Mark | None = None, allowed: str | None = None) -> None:
        super().__init__(what)
        self.what, self.mark, self.allowed = what, mark, allowed


class Token(NamedTuple):
    """One event of either syntax. kind: `{` `}` `[` `]` for collections, `v` a value, `*` an alias."""

    kind: str
    line: int
    column: int
    value: Any = None
    anchor: str | None = None


@dataclass
class Document:
    """Plain data and its positions: `marks[id(container)][key or index]` is (place of the key, place of the value)."""

    data: Any
    root: Mark
    marks: dict[int, dict[Any, tuple[Mark, Mark]]] = field(default_factory=dict)

    def find(self, path: tuple[str | int, ...], key: bool = False) -> Mark:
        """The place of the value at `path` (of its key when `key`), or of the nearest part of the path that exists."""
        here, mark = self.data, self.root
        for step in path:
            places = self.marks.get(id(here), {})
            if step not in places:
                continue  # a name that the validator put in, or a field that is missing
            mark = places[step][0 if key and step == path[-1] else 1]
            here = here[step]
        return mark


def read_yaml(text: str) -> Document:
    """The document of a YAML text.

    Raises:
        BadText: not YAML, or YAML with tags, several documents, duplicate keys, too deep or too large.
    """
    return _build(_yaml_tokens(text))


def read_json(text: str) -> Document:
    """The document of a JSON text.

    Raises:
        BadText: not JSON, or with duplicate keys, too deep or too large.
    """
    try:
        json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise BadText(f"not JSON: {error.msg}", Mark(error.lineno, error.colno)) from None
    except RecursionError:
        raise BadText("nested too deeply", allowed=f"{MOST_DEPTH} levels") from None
    except ValueError as error:
        what = "a number of thousands of digits" if "digits" in str(error) else str(error)
        raise BadText(f"not JSON: {what}") from None
    return _build(_json_tokens(text))


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number that JSON knows")


def _yaml_tokens(text: str) -> Iterator[Token]:
    documents = 0
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            name = type(event).__name__
            documents += name == "DocumentStartEvent"
            if documents > 1:
                raise BadText("a second YAML document begins here", _mark(event), "one storyboard a file")
            token = _yaml_token(name, event)
            if token:
                yield token
    except MarkedYAMLError as error:
        place = error.problem_mark or error.context_mark
        what = ", ".join(filter(None, (error.context, error.problem)))
        what += "; indent with spaces" if "'\\t'" in what else ""
        raise BadText(f"not YAML: {what}", place and Mark(place.line + 1, place.column + 1)) from None
    except ReaderError as error:
        before = text[: error.position]
        mark = Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise BadText("not YAML: a control character that no text should hold", mark) from None
    except YAMLError as error:
        raise BadText(f"not YAML: {' '.join(str(error).split())}") from None


def _mark(event: Any) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)


_COLLECTIONS = {
    "MappingStartEvent": "{",
    "MappingEndEvent": "}",
    "SequenceStartEvent": "[",
    "SequenceEndEvent": "]",
}


def _yaml_token(name: str, event: Any) -> Token | None:
    mark = event.start_mark
    line, column = mark.line + 1, mark.column + 1
    if getattr(event, "tag", None):
        raise BadText(
            f"a tag ({event.tag}) stands here", Mark(line, column), "plain values; remove the tag, or quote the text"
        )
    if name == "ScalarEvent":
        value = _scalar(event.value, Mark(line, column)) if event.implicit[0] else event.value
        return Token("v", line, column, value, event.anchor)
    if name == "AliasEvent":
        return Token("*", line, column, None, event.anchor)
    if name in _COLLECTIONS:
        return Token(_COLLECTIONS[name], line, column, None, getattr(event, "anchor", None))
    return None


_CONSTANTS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    ".nan": float("nan"),
    ".inf": float("inf"),
    "-.inf": float("-inf"),
}
_INT = re.compile(r"[-+]?[0-9]{1,4000}\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")


def _scalar(text: str, mark: Mark) -> Any:
    """A plain scalar by the core schema of YAML 1.2, so `no`, `on` and `1:30` are text."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if not (text[0].isdigit() or text[0] in "+-."):
        return text
    if _INT.match(text):
        return int(text)
    if _FLOAT.match(text):
        return float(text)
    return text


_JSON_TOKEN = re.compile(r'\s*(?:([{}\[\]])|("(?:[^"\\]|\\.)*"|[^\s{}\[\],:"]+)|[,:])')


def _json_tokens(text: str) -> Iterator[Token]:
    """Tokens of a text that `json.loads` has accepted."""
    line, begin, seen = 1, 0, 0
    for match in _JSON_TOKEN.finditer(text):
        at = match.start(match.lastindex) if match.lastindex else match.end() - 1
        breaks = text.count("\n", seen, at)
        if breaks:
            line, begin = line + breaks, text.rindex("\n", seen, at) + 1
        seen = at
        if match[1]:
            yield Token(match[1], line, at - begin + 1)
        elif match[2]:
            yield Token("v", line, at - begin + 1, json.loads(match[2]))


@dataclass
class _Open:
    """A collection being read. `size` counts its values with aliases expanded; `key` waits for its value."""

    value: Any
    anchor: str | None
    mark: Mark
    size: int = 1
    key: Any = None
    key_mark: Mark | None = None


class _Builder:
    """Puts tokens together, bottom up, and keeps the count of what the aliases stand for."""

    def __init__(self) -> None:
        self.stack: list[_Open] = []
        self.anchors: dict[str, tuple[Any, int] | None] = {}
        self.document: Document = Document(None, Mark(1, 1))

    def take(self, token: Token) -> None:
        mark = Mark(token.line, token.column)
        if token.kind in "{[":
            self.open(token, mark)
        elif token.kind in "}]":
            done = self.stack.pop()
            self.add(done.value, done.mark, done.size, done.anchor)
        elif token.kind == "*":
            value, size = self.alias(token, mark)
            self.add(value, mark, size, None)
        else:
            value = token.value
            if isinstance(value, str) and not value.isascii():
                value = _whole(value, mark)
            self.add(value, mark, 1, token.anchor)

    def open(self, token: Token, mark: Mark) -> None:
        if len(self.stack) >= MOST_DEPTH:
            raise BadText("nested too deeply", mark, f"{MOST_DEPTH} levels")
        if token.anchor:
            self.anchors[token.anchor] = None
        value: Any = {} if token.kind == "{" else []
        self.document.marks[id(value)] = {}
        self.stack.append(_Open(value, token.anchor, mark))

    def alias(self, token: Token, mark: Mark) -> tuple[Any, int]:
        if token.anchor not in self.anchors:
            raise BadText(f"*{token.anchor} names an anchor that is not defined above", mark)
        meant = self.anchors[token.anchor]
        if meant is None:
            raise BadText(f"*{token.anchor} stands inside the value that it names", mark)
        return meant

    def add(self, value: Any, mark: Mark, size: int, anchor: str | None) -> None:
        if anchor:
            self.anchors[anchor] = (value, size)
        if not self.stack:
            self.document.data, self.document.root = value, mark
            return
        top = self.stack[-1]
        top.size += size
        if top.size > MOST_NODES:
            raise BadText(
                f"more than {MOST_NODES} values, an alias counted as all that it stands for", mark, "fewer values"
            )
        if isinstance(top.value, list):
            self.document.marks[id(top.value)][len(top.value)] = (mark, mark)
            top.value.append(value)
        elif top.key_mark is None:
            top.key, top.key_mark = self.key(value, mark, top), mark
        else:
            self.document.marks[id(top.value)][top.key] = (top.key_mark, mark)
            top.value[top.key] = value
            top.key_mark = None

    def key(self, value: Any, mark: Mark, top: _Open) -> str:
        if not isinstance(value, str):
            raise BadText(f"the name of a field must be text, not {value!r:.60}", mark)
        if value == "<<":
            raise BadText("merge keys (<<) are not read", mark, "`defaults` for what all shots share, or an alias")
        if value in top.value:
            first = self.document.marks[id(top.value)][value][0]
            raise BadText(f"field {value!r} stands here a second time (first in line {first.line})", mark)
        return value


def _whole(text: str, mark: Mark) -> str:
    """The text with its pairs of surrogate escapes, as JSON writes rare characters, joined."""
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise BadText("half of a character stands here (a lone surrogate escape)", mark) from None


def _build(tokens: Iterator[Token]) -> Document:
    builder = _Builder()
    for token in tokens:
        builder.take(token)
    return builder.document
