"""Where the problems of one file are gathered while it is read, so that all of them are told at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .errors import Problem
from .problems import Path, show, where
from .source import Source


@dataclass
class Findings:
    """The problems found so far in one file."""

    source: Source
    found: dict[Problem, None] = field(default_factory=dict)

    @property
    def problems(self) -> list[Problem]:
        """All problems, each once: one in `defaults` shows itself in every shot."""
        return list(self.found)

    def add(
        self, path: Path, what: str, value: Any = ..., *, allowed: str | None = None, near: str | None = None
    ) -> None:
        """A problem with what stands at `path`; `value` as given, if it helps."""
        given = None if value is ... else show(value)
        place = where(path, self.source.data)
        self.found[self.source.problem(path, what, where=place, given=given, allowed=allowed, nearest=near)] = None
