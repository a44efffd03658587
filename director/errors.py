"""What can go wrong in the face of longtake.

    DirectorError                 exit 1
    +-- StoryboardError           exit 2   one or more problems in storyboard files, each with file, line and column
    +-- CutError                  exit 2   shots that cannot be joined as asked
    +-- OutputUnwritable          exit 2   a film or storyboard cannot be written where it should go
    +-- SoundUnreadable           exit 2   a sound file that is missing or that cannot be decoded
    +-- FontUnreadable            exit 2   a font file that is missing or that words cannot be drawn with
    +-- PrintsDiffer              exit 1   encoded clips whose packets may not be mixed in one film
    +-- EncoderFailed             exit 1   the ffmpeg program is missing or did not do its work
    +-- FilmWrong                 exit 1   a finished film does not hold the frames that it should
    +-- PackageInvalid            exit 2   what was handed to a cluster cannot be unpacked
    +-- UsageError                exit 2   a command was asked for something that it cannot give

Every message says what, the given value, what is allowed and what to do next. `exit_code` is what the command
ends with when the error reaches the user.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

FONTS = "a TrueType or OpenType font (.ttf, .otf, .ttc)"
MOST_SHOWN = 50
"""Problems that a message lists; a file with more has one cause, and its end says how many were left out."""


class DirectorError(Exception):
    """Root of all errors of this room."""

    exit_code = 1


class UsageError(DirectorError):
    """A command was asked for something that it cannot give: an unknown name, an option out of range."""

    exit_code = 2


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a storyboard file.

    line, column: counted from 1; 0 where the whole file is meant. where: the field, as a person would say it.
    given: the value as written, shortened. allowed: what may stand there. nearest: the known name most like
    the given one.
    """

    file: str
    what: str
    line: int = 0
    column: int = 0
    where: str = ""
    given: str | None = None
    allowed: str | None = None
    nearest: str | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        text = f"{place}: {self.where}: {self.what}" if self.where else f"{place}: {self.what}"
        if self.given is not None:
            text += f" (given: {self.given})"
        if self.allowed is not None:
            text += f"; allowed: {self.allowed}"
        if self.nearest is not None:
            text += f"; did you mean {self.nearest!r}?"
        return text


class StoryboardError(DirectorError):
    """Storyboards that cannot be planned. `problems` holds everything found, files in order, sorted by line."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem]) -> None:
        found = list(problems)
        order = {file: i for i, file in reversed(list(enumerate(p.file for p in found)))}
        self.problems = tuple(sorted(found, key=lambda p: (order[p.file], p.line, p.column)))
        super().__init__(self._text())

    def _text(self) -> str:
        lines = [str(p) for p in self.problems[:MOST_SHOWN]]
        if len(self.problems) > MOST_SHOWN:
            lines.append(f"... and {len(self.problems) - MOST_SHOWN} more problems")
        return "\n".join(lines)

    @property
    def _first(self) -> Problem:
        return self.problems[0]

    @property
    def file(self) -> str:
        """File of the first problem."""
        return self._first.file

    @property
    def line(self) -> int:
        """Line of the first problem, from 1."""
        return self._first.line

    @property
    def column(self) -> int:
        """Column of the first problem, from 1."""
        return self._first.column


class CutError(DirectorError):
    """Shots that cannot be joined as asked."""

    exit_code = 2


class OutputUnwritable(DirectorError):
    """A film, or a new storyboard, cannot be written where it should go."""

    exit_code = 2


class SoundUnreadable(DirectorError):
    """A sound file is missing or cannot be decoded."""

    exit_code = 2


class FontUnreadable(DirectorError):
    """A font file is missing or words cannot be drawn with it, and why."""

    exit_code = 2

    def __init__(self, path: object, why: str) -> None:
        super().__init__(path, why)
        self.why = why

    def __str__(self) -> str:
        return f"{self.args[0]} cannot be used as a font: {self.why}; give {FONTS}, or leave the font out"


class PackageInvalid(DirectorError):
    """What was handed to a cluster is no package of longtake, or one of another version."""

    exit_code = 2


class PrintsDiffer(DirectorError):
    """Encoded clips whose packets may not be mixed in one film."""


class EncoderFailed(DirectorError):
    """The ffmpeg program is missing or did not do its work."""


class FilmWrong(DirectorError):
    """A finished film does not hold the frames that it should."""
