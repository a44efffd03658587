"""What contact sheets and seam strips share: colours, lettering, thumbnails. Pillow only."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from shots.frames import Frames

from .planned import PlannedClip

ClipReader = Callable[[PlannedClip], Frames | None]
"""All frames [F, H, W, 3] of a clip's take, or None when it has not been rendered."""

PAPER, INK, QUIET, FAINT, ACCENT = "#12151b", "#f2efe8", "#a3abb8", "#2a303b", "#f2a65a"
THUMB = 128
"""Pixels of a thumbnail's longer side, nearly."""
_TAG = "longtake"
T = TypeVar("T")


@cache
def font(size: int) -> Any:
    """The lettering that Pillow carries, so that a sheet looks the same on every machine."""
    return ImageFont.load_default(size)


def shortened(text: str, size: int, width: float) -> str:
    """`text` on one line of at most `width` pixels, its end replaced by dots if need be."""
    line = text[:2000].replace("\n", " ")  # more than any sheet is wide; measuring lengths is slow
    if font(size).getlength(line) <= width:
        return line
    low, high = 0, len(line)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if font(size).getlength(line[:middle] + " ...") <= width else (low, middle - 1)
    return f"{line[:low].rstrip()} ..." if low else ""


def lines_of(text: str, size: int, width: float, most: int) -> list[str]:
    """`text` in at most `most` lines of `width` pixels, the last one shortened."""
    words, lines = text[:4000].split(), [""]
    for place, word in enumerate(words):
        longer = f"{lines[-1]} {word}".strip()
        if font(size).getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        elif len(lines) == most:
            lines[-1] = " ".join([lines[-1], *words[place:]])
            break
        else:
            lines.append(word)
    return [shortened(line, size, width) for line in lines]


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
