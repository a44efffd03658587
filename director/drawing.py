"""What contact sheets and seam strips share: colours, lettering, thumbnails. Pillow only."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from shots.frames import Frames

from .breaking import pieces
from .fontfile import letters_of, opened, stamp
from .planned import PlannedClip
from .systemfont import machine_font

ClipReader = Callable[[PlannedClip], Frames | None]
"""All frames [F, H, W, 3] of a clip's take, or None when it has not been rendered."""

PAPER, INK, QUIET, FAINT, ACCENT = "#12151b", "#f2efe8", "#a3abb8", "#2a303b", "#f2a65a"
THUMB = 128
"""Pixels of a thumbnail's longer side, nearly."""
_TAG = "longtake"
T = TypeVar("T")


def font(size: int, text: str = "", film: Path | None = None) -> Any:
    """The lettering for `text`: the one that Pillow carries, so that a sheet looks the same on every machine. For
    letters that it lacks, the film's own font, then one of this machine; when they lack some too, the first again."""
    if text.isascii() or not (lacking := letters_of(None).missing(text)):
        return _opened(None, size)
    if film is not None and not letters_of(film).missing(text):
        return _opened(film, size, *stamp(film))
    return _opened(machine_font(text, lacking), size)


@lru_cache(64)
def _opened(path: Path | None, size: int, *_: int) -> Any:
    return opened(path, size)


def write(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    colour: str,
    size: int,
    film: Path | None = None,
    width: float | None = None,
    anchor: str | None = None,
) -> None:
    """Draw one line of text, shortened to `width` pixels, if told. film: see `font`."""
    line = text if width is None else shortened(text, size, width, film)
    draw.text(at, line, colour, font(size, text, film), anchor=anchor)


def shortened(text: str, size: int, width: float, film: Path | None = None) -> str:
    """`text` on one line of at most `width` pixels, its end replaced by dots if need be."""
    return _shortened(text, font(size, text, film), width)


def _shortened(text: str, measured: Any, width: float) -> str:
    line = text[:2000].replace("\n", " ")  # more than any sheet is wide; measuring lengths is slow
    if measured.getlength(line) <= width:
        return line
    low, high = 0, len(line)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if measured.getlength(line[:middle] + " ...") <= width else (low, middle - 1)
    return f"{line[:low].rstrip()} ..." if low else ""


def lines_of(text: str, size: int, width: float, most: int, film: Path | None = None) -> list[str]:
    """`text` in at most `most` lines of `width` pixels, the last one shortened. Draw them with the font of `text`."""
    measured = font(size, text, film)
    parts, lines = list(pieces(text[:4000])), [""]
    for place, (gap, part) in enumerate(parts):
        longer = f"{lines[-1]}{gap}{part}" if lines[-1] else part
        if measured.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        elif len(lines) == most:
            lines[-1] += "".join(gap + part for gap, part in parts[place:])
            break
        else:
            lines.append(part)
    return [_shortened(line, measured, width) for line in lines]


def spread(things: Sequence[T], most: int) -> list[T]:
    """At most `most` of `things`, evenly, the first and the last among them."""
    if len(things) <= most:
        return list(things)
    return [things[round(k * (len(things) - 1) / max(most - 1, 1))] for k in range(most)]


def thumb_size(size: tuple[int, int]) -> tuple[int, int]:
    """How large pictures of `size` are shown: small ones a whole number of times their size, for crisp pixels."""
    longer = max(size)
    if longer <= THUMB:
        return size[0] * (THUMB // longer), size[1] * (THUMB // longer)
    return max(1, round(size[0] * THUMB / longer)), max(1, round(size[1] * THUMB / longer))


def thumbnail(picture: Frames, size: tuple[int, int]) -> Image.Image:
    """A picture [H, W, 3] at `size`."""
    image = Image.fromarray(np.ascontiguousarray(picture))
    grows = size[0] >= image.width
    return image.resize(size, Image.Resampling.NEAREST if grows else Image.Resampling.LANCZOS)


def blank(size: tuple[int, int]) -> Image.Image:
    """Stands for a picture that has not been rendered."""
    image = Image.new("RGB", size, FAINT)
    draw = ImageDraw.Draw(image)
    small = max(8, min(16, size[0] // 8))
    draw.text((size[0] / 2, size[1] / 2), "not rendered", QUIET, font(small), anchor="mm")
    return image


def save(sheet: Image.Image, out: Path, shows: str = "") -> None:
    """Write a PNG under its final name only when it is whole. shows: what it is a picture of, for `what_it_shows`."""
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.part")
    try:
        tags = PngInfo()
        if shows:
            tags.add_text(_TAG, shows)
        sheet.save(part, format="PNG", pnginfo=tags)
        os.replace(part, out)
    finally:
        part.unlink(missing_ok=True)


def what_it_shows(path: Path) -> str | None:
    """What `save` was told that the sheet shows; None when there is no such sheet, or it does not say."""
    try:
        with Image.open(path) as sheet:  # reads no pixels
            shows = sheet.info.get(_TAG)
            return shows if isinstance(shows, str) else None
    except (OSError, SyntaxError, ValueError):  # Pillow calls a broken PNG a syntax error
        return None
