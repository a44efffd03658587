"""Fonts for tests, made of the one that Pillow carries: its glyphs under other letters."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

from fontTools.ttLib import TTCollection, TTFont
from fontTools.ttLib.sfnt import SFNTReader, SFNTWriter
from fontTools.ttLib.tables._c_m_a_p import CmapSubtable
from PIL import ImageFont


def pillows_font() -> TTFont:
    """Pillow's own."""
    return TTFont(io.BytesIO(ImageFont.load_default(10).font_bytes))


def font(
    path: Path, letters: Mapping[str, str] = {}, own: bool = True, without: str | None = None, taller: int = 1
) -> Path:
    """Write a font at `path` whose letters look like Pillow's letters that they stand for; `own`: these, too.

    without: a table to leave out. taller: its letters are said to reach so many times as far up. A `.ttc` is a
    collection.
    """
    made = pillows_font()
    shapes = made.getBestCmap()
    wanted = (dict(shapes) if own else {}) | {ord(letter): shapes[ord(like)] for letter, like in letters.items()}
    table = CmapSubtable.newSubtable(12)
    table.platformID, table.platEncID, table.language, table.cmap = 3, 10, 0, wanted
    made["cmap"].tables = [table]
    made["hhea"].ascent *= taller
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".ttc":
        collection = TTCollection()
        collection.fonts = [made]
        collection.save(path)
    else:
        made.save(path)
    if without:
        _drop(path, without)
    return path


def _drop(path: Path, table: str) -> None:
    """Tables as they are: no other would be written without this one."""
    reader = SFNTReader(io.BytesIO(path.read_bytes()))
    kept = {tag: reader[tag] for tag in reader.keys() if tag != table}  # noqa: SIM118
    with path.open("wb") as file:
        writer = SFNTWriter(file, len(kept))
        for tag, data in kept.items():
            writer[tag] = data
        writer.close()
