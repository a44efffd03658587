"""One storyboard file, read within limits: its bytes' digest, its data, and where each value stands."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import Problem, StoryboardError
from .syntax import BadText, Document, read_json, read_yaml

MOST_BYTES = 10 * 1024 * 1024
"""Size of one file. A storyboard of 10,000 shots has about one megabyte."""


@dataclass
class Source:
    """A file that has been read. `shown` is its path as the user wrote it."""

    path: Path
    shown: str
    digest: str
    document: Document

    @property
    def data(self) -> Any:
        """The file's content as plain data."""
        return self.document.data

    def problem(
        self,
        path: tuple[str | int, ...],
        what: str,
        *,
        where: str = "",
        given: str | None = None,
        allowed: str | None = None,
        nearest: str | None = None,
        key: bool = False,
    ) -> Problem:
        """A problem with the value at `path` (with its name when `key`)."""
        mark = self.document.find(path, key)
        return Problem(self.shown, what, mark.line, mark.column, where, given, allowed, nearest)


def find(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """The files that `paths` name: each a file or a glob, each file once, in the order given.

    Raises:
        StoryboardError: a glob without match, or no path at all.
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    found: dict[Path, Path] = {}
    problems = []
    for path in given:
        matches = _matches(str(path))
        if not matches:
            problems.append(Problem(str(path), "no file matches this pattern; look at it with `ls`"))
        for match in matches:
            found.setdefault(match.resolve(), match)
    if problems or not found:
        raise StoryboardError(problems or [Problem("storyboards", "none given; name at least one file")])
    return list(found.values())


def _matches(path: str) -> list[Path]:
    if glob.has_magic(path) and not os.path.lexists(path):
        return [Path(p) for p in sorted(glob.glob(path, recursive=True))]
    return [Path(path)]


def read(path: Path) -> Source:
    """The file at `path`.

    Raises:
        StoryboardError: it is missing, not a file, unreadable, too large, empty, not text, or not one plain
            YAML or JSON document.
    """
    shown = str(path)
    content = _content(path, shown)
    text = _text(content, shown)
    try:
        document = read_json(text) if path.suffix.lower() == ".json" else read_yaml(text)
    except BadText as error:
        line, column = error.mark or (0, 0)
        raise StoryboardError([Problem(shown, error.what, line, column, allowed=error.allowed)]) from None
    if document.data is None:
        raise _refusal(shown, "the file is empty; `longtake new FILE` writes a starter")
    if not isinstance(document.data, dict):
        raise _refusal(shown, "not a storyboard: it must be fields with values, beginning with `schema:` and `film:`")
    return Source(path.absolute(), shown, "sha256:" + hashlib.sha256(content).hexdigest(), document)


def _refusal(shown: str, what: str) -> StoryboardError:
    return StoryboardError([Problem(shown, what)])


def _content(path: Path, shown: str) -> bytes:
    """The bytes, read only when they are a file of bearable size."""
    try:
        if path.is_dir():
            raise _refusal(shown, f"a folder, not a storyboard file; name the files in it, e.g. {shown}/*.yaml")
        if path.exists() and not path.is_file():
            raise _refusal(shown, "not a regular file")
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise _refusal(
                shown, f"too large for a storyboard ({size / 2**20:.0f} MB); allowed: {MOST_BYTES // 2**20} MB"
            )
        return path.read_bytes()
    except FileNotFoundError:
        near = _similar(path)
        raise _refusal(shown, "no such file" + (f"; did you mean {near!r}?" if near else "")) from None
    except (OSError, ValueError) as error:
        raise _refusal(shown, f"cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _similar(path: Path) -> str | None:
    """A file beside the missing one whose name is much like it."""
    import difflib

    if not path.parent.is_dir():
        return None
    names = [p.name for p in path.parent.iterdir() if p.suffix in (".yaml", ".yml", ".json")]
    close = difflib.get_close_matches(path.name, names, 1)
    return str(path.with_name(close[0])) if close else None


def _text(content: bytes, shown: str) -> str:
    if b"\0" in content:
        raise _refusal(shown, "not a text file (it holds zero bytes); a storyboard is YAML or JSON in UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _refusal(shown, f"not UTF-8 text (byte {error.start}, line {line}); save it as UTF-8") from None
    if not text.strip():
        raise _refusal(shown, "the file is empty; `longtake new FILE` writes a starter")
    return text
