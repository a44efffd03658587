"""Storyboards from files: read, validated, settled. Every problem of every file is found before anything is raised."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from .board import Bed, Board, Defaults, Deliveries, Film, Part, Shot
from .checks import check_deliveries, check_sounds, check_written
from .errors import Problem, StoryboardError
from .planned import Sound
from .problems import problems_of
from .settle import Report, SettledShot, Settler, check_joins
from .source import Source, find, read

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
    """What of a file is valid by itself; the whole board when all is."""

    film: Film | None = None
    defaults: Defaults | None = None
    shots: list[tuple[int, Shot]] = field(default_factory=list)
    bed: Bed | None = None
    deliver: Deliveries = field(default_factory=list)
    board: Board | None = None


def _load(path: Path) -> tuple[Storyboard, Source]:
    source = read(path)
    report = Report(source)
    parts = _parts(source, report)
    check_written(report)
    check_sounds(report, parts.shots, parts.bed)
    check_deliveries(report, parts.deliver, parts.film and parts.film.id)
    settled, bed = _settled(parts, report)
    if report.found or parts.board is None:
        raise StoryboardError(report.problems)
    shots = tuple(shot for _, shot in settled if shot is not None)
    return Storyboard(parts.board, shots, bed, source.path, source.digest), source


def _settled(parts: _Parts, report: Report) -> tuple[list[tuple[int, SettledShot | None]], Sound | None]:
    if parts.film is None or parts.defaults is None:
        return [], None
    settler = Settler(parts.film, parts.defaults, report, report.source.path.parent)
    whole = dict(parts.shots)
    count = len(report.source.data["shots"]) if parts.shots else 0
    settled = [(i, settler.shot(i, whole[i]) if i in whole else None) for i in range(count)]
    check_joins(report, settled)
    return settled, settler.bed(parts.bed)


def _parts(source: Source, report: Report) -> _Parts:
    try:
        board = Board.model_validate(source.data)
    except ValidationError as error:
        report.found.update(dict.fromkeys(problems_of(error, source)))
        return _salvage(source.data)
    return _Parts(board.film, board.defaults, list(enumerate(board.shots)), board.bed, board.deliver, board)


def _salvage(data: dict[str, Any]) -> _Parts:
    """The parts of a broken storyboard that are valid, so that their problems with each other are found as well."""
    shots = data.get("shots")
    found = [(i, _valid(Shot, s)) for i, s in enumerate(shots if isinstance(shots, list) else [])]
    try:
        deliver = TypeAdapter(Deliveries).validate_python(data.get("deliver", []), strict=True)
    except ValidationError:
        deliver = []
    return _Parts(
        _valid(Film, data.get("film")),
        _valid(Defaults, data.get("defaults", {})),
        [(i, shot) for i, shot in found if shot is not None],
        _valid(Bed, data.get("bed")) if data.get("bed") is not None else None,
        deliver,
    )


def _valid(part: type[_P], value: Any) -> _P | None:
    try:
        return part.model_validate(value)
    except ValidationError:
        return None
