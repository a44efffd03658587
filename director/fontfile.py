"""Font files: whether words can be drawn with one, and which letters it has.

Pillow draws a box for a letter that a font lacks, and does not say so. So the font's own table of letters is read here,
https://learn.microsoft.com/typography/opentype/spec/cmap . No path stands for the font that Pillow carries: Aileron
Regular, cut down to 112 letters.
"""

from __future__ import annotations

import io
import struct
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from .errors import FontUnreadable

Glyph = Callable[[int], int]
"""Number of the glyph for a code point; 0 is the box."""

_PLAIN = (b"\0\1\0\0", b"OTTO", b"true")
_UNICODE = ((3, 10), (0, 6), (0, 4), (3, 1), (0, 3), (0, 2), (0, 1), (0, 0))
"""Platform and encoding of tables of Unicode letters, the fullest first, as FreeType and HarfBuzz choose them."""


class Letters:
    """The letters of a font. shaped: whether they are set by HarfBuzz, which puts an accent on a letter and hides
    marks that only tell how to set others; without it every code point needs a glyph of its own."""

    def __init__(self, glyph: Glyph, shaped: bool) -> None:
        self._glyph, self._shaped = glyph, shaped

    def missing(self, text: str) -> list[str]:
        """What of `text` would be drawn as a box, each letter once. Space of any kind is drawn as space."""
        text = unicodedata.normalize("NFC", text) if self._shaped else text
        letters = dict.fromkeys(" " if c.isspace() else c for c in text)
        return [letter for letter in letters if not self._has(letter)]

    def _has(self, letter: str) -> bool:
        if self._glyph(ord(letter)) or (self._shaped and _hidden(letter)):
            return True
        parts = unicodedata.normalize("NFD", letter)
        return self._shaped and parts != letter and all(self._glyph(ord(part)) for part in parts)


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
    except (struct.error, ValueError) as error:
        raise FontUnreadable(path, str(error) if type(error) is ValueError else "it is damaged") from None


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
def _glyphs(path: Path, *_: int) -> Glyph:
    with path.open("rb") as file:
        return _table(file)


@cache
def _own_letters() -> Letters:
    font = opened(None, 16)
    return Letters(_table(io.BytesIO(font.font_bytes)), False)  # Pillow sets its own font letter by letter


def _hidden(letter: str) -> bool:
    """Marks for whoever sets the text: joiners, directions, variants."""
    return (
        unicodedata.category(letter) == "Cf" or "\ufe00" <= letter <= "\ufe0f" or "\U000e0100" <= letter <= "\U000e01ef"
    )


def _table(file: BinaryIO) -> Glyph:
    """The font's table of Unicode letters. Raises ValueError, struct.error."""
    head = file.read(12)
    if head[:4] == b"ttcf":
        (first,) = struct.unpack(">L", file.read(4))
        file.seek(first)
        head = file.read(12)
    if head[:4] not in _PLAIN:
        raise ValueError("it is none")
    records = struct.iter_unpack(">4sLLL", file.read(16 * struct.unpack_from(">H", head, 4)[0]))
    tables = {tag: (start, length) for tag, _, start, length in records}
    size = file.seek(0, io.SEEK_END)
    if any(start + length > size for start, length in tables.values()):
        raise ValueError("it is cut short")  # FreeType would leave out what is lacking, and say nothing
    if b"cmap" not in tables:
        raise ValueError("it has no table of letters")
    start, length = tables[b"cmap"]
    file.seek(start)
    return _chosen(file.read(length))


def _chosen(cmap: bytes) -> Glyph:
    readers: dict[int, Callable[[bytes], Glyph]] = {4: _segments, 6: _row, 10: _long_row, 12: _groups, 13: _groups}
    found: dict[tuple[int, int], int] = {}
    for n in range(struct.unpack_from(">H", cmap, 2)[0]):
        platform, encoding, start = struct.unpack_from(">HHL", cmap, 4 + 8 * n)
        found[platform, encoding] = start
    for place in _UNICODE:
        if place in found:
            table = cmap[found[place] :]
            if reader := readers.get(struct.unpack_from(">H", table)[0]):
                return reader(table)
    raise ValueError("it has no table of Unicode letters")


def _segments(table: bytes) -> Glyph:
    """Format 4: stretches of the first 65,536 code points."""
    double = struct.unpack_from(">H", table, 6)[0]
    count, places = double // 2, 16 + 3 * double
    ends, starts, deltas, offsets = (
        struct.unpack_from(f">{count}H", table, at) for at in (14, 16 + double, 16 + 2 * double, places)
    )

    def glyph(code: int) -> int:
        n = bisect_left(ends, code)
        if n == count or code < starts[n]:
            return 0
        if not offsets[n]:
            return int(code + deltas[n]) & 0xFFFF
        at = places + 2 * n + offsets[n] + 2 * (code - starts[n])
        found = int.from_bytes(table[at : at + 2], "big")
        return (found + int(deltas[n])) & 0xFFFF if found else 0

    return glyph


def _groups(table: bytes) -> Glyph:
    """Formats 12 and 13: stretches of all code points; in 13 one glyph for all of a stretch."""
    count = struct.unpack_from(">L", table, 12)[0]
    groups = list(struct.iter_unpack(">LLL", table[16 : 16 + 12 * count]))
    starts, step = [group[0] for group in groups], int(table[1] == 12)

    def glyph(code: int) -> int:
        n = bisect_right(starts, code) - 1
        if n < 0 or code > groups[n][1]:
            return 0
        return int(groups[n][2] + step * (code - starts[n]))

    return glyph


def _row(table: bytes) -> Glyph:
    """Format 6: one stretch."""
    first, count = struct.unpack_from(">HH", table, 6)
    return _listed(first, struct.unpack_from(f">{count}H", table, 10))


def _long_row(table: bytes) -> Glyph:
    """Format 10: one stretch of all code points."""
    first, count = struct.unpack_from(">LL", table, 12)
    return _listed(first, struct.unpack_from(f">{count}H", table, 20))


def _listed(first: int, glyphs: tuple[int, ...]) -> Glyph:
    return lambda code: glyphs[code - first] if first <= code < first + len(glyphs) else 0
