"""Which fonts a film's words are drawn with: their files, and what marks them as of sounds (`soundmarks`)."""

from __future__ import annotations

import os
import string
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .errors import FontUnreadable
from .fontfile import letters_of, needs_shaping, shapes
from .planned import Plan, PlannedShot
from .soundmarks import Marks, mark

MOST_LETTERS = 20
"""Letters that a warning names."""
_PLAIN = frozenset(string.printable)
"""Letters that the built-in font has, and space."""


def title_fonts(plan: Plan) -> dict[str, Path]:
    """Name in the project -> path of every font that the film's titles are drawn with."""
    return _named(plan, [shot.title.font for shot in plan.shots if shot.title])


def font_files(plan: Plan) -> dict[str, Path]:
    """The same of every font that the storyboard names: a film without titles has its own for sheets."""
    return title_fonts(plan) | _named(plan, [plan.font])


def film_font(plan: Plan) -> Path | None:
    """The film's own font, which sheets have for letters that the built-in one lacks."""
    return plan.base / plan.font if plan.font else None


def film_font_digest(plan: Plan) -> str | None:
    """sha256 of the film's own font. Raises FontUnreadable."""
    path = film_font(plan)
    return str(_marked(path, {})["sha256"]) if path else None


def font_marks(plan: Plan, before: Mapping[str, Mapping[str, Any]]) -> Marks:
    """The titles' fonts as they are now. before: as they were; one of the same size and time has the same bytes.

    Raises:
        FontUnreadable: a file that is gone or cannot be read.
    """
    return {name: _marked(path, before.get(name, {})) for name, path in title_fonts(plan).items()}


def _marked(path: Path, before: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return mark(path, before)
    except OSError as error:
        raise FontUnreadable(path, error.strerror or str(error)) from None


def letter_warnings(shots: Sequence[PlannedShot], base: Path) -> Iterator[str]:
    """What titles lack of their fonts, each letter once, with its shots. base: the storyboard's folder."""
    users: dict[Path | None, dict[str, list[str]]] = {}
    for shot in shots:
        if shot.title:
            users.setdefault(shot.title.font, {}).setdefault(shot.title.text, []).append(shot.id)
    for font, texts in users.items():
        yield from _lacking(font, texts, base)
    shaped = [
        id for font, texts in users.items() if font for text in texts if needs_shaping(text) for id in texts[text]
    ]
    if shaped and not shapes():
        yield (
            f"titles run from right to left or combine letters ({few(shaped)}), and Pillow, which draws them, finds no "
            "raqm here to set them with, so letters will stand in wrong places: install the system's library fribidi"
        )


def few(ids: Sequence[str]) -> str:
    """Shots in a few words."""
    named = ", ".join(ids[:3])
    return (
        f"shot {named}" if len(ids) == 1 else f"shots {named}" + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")
    )


def _lacking(font: Path | None, texts: Mapping[str, Sequence[str]], base: Path) -> Iterator[str]:
    if font is None and all(text.isascii() and _PLAIN.issuperset(text) for text in texts):
        return  # as most are; Pillow need not be loaded
    letters = letters_of(base / font if font else None)
    found: dict[str, dict[str, None]] = {}
    for text, ids in texts.items():
        for letter in letters.missing(text):
            found.setdefault(letter, {}).update(dict.fromkeys(ids))
    if found:
        named = dict[tuple[str, ...], list[str]]()
        for letter, shots in list(found.items())[:MOST_LETTERS]:
            named.setdefault(tuple(shots), []).append(f"{letter!r} U+{ord(letter):04X}")
        told = "; ".join(f"{', '.join(some)} ({few(shots)})" for shots, some in named.items())
        more = f" and {len(found) - MOST_LETTERS} more" if len(found) > MOST_LETTERS else ""
        name = font.as_posix() if font else "the built-in font"
        yield (
            f"titles have letters that {name} lacks: {told}{more}. They show as boxes; name a font file that has them: "
            "film.font for all titles, title.font for one"
        )


def _named(plan: Plan, fonts: list[Path | None]) -> dict[str, Path]:
    paths = dict.fromkeys(plan.base / font for font in fonts if font)
    return {os.path.relpath(path, plan.base): path for path in paths}
