"""Checks on a storyboard as written that need neither the model nor the other fields to be right."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

from .board import Bed, Delivery, Shot
from .problems import Path
from .settle import Report

SUFFIXES = {"h264": ".mp4", "h265": ".mp4", "prores": ".mov"}
"""Codec preset -> suffix of its files."""


def check_written(report: Report) -> None:
    """Shot ids stand once; a length is given once. Reads plain data, whatever else is wrong with it."""
    first: dict[str, int] = {}
    for index, shot in enumerate(_list(report.source.data.get("shots"))):
        if not isinstance(shot, dict):
            continue
        name = shot.get("id")
        if isinstance(name, str) and first.setdefault(name, index) != index:
            line = report.source.document.find(("shots", first[name], "id")).line
            report.add(("shots", index, "id"), f"this shot id stands a second time (first in line {line})", name)
        at: Path = ("shots", index)
        _one_length(report, at, shot, "seconds", "frames", needed=True)
        for part in ("transition", "title"):
            _one_length(report, (*at, part), shot.get(part), "seconds", "frames", needed=False)
        for k, beat in enumerate(_list(shot.get("beats"))):
            _one_length(report, (*at, "beats", k), beat, "at", "at_frame", needed=True)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _one_length(report: Report, at: Path, part: Any, one: str, other: str, *, needed: bool) -> None:
    if not isinstance(part, dict):
        return
    given = [name for name in (one, other) if part.get(name) is not None]
    if len(given) == 2:
        report.add((*at, other), f"both {one} and {other} are given", allowed="one of the two")
    elif not given and needed:
        report.add(at, f"neither {one} nor {other} is given", allowed="one of the two")


def check_sounds(report: Report, shots: list[tuple[int, Shot]], bed: Bed | None) -> None:
    """Every sound file is there and holds sound. Each file is looked at once."""
    known: dict[str, str | None] = {}
    for path, file in _sounds(shots, bed):
        if file not in known:
            known[file] = _sound_problem(report.source.path.parent / file)
        if (what := known[file]) is not None:
            report.add(path, what, file)


def _sounds(shots: list[tuple[int, Shot]], bed: Bed | None) -> Iterator[tuple[Path, str]]:
    if bed is not None:
        yield ("bed", "file"), bed.file
    for index, shot in shots:
        for k, audio in enumerate(shot.audio):
            yield ("shots", index, "audio", k, "file"), audio.file


def _sound_problem(path: FilePath) -> str | None:
    """What keeps the file from being played, None when nothing does."""
    try:
        if not path.exists():
            return f"no such sound file in {path.parent}"
        if not path.is_file():
            return "not a file"
        if not os.access(path, os.R_OK):
            return "the sound file cannot be read: permission denied"
    except OSError as error:
        return f"the sound file cannot be read: {error.strerror}"
    import av

    try:
        with av.open(str(path)) as container:
            return None if container.streams.audio else "the file holds no sound"
    except (av.FFmpegError, OSError):
        return "not a sound file that can be decoded"


def check_deliveries(report: Report, deliver: list[Delivery], film: str | None) -> None:
    """Names differ, suffixes fit, and sizes suit the codec."""
    first: dict[str, str] = {}
    for index, delivery in enumerate(deliver):
        path: Path = ("deliver", index, "name")
        suffix = SUFFIXES[delivery.codec]
        name = delivery.name or film or ""
        given = FilePath(name).suffix.lower()
        if given in (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v") and given != suffix:
            report.add(path, f"codec {delivery.codec} is written to {suffix} files", name, allowed=f"{suffix} or no suffix")
        full = delivery_name(name, delivery.codec)
        if full.casefold() in first:
            report.add(path, f"two deliveries would be written to {full}", allowed="a name of its own for each")
        first[full.casefold()] = full
        if delivery.size and any(side % 2 for side in delivery.size):
            report.add(("deliver", index, "size"), "video codecs need even sides", delivery.size, allowed="even numbers")


def delivery_name(name: str, codec: str) -> str:
    """The file's name with the codec's suffix."""
    suffix = SUFFIXES[codec]
    return name if name.lower().endswith(suffix) else name + suffix
