"""Font files: whether words can be drawn with one, and which letters it has.

Pillow draws a box for a letter that a font lacks, and does not say so. So the font's own table of letters is read here.
No path stands for the font that Pillow carries: Aileron Regular, cut down to 112 letters.
"""

from __future__ import annotations

import io
import struct
import unicodedata
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from .errors import FontUnreadable

Glyphs = frozenset[int]
"""Code points that have a glyph other than the box."""


class Letters:
    """The letters of a font. shaped: whether they are set by HarfBuzz, which puts an accent on a letter and hides
    marks that only tell how to set others; without it every code point needs a glyph of its own."""

    def __init__(self, glyphs: Glyphs, shaped: bool) -> None:
        self._glyphs, self._shaped = glyphs, shaped

    def missing(self, text: str) -> list[str]:
        """What of `text` would be drawn as a box, each letter once. Space of any kind is drawn as space."""
        text = unicodedata.normalize("NFC", text) if self._shaped else text
        letters = dict.fromkeys(" " if c.isspace() else c for c in text)
        return [letter for letter in letters if not self._has(letter)]

    def _has(self, letter: str) -> bool:
        if ord(letter) in self._glyphs or (self._shaped and _hidden(letter)):
            return True
        parts = unicodedata.normalize("NFD", letter)
        return self._shaped and parts != letter and all(ord(part) in self._glyphs for part in parts)


def letters_of(path: Path | None) -> Letters:
    """The letters of a font file, or of Pillow's own font.

    Raises:
        FontUnreadable: missing, no font, or one without a table of Unicode letters.
    """
    if path is None:
        return _own_letters()
    try:
        return Letters(_glyphs(path, *stamp(path)), shapes())
    except OSError as error:
        raise FontUnreadable(path, error.strerror or str(error)) from None
    except ValueError as error:
        raise FontUnreadable(path, str(error)) from None


def opened(path: Path | None, size: int) -> Any:
    """The font at a size in pixels, as Pillow draws it; of a collection (.ttc) the first.

    Raises:
        FontUnreadable: missing, damaged, or made of pictures of another size.
    """
    from PIL import ImageFont

    if path is None:
        return ImageFont.load_default(size)
    try:
        return ImageFont.FreeTypeFont(str(path), size)  # `truetype` would take another font of that name instead
    except OSError as error:
        raise FontUnreadable(path, str(error)) from None


def check_font(path: Path) -> None:
    """Find out whether words can be drawn with a font file. Raises FontUnreadable."""
    letters_of(path)
    font = opened(path, 16)
    try:
        font.getmask("A")
    except OSError as error:
        raise FontUnreadable(path, str(error)) from None


def shapes() -> bool:
    """Whether Pillow sets words in the files' fonts by their script: right to left, joined, accents in their place."""
    from PIL import features

    return bool(features.check("raqm"))


def needs_shaping(text: str) -> bool:
    """Whether letters of `text` run from right to left or combine with others."""
    return not text.isascii() and any(
        unicodedata.bidirectional(c) in ("R", "AL") or unicodedata.category(c)[0] == "M" for c in text
    )


def stamp(path: Path) -> tuple[int, int]:
    """What differs when a file is another one. Raises OSError."""
    found = path.stat()
    return found.st_mtime_ns, found.st_size


@lru_cache(16)
def _glyphs(path: Path, *_: int) -> Glyphs:
    with path.open("rb") as file:
        return _glyphs_in(file)


@cache
def _own_letters() -> Letters:
    font = opened(None, 16)
    return Letters(_glyphs_in(io.BytesIO(font.font_bytes)), False)  # Pillow sets its own font letter by letter


def _hidden(letter: str) -> bool:
    """Marks for whoever sets the text: joiners, directions, variants."""
    return (
        unicodedata.category(letter) == "Cf" or "\ufe00" <= letter <= "\ufe0f" or "\U000e0100" <= letter <= "\U000e01ef"
    )


def _glyphs_in(file: BinaryIO) -> Glyphs:
    """The code points that a font has glyphs for. Raises OSError, ValueError."""
    from fontTools.ttLib import TTFont, TTLibError

    try:
        with TTFont(file, fontNumber=0, lazy=True) as font:
            size = file.seek(0, io.SEEK_END)
            if any(entry.offset + entry.length > size for entry in font.reader.tables.values()):
                raise ValueError("it is cut short")  # FreeType would leave out what is lacking, and say nothing
            table = font.getBestCmap() if "cmap" in font else None
            if table is None:
                raise ValueError("it has no table of Unicode letters")
            box = font.getGlyphName(0)
            return frozenset(code for code, name in table.items() if name != box)
    except TTLibError as error:
        raise ValueError("it is none, or damaged") from error
    except (struct.error, AssertionError, LookupError, TypeError, OverflowError, MemoryError) as error:
        raise ValueError("it is damaged") from error
