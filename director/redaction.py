"""Lineage for other eyes: what stays in the house is replaced by a name that is equal for equal texts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from .errors import UsageError

WHAT: dict[str, frozenset[str]] = {"prompts": frozenset({"prompt", "negative_prompt"})}
"""What may be redacted: the fields that hold it, wherever they stand."""
MARK = "redacted:"


def check(what: Sequence[str]) -> None:
    """Raises UsageError for something that cannot be redacted."""
    for name in what:
        if name not in WHAT:
            raise UsageError(f"--redact {name!r} is not known; choose from: {', '.join(WHAT)}")


def redacted(document: Any, what: Sequence[str]) -> Any:
    """A document without the texts of these kinds: neither in their own fields nor within other texts.

    Raises:
        UsageError: see `check`.
    """
    check(what)
    fields = frozenset(field for name in what for field in WHAT[name])
    texts = sorted({text for text in _texts(document, fields) if text}, key=len, reverse=True)
    return _without(document, {text: _name(text) for text in texts}) if texts else document


def is_redacted(document: Any) -> bool:
    """Whether something has been taken out of a document."""
    fields = frozenset().union(*WHAT.values())
    return any(text.startswith(MARK) for text in _texts(document, fields))


def _name(text: str) -> str:
    return MARK + hashlib.sha256(b"longtake redaction 1\n" + text.encode()).hexdigest()[:16]


def _texts(value: Any, fields: frozenset[str]) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in fields and isinstance(inner, str):
                yield inner
            else:
                yield from _texts(inner, fields)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner, fields)


def _without(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _without(inner, names) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without(inner, names) for inner in value]
    if isinstance(value, str):
        if value in names:
            return names[value]
        for text, name in names.items():
            if len(text) >= 8:  # a shorter one may stand in a word by chance
                value = value.replace(text, name)
    return value
