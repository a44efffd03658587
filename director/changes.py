"""What differs between two specs, in words for a person: one line for each setting, whatever settings there are.

Specs are compared as nested data, by what is in their keys; a method that came or went is one line. So a setting
that a later longtake adds is named here without a word about it, and one that asks for nothing is no difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from shots.errors import SpecError
from shots.spec import ClipSpec, canonical, hashed_fields

SHOWN = 60
"""Characters of a text that are shown whole."""
AROUND = 16
"""Characters shown on each side of what differs in a longer one."""
DIGITS = 8
"""Hex digits of a digest that are shown."""

_NAMES = {
    "frames": "clip_frames changed",
    "index": "place in the chain changed",
    "sampler.steps": "steps changed",
    "sampler.name": "sampler changed",
    "model.dtype": "number format changed",
    "model.family": "model family changed",
}
_JOINT = ("model.id", "model.digest", "width", "height", "previous")
Change = tuple[str, Any, Any]
"""Dotted name of a setting, its value before, its value after; None where it was not there."""


def changes(old: dict[str, Any], new: dict[str, Any], whole: bool = False) -> list[str]:
    """One line for each setting that decides pixels and is not the same. `previous` is left to the chain.

    old, new: specs as `ClipSpec.to_dict` gives them, of this or an earlier longtake. whole: do not shorten texts.
    """
    found = differences(old, new)
    return [*_joint(old, new, found), *(_line(*change, whole) for change in found if change[0] not in _JOINT)]


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    """Every setting that is not the same, by its dotted name; a part of another kind is one setting."""
    before, after = _counted(old), _counted(new)
    return [(name, *_values(name, old, new, a, b)) for name, a, b in _walk(before, after)]


def _counted(spec: dict[str, Any]) -> Any:
    """What of a spec is in its key; all of it when this version cannot read it. The model's id is for people."""
    try:
        return hashed_fields(ClipSpec.from_dict(spec))
    except (SpecError, KeyError, TypeError, AttributeError):
        return {k: v for k, v in spec.items() if k != "model"} | {
            "model": {k: v for k, v in (spec.get("model") or {}).items() if k != "id"}
        }


def _walk(old: Any, new: Any, at: str = "") -> Iterator[Change]:
    if not (isinstance(old, dict) and isinstance(new, dict)) or (at and old.get("kind") != new.get("kind")):
        if old != new:
            yield at, old, new
        return
    for name in dict.fromkeys((*new, *old)):
        yield from _walk(old.get(name), new.get(name), f"{at}.{name}" if at else name)


def _values(name: str, old: dict[str, Any], new: dict[str, Any], a: Any, b: Any) -> tuple[Any, Any]:
    """A setting at its neutral value is not in a key; the spec itself still says it."""
    return (_at(old, name) if a is None else a), (_at(new, name) if b is None else b)


def _at(data: Any, name: str) -> Any:
    for step in name.split("."):
        data = data.get(step) if isinstance(data, dict) else None
    return data


def _joint(old: dict[str, Any], new: dict[str, Any], found: list[Change]) -> Iterator[str]:
    """Settings that are one thing to a person."""
    names = {name for name, _, _ in found}
    if "model" in names or "model.digest" in names:
        ids, digests = [[(spec.get("model") or {}).get(part) for spec in (old, new)] for part in ("id", "digest")]
        if ids[0] != ids[1]:
            yield f"model changed: {ids[0]} -> {ids[1]}"
        else:
            yield f"model revision {_revision(digests[0])} -> {_revision(digests[1])}: the files of {ids[1]} changed"
    if names & {"width", "height"}:
        sizes = [f"{spec.get('width')}x{spec.get('height')}" for spec in (old, new)]
        yield f"size changed: {sizes[0]} -> {sizes[1]}"


def _revision(digest: Any) -> str:
    return str(digest).removeprefix("sha256:")[:DIGITS]


def _line(name: str, old: Any, new: Any, whole: bool) -> str:
    if isinstance(old, str) and isinstance(new, str) and name.endswith("prompt"):
        values = f'"{old}" -> "{new}"' if whole else difference(old, new)
        return f"{name.replace('_', ' ')} changed: {values}"
    values = f"{_shown(old)} -> {_shown(new)}"
    if name == "sampler.stop_after" and (old is None or new is None):
        return (
            f"in full, after a draft of the first {old} steps" if new is None else f"a draft of the first {new} steps"
        )
    if name.rpartition(".")[2] == "version":
        what = name.rpartition(".")[0] or "clip"
        return f"{what.removeprefix('recipe.')} is made in another way: version {values}"
    if name in _NAMES:
        return f"{_NAMES[name]}: {values}"
    part, dot, rest = name.partition(".")
    if isinstance(old, dict) or isinstance(new, dict):
        return f"{rest or part}: {values}"
    return f"{part}: {rest} {values}" if dot else f"{part.replace('_', ' ')} changed: {values}"


def _shown(value: Any) -> str:
    """A value in words: a method by its kind and settings."""
    if isinstance(value, dict):
        settings = ", ".join(f"{k} {_shown(v)}" for k, v in value.items() if k not in ("kind", "version"))
        kind = str(value.get("kind", ""))
        return f"{kind} ({settings})" if kind and settings else kind or settings or "none"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_shown, value)) + "]" if len(canonical(value)) <= SHOWN else f"{len(value)} entries"
    if isinstance(value, bool):
        return str(value).lower()
    text = "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 2 * SHOWN else text[:SHOWN] + "..."


def difference(old: str, new: str) -> str:
    """`"old" -> "new"`; long texts are shortened to where they differ."""
    if max(len(old), len(new)) <= SHOWN:
        return f'"{old}" -> "{new}"'
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    return f"{_window(old, head, tail)} -> {_window(new, head, tail)}"


def _common(a: str, b: str) -> int:
    """Length of the common beginning."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _window(text: str, head: int, tail: int) -> str:
    """The part that differs, with a little before and after it."""
    begin, end = max(0, head - AROUND), min(len(text), len(text) - tail + AROUND)
    part = text[begin:end]
    if len(part) > 2 * SHOWN:
        part = part[:SHOWN] + "..." + part[-SHOWN // 2 :]
    return f'"{"..." if begin else ""}{part}{"..." if end < len(text) else ""}"'
