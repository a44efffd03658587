"""Checks on a storyboard as written that need neither the model nor the other fields to be right."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any

from pydantic import TypeAdapter, ValidationError

from shots.codecs import CODECS

from .board import Delivery
from .errors import FONTS, FontUnreadable
from .fields import InsidePath
from .findings import Findings
from .fontfile import check_font
from .problems import Path

_INSIDE = TypeAdapter(InsidePath)


def check_written(findings: Findings) -> None:
    """Shot ids stand once; a length is given once. Reads plain data, whatever else is wrong with it."""
    first: dict[str, int] = {}
    for index, shot in enumerate(_list(findings.source.data.get("shots"))):
        if not isinstance(shot, dict):
            continue
        name = shot.get("id")
        if isinstance(name, str) and first.setdefault(name, index) != index:
            line = findings.source.document.find(("shots", first[name], "id")).line
            findings.add(("shots", index, "id"), f"this shot id stands a second time (first in line {line})", name)
        at: Path = ("shots", index)
        _one_length(findings, at, shot, "seconds", "frames", needed=True)
        for part in ("transition", "title"):
            _one_length(findings, (*at, part), shot.get(part), "seconds", "frames", needed=False)
        for k, beat in enumerate(_list(shot.get("beats"))):
            _one_length(findings, (*at, "beats", k), beat, "at", "at_frame", needed=True)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _one_length(findings: Findings, at: Path, part: Any, one: str, other: str, *, needed: bool) -> None:
    if not isinstance(part, dict):
        return
    given = [name for name in (one, other) if part.get(name) is not None]
    if len(given) == 2:
        findings.add((*at, other), f"both {one} and {other} are given", allowed="one of the two")
    elif not given and needed:
        findings.add(at, f"neither {one} nor {other} is given", allowed="one of the two")


def check_sounds(findings: Findings) -> None:
    """Every sound file is there and holds sound. Each file is looked at once. Reads plain data."""
    known: dict[str, str | None] = {}
    for path, sound in _sounds(findings.source.data):
        try:
            file = _INSIDE.validate_python(sound.get("file") if isinstance(sound, dict) else sound)
        except ValidationError:
            continue  # the board has told
        if file not in known:
            known[file] = _sound_problem(findings.source.path.parent, file)
        if (what := known[file]) is not None:
            findings.add(path, what, file)


def _sounds(data: dict[str, Any]) -> Iterator[tuple[Path, Any]]:
    if data.get("bed") is not None:
        yield ("bed", "file"), data["bed"]
    for index, shot in enumerate(_list(data.get("shots"))):
        for k, sound in enumerate(_list(shot.get("audio") if isinstance(shot, dict) else None)):
            yield ("shots", index, "audio", k, "file"), sound


def _file_problem(base: FilePath, file: str, kind: str) -> str | None:
    """What keeps a file of the project from being read, None when nothing does."""
    path = base / file
    try:
        if not (real := path.resolve()).is_relative_to(base.resolve()):
            return f"a link leads out of the storyboard's folder, to {real}"
        if not path.exists():
            return f"no such {kind} file in {path.parent}"
        if not path.is_file():
            return "not a file"
        if not os.access(path, os.R_OK):
            return f"the {kind} file cannot be read: permission denied"
    except (OSError, RuntimeError) as error:  # a link that leads to itself is a RuntimeError before Python 3.13
        return f"the {kind} file cannot be read: {getattr(error, 'strerror', None) or error}"
    return None


def _sound_problem(base: FilePath, file: str) -> str | None:
    """What keeps the file from being played, None when nothing does."""
    if (what := _file_problem(base, file, "sound")) is not None:
        return what
    import av

    try:
        with av.open(str(base / file)) as container:
            return None if container.streams.audio else "the file holds no sound"
    except (av.FFmpegError, OSError):
        return "not a sound file that can be decoded"


def check_fonts(findings: Findings) -> None:
    """Every font is there, and words can be drawn with it. Each file is looked at once. Reads plain data."""
    known: dict[str, str | None] = {}
    for path, font in _fonts(findings.source.data):
        try:
            file = _INSIDE.validate_python(font)
        except ValidationError:
            continue  # the board has told
        if file not in known:
            known[file] = _font_problem(findings.source.path.parent, file)
        if (what := known[file]) is not None:
            findings.add(path, what, file, allowed=FONTS)


def _fonts(data: dict[str, Any]) -> Iterator[tuple[Path, Any]]:
    film, shots = data.get("film"), _list(data.get("shots"))
    titles = (shot.get("title") if isinstance(shot, dict) else None for shot in shots)
    named = [(("film", "font"), film), *((("shots", n, "title", "font"), title) for n, title in enumerate(titles))]
    for path, part in named:
        if isinstance(part, dict) and part.get("font") is not None:
            yield path, part["font"]


def _font_problem(base: FilePath, file: str) -> str | None:
    """What keeps words from being drawn with the font, None when nothing does."""
    if (what := _file_problem(base, file, "font")) is not None:
        return what
    try:
        check_font(base / file)
    except FontUnreadable as error:
        return f"not a font that words can be drawn with: {error.why}"
    return None


def check_deliveries(findings: Findings, deliver: Mapping[int, Delivery], film: str) -> None:
    """Names differ, suffixes fit, and sizes suit the codec."""
    first: dict[str, str] = {}
    for index, delivery in deliver.items():
        path: Path = ("deliver", index, "name")
        codec = CODECS[delivery.codec]
        name = delivery.name or film
        given = FilePath(name).suffix.lower()
        if given in (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v") and given != codec.suffix:
            what = f"codec {delivery.codec} is written to {codec.suffix} files"
            findings.add(path, what, name, allowed=f"{codec.suffix} or no suffix")
        full = codec.named(name)
        if full.casefold() in first:
            findings.add(path, f"two deliveries would be written to {full}", allowed="a name of its own for each")
        first[full.casefold()] = full
        if delivery.size and any(side % 2 for side in delivery.size):
            findings.add(
                ("deliver", index, "size"), "video codecs need even sides", delivery.size, allowed="even numbers"
            )
