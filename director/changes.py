"""What differs between two specs of one place in a film, in words for a person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

SHOWN = 60
"""Characters of a text that are shown whole."""
AROUND = 16
"""Characters shown on each side of what differs in a longer one."""

_NAMES = {
    "prompt": "prompt changed",
    "negative_prompt": "negative prompt changed",
    "seed": "seed changed",
    "frames": "clip_frames changed",
    "index": "place in the chain changed",
    "sampler.steps": "steps changed",
    "sampler.name": "sampler changed",
    "model.dtype": "number format changed",
}


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """One line for each setting that decides pixels and is not the same. `previous` is left to the chain."""
    before, after = dict(_flat(old)), dict(_flat(new))
    lines = list(_joint(before, after))
    for name in dict.fromkeys((*after, *before)):
        if name in _JOINT or before.get(name) == after.get(name):
            continue
        label = _NAMES.get(name)
        prefix = f"{label}: " if label else f"{name.replace('.', ': ', 1)} "
        old_value, new_value = before.get(name), after.get(name)
        if name in ("prompt", "negative_prompt"):
            lines.append(prefix + difference(str(old_value), str(new_value)))
        else:
            lines.append(f"{prefix}{_shown(old_value)} -> {_shown(new_value)}")
    return lines


_JOINT = ("model.id", "model.digest", "width", "height", "previous")


def _joint(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    """Settings that are one thing to a person."""
    if old.get("model.digest") != new.get("model.digest"):
        names = old.get("model.id"), new.get("model.id")
        yield f"model changed: {names[0]} -> {names[1]}" if names[0] != names[1] else f"the files of {names[1]} changed"
    sizes = [f"{spec.get('width')}x{spec.get('height')}" for spec in (old, new)]
    if sizes[0] != sizes[1]:
        yield f"size changed: {sizes[0]} -> {sizes[1]}"


def _flat(data: dict[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{at}{name}.")
        else:
            yield at + name, value


def difference(old: str, new: str) -> str:
    """`"old" -> "new"`; long texts are shortened to where they differ."""
    if max(len(old), len(new)) <= SHOWN:
        return f'"{old}" -> "{new}"'
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    return f"{_window(old, head, tail)} -> {_window(new, head, tail)}"


def _shown(value: Any) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


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
