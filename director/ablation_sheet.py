"""The comparison sheet of an ablation, and the same side by side as a video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from shots.prints import PrintSpec, scaled, write_print

from .ablation import Shown
from .drawing import ACCENT, FAINT, INK, PAPER, QUIET, font, save, shortened, spread, thumb_size, thumbnail

ACROSS = 16
MARGIN, GAP, LABEL = 40, 6, 330
NAME, SMALL = 24, 18


def sheet(title: str, shown: Sequence[Shown], left_out: Sequence[str], out: Path) -> None:
    """A row a variant: its name, price and measures, and pictures evenly through it. PNG.

    left_out: what was not rendered, and why, below the rows. Raises OSError when `out` cannot be written.
    """
    first = shown[0].frames
    across = min(ACROSS, max(len(one.frames) for one in shown))
    wide, high = thumb_size((first.shape[2], first.shape[1]))
    row = max(high, 124) + 18
    width = 2 * MARGIN + LABEL + across * (wide + GAP)
    height = 110 + len(shown) * row + 28 * len(left_out) + MARGIN
    page = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, 34), shortened(title, 34, width - 2 * MARGIN), INK, font(34))
    draw.line((MARGIN, 88, width - MARGIN, 88), FAINT, 2)
    for number, one in enumerate(shown):
        y = 106 + number * row
        _label(draw, one, shown[0], y)
        for place, index in enumerate(spread(range(len(one.frames)), across)):
            x = MARGIN + LABEL + place * (wide + GAP)
            page.paste(thumbnail(one.frames[index], (wide, high)), (x, y))
            if index in one.starts and index:
                draw.rectangle((x - GAP // 2 - 1, y, x - GAP // 2, y + high - 1), ACCENT)
    for number, line in enumerate(left_out):
        y = 106 + len(shown) * row + 28 * number
        draw.text((MARGIN, y), shortened(line, SMALL, width - 2 * MARGIN), QUIET, font(SMALL))
    save(page, out)


def _label(draw: ImageDraw.ImageDraw, one: Shown, base: Shown, y: int) -> None:
    """Name, price against the first row's, time, and what was measured."""
    draw.text((MARGIN, y), shortened(one.variant.name, NAME, LABEL - 16), ACCENT, font(NAME))
    price = f"{one.nfe} NFE ({one.nfe / max(base.nfe, 1):.2g}x), {one.seconds:.1f} s"
    lines = [price, *(f"{name} {value:.3g}" for name, value in one.measures.items())]
    for number in range(0, len(lines), 2 if len(lines) > 4 else 1):
        text = ", ".join(lines[number : number + (2 if len(lines) > 4 and number else 1)])
        at = y + 32 + 22 * ((number + 1) // 2 if len(lines) > 4 else number)
        draw.text((MARGIN, at), shortened(text, SMALL, LABEL - 16), QUIET, font(SMALL))


def side_by_side(shown: Sequence[Shown], out: Path, fps: Fraction, side: int = 192) -> None:
    """All variants in one video, named, in rows of four; shorter ones stay on their last picture. H.264.

    Raises OSError when `out` cannot be written.
    """
    length = max(len(one.frames) for one in shown)
    columns = min(4, len(shown))
    high, wide = shown[0].frames.shape[1:3]
    tile = (side, max(2, round(side * high / wide / 2) * 2))
    spec = PrintSpec(tile[0], tile[1], fps)
    rows = -(-len(shown) // columns)
    whole = PrintSpec(columns * tile[0], rows * (tile[1] + 24), fps)
    strips = [list(scaled(one.frames, spec)) for one in shown]

    def pictures() -> Iterator[np.ndarray]:
        for index in range(length):
            page = Image.new("RGB", (whole.width, whole.height), PAPER)
            draw = ImageDraw.Draw(page)
            for number, (one, strip) in enumerate(zip(shown, strips, strict=True)):
                x, y = number % columns * tile[0], number // columns * (tile[1] + 24)
                draw.text((x + 4, y + 3), shortened(one.variant.name, SMALL, tile[0] - 8), INK, font(SMALL))
                page.paste(Image.fromarray(strip[min(index, len(strip) - 1)]), (x, y + 24))
            yield np.asarray(page)

    write_print(out, pictures(), whole)
