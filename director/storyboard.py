"""Storyboards from files: read, validated, settled. Every problem of every file is found before anything is raised."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from .board import Bed, Board, Defaults, Delivery, Film, Shot
from .checks import check_deliveries, check_fonts, check_sounds, check_written
from .errors import Problem, StoryboardError
from .findings import Findings
from .part import Part
from .planned import Sound
from .problems import problems_of
from .settle import SettledShot, Settler, check_amount
from .source import Source, find, read
from .timing import Timer, check_joins

__all__ = ["Board", "Problem", "Shot", "Storyboard", "StoryboardError", "load"]

_P = TypeVar("_P", bound=Part)


@dataclass(frozen=True)
class Storyboard:
    """A storyboard without problems. `board` is what the author wrote; `shots` and `bed` are what it comes to."""

    board: Board
    shots: tuple[SettledShot, ...]
    bed: Sound | None
    path: Path
    digest: str

    @property
    def base(self) -> Path:
        """The folder that relative paths begin in."""
        return self.path.parent


def load(paths: str | Path | Iterable[str | Path]) -> list[Storyboard]:
    """The storyboards that `paths` name: one file, or files and globs in order.

    Raises:
        StoryboardError: all that is wrong in all of them.
    """
    problems: list[Problem] = []
    storyboards = []
    for path in find(paths):
        try:
            storyboards.append(_load(path))
        except StoryboardError as error:
            problems += error.problems
    problems += _same_films(storyboards)
    if problems:
        raise StoryboardError(problems)
    return [storyboard for storyboard, _ in storyboards]


def _same_films(storyboards: list[tuple[Storyboard, Source]]) -> list[Problem]:
    first: dict[str, Source] = {}
    problems = []
    for storyboard, source in storyboards:
        name = storyboard.board.film.id
        other = first.setdefault(name, source)
        if other is not source:
            what = f"film {name!r} is also the film of {other.shown}; one call can make a film once"
            allowed = "an id of its own for each film"
            problems.append(source.problem(("film", "id"), what, where="film.id", allowed=allowed))
    return problems


@dataclass
class _Parts:
    """What of a file is valid by itself; the whole board when all is. Indices are those of the file.

    timed: whether the film's frame rate is known; without it no length can be judged.
    """

    film: Film | None
    defaults: Defaults | None
    shots: Mapping[int, Shot]
    bed: Bed | None
    deliver: Mapping[int, Delivery]
    board: Board | None = None
    timed: bool = True


def _load(path: Path) -> tuple[Storyboard, Source]:
    source = read(path)
    findings = Findings(source)
    parts = _parts(source, findings)
    check_written(findings)
    check_sounds(findings)
    check_fonts(findings)
    check_deliveries(findings, parts.deliver, parts.film.id if parts.film else "film")
    settled, bed = _settled(parts, findings)
    if not findings.found:
        check_amount(findings, settled)
    if findings.found or parts.board is None:
        raise StoryboardError(findings.problems)
    return Storyboard(parts.board, tuple(settled), bed, source.path, source.digest), source


def _settled(parts: _Parts, findings: Findings) -> tuple[list[SettledShot], Sound | None]:
    if parts.film is None:
        return [], None
    timer = Timer(parts.film.fps, findings if parts.timed else Findings(findings.source), parts.film.font)
    timed = {index: timer.shot(index, shot) for index, shot in parts.shots.items()}
    check_joins(timer.findings, timed)
    bed = timer.sound(parts.bed, parts.bed.loop) if parts.bed else None
    if parts.defaults is None:
        return [], bed
    settler = Settler(parts.film, parts.defaults, findings, findings.source.path.parent)
    settled = [settler.shot(index, shot, timed[index]) for index, shot in parts.shots.items()]
    return [shot for shot in settled if shot is not None], bed


def _parts(source: Source, findings: Findings) -> _Parts:
    try:
        board = Board.model_validate(source.data)
    except ValidationError as error:
        findings.found.update(dict.fromkeys(problems_of(error, source)))
        return _salvage(source.data)
    shots, deliver = dict(enumerate(board.shots)), dict(enumerate(board.deliver))
    return _Parts(board.film, board.defaults, shots, board.bed, deliver, board)


def _salvage(data: dict[str, Any]) -> _Parts:
    """The parts of a broken storyboard that are valid, so that their problems with each other are found as well."""
    film = _valid(Film, data.get("film"), {"id": "film"})
    return _Parts(
        film or _valid(Film, data.get("film"), {"id": "film", "fps": 24}),
        _valid(Defaults, data.get("defaults", {}), {}),
        _each(Shot, data.get("shots"), {"id": "shot", "prompt": "prompt"}),
        _valid(Bed, data.get("bed"), {}),
        _each(Delivery, data.get("deliver"), {}),
        timed=film is not None,
    )


def _each(part: type[_P], values: Any, stand_in: dict[str, Any]) -> dict[int, _P]:
    made = [_valid(part, value, stand_in) for value in (values if isinstance(values, list) else [values])]
    return {index: valid for index, valid in enumerate(made) if valid is not None}


def _valid(part: type[_P], value: Any, stand_in: dict[str, Any]) -> _P | None:
    """The part without its broken fields; `stand_in` for needed ones, whose absence has been told already."""
    if not isinstance(value, dict):
        return None
    try:
        return part.model_validate(value)
    except ValidationError as error:
        broken = {details["loc"][0] for details in error.errors(include_url=False) if details["loc"]}
        rest = stand_in | {name: kept for name, kept in value.items() if name not in broken}
    try:
        return part.model_validate(rest)
    except ValidationError:
        return None
