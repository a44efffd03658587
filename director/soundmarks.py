"""Which sounds a film was cut with: hash, size and time, so that sounds that nobody has touched are not read again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import SoundUnreadable
from .places import file_digest
from .planned import Plan

Marks = dict[str, dict[str, Any]]
"""Name of a sound in the project -> its `sha256`, `size` in bytes and `mtime_ns`."""


def sound_files(plan: Plan) -> dict[str, Path]:
    """Name in the project -> path of every sound that the film uses."""
    sounds = [sound for shot in plan.shots for sound in shot.audio] + ([plan.bed] if plan.bed else [])
    paths = dict.fromkeys(plan.base / sound.file for sound in sounds)
    return {os.path.relpath(path, plan.base): path for path in paths}


def sound_marks(plan: Plan, before: Mapping[str, Mapping[str, Any]]) -> Marks:
    """The sounds as they are now. before: as they were; one of the same size and time has the same bytes.

    Raises:
        SoundUnreadable: a file that is gone or cannot be read.
    """
    return {name: _sound_mark(path, before.get(name, {})) for name, path in sound_files(plan).items()}


def check_new_sounds(plan: Plan, before: Mapping[str, Mapping[str, Any]]) -> None:
    """Decode every sound to its end, but for those that a film was cut with before.

    Raises:
        SoundUnreadable: missing, no sound in it, or damaged.
    """
    heard = {mark["sha256"] for mark in before.values()}
    paths = sound_files(plan)
    for name, mark in sound_marks(plan, before).items():
        if mark["sha256"] not in heard:
            from .soundfile import check_sound

            check_sound(paths[name], whole=True)


def digests(marks: Marks) -> dict[str, str]:
    """Name in the project -> sha256."""
    return {name: mark["sha256"] for name, mark in marks.items()}


def mark(path: Path, before: Mapping[str, Any]) -> dict[str, Any]:
    """A file as it is now; hashed only when its size or time are not as `before`. Raises OSError."""
    found = path.stat()
    now = {"size": found.st_size, "mtime_ns": found.st_mtime_ns}
    if before and {name: before[name] for name in now} == now:
        return dict(before)
    return {"sha256": file_digest(path), **now}


def _sound_mark(path: Path, before: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return mark(path, before)
    except OSError as error:
        raise SoundUnreadable(
            f"{path} cannot be read as sound: {error.strerror or error}; put the file back, or remove it from the "
            "storyboard"
        ) from None
