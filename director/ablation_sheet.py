"""The comparison sheet of an ablation, and the same side by side as a video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from shots.prints import PrintSpec, scaled, write_print

from .ablation import MEASURES, Shown
from .drawing import ACCENT, FAINT, INK, PAPER, QUIET, lines_of, save, spread, thumb_size, thumbnail, write

ACROSS = 16
MARGIN, GAP, LABEL = 40, 6, 330
NAME, SMALL, TOP = 24, 18, 134
LINE = 24


def sheet(
    title: str, about: str, shown: Sequence[Shown], left_out: Sequence[str], out: Path, film: Path | None = None
) -> None:
    """A row a variant: its name, price and measures, and pictures evenly through it. PNG.

    about: what all rows have in common, below the title. left_out: what was not rendered, and why, below the rows;
    there it also says what the measures mean. film: see `drawing.font`. Raises OSError when `out` cannot be written.
    """
    first = shown[0].frames
    across = min(ACROSS, max(len(one.frames) for one in shown))
    wide, high = thumb_size((first.shape[2], first.shape[1]))
    row = max(high, 124) + 18
    width = 2 * MARGIN + LABEL + across * (wide + GAP)
    notes = [*left_out, *_legend(shown, width - 2 * MARGIN)]
    page = Image.new("RGB", (width, TOP + len(shown) * row + 28 * len(notes) + MARGIN), PAPER)
    draw = ImageDraw.Draw(page)
    write(draw, (MARGIN, 34), title, INK, 34, film, width - 2 * MARGIN)
    write(draw, (MARGIN, 80), about, QUIET, SMALL, film, width - 2 * MARGIN)
    draw.line((MARGIN, TOP - 18, width - MARGIN, TOP - 18), FAINT, 2)
    for number, one in enumerate(shown):
        y = TOP + number * row
        _label(draw, one, shown[0], y)
        before = 0
        for place, index in enumerate(spread(range(len(one.frames)), across)):
            x = MARGIN + LABEL + place * (wide + GAP)
            page.paste(thumbnail(one.frames[index], (wide, high)), (x, y))
            if any(before < start <= index for start in one.starts):
                draw.rectangle((x - GAP // 2 - 1, y, x - GAP // 2, y + high - 1), ACCENT)
            before = index
    for number, line in enumerate(notes):
        y = TOP + len(shown) * row + 28 * number
        write(draw, (MARGIN, y), line, QUIET, SMALL, film, width - 2 * MARGIN)
    save(page, out)


def _legend(shown: Sequence[Shown], width: int) -> list[str]:
    """What the measures mean, and the marks between pictures."""
    names = dict.fromkeys(name for one in shown for name in one.measures)
    marks = "; the marks are where clips begin" if any(len(one.starts) > 1 for one in shown) else ""
    return lines_of("; ".join(f"{name}: {MEASURES[name]}" for name in names) + marks, SMALL, width, 3)


def _label(draw: ImageDraw.ImageDraw, one: Shown, base: Shown, y: int) -> None:
    """Name, price against the first row's, time, and what was measured, two to a line."""
    write(draw, (MARGIN, y), one.variant.name, ACCENT, NAME, width=LABEL - 16)
    told = [f"{name} {value:.3g}" for name, value in one.measures.items()]
    price = f"{one.nfe} NFE ({one.nfe / max(base.nfe, 1):.2g}x), {one.seconds:.1f} s"
    for number, text in enumerate([price, *(", ".join(told[k : k + 2]) for k in range(0, len(told), 2))]):
        write(draw, (MARGIN, y + 32 + 22 * number), text, QUIET, SMALL, width=LABEL - 16)


def side_by_side(shown: Sequence[Shown], out: Path, fps: Fraction, side: int = 192) -> None:
    """All variants in one video, each with its name above and its price below, in rows of four; shorter ones stay on
    their last picture. H.264.

    Raises OSError when `out` cannot be written.
    """
    length = max(len(one.frames) for one in shown)
    columns = min(4, len(shown))
    high, wide = shown[0].frames.shape[1:3]
    tile = (side, max(2, round(side * high / wide / 2) * 2))
    spec = PrintSpec(tile[0], tile[1], fps)
    rows = -(-len(shown) // columns)
    whole = PrintSpec(columns * tile[0], rows * (tile[1] + 2 * LINE), fps)
    strips = [list(scaled(one.frames, spec)) for one in shown]

    def pictures() -> Iterator[np.ndarray]:
        for index in range(length):
            page = Image.new("RGB", (whole.width, whole.height), PAPER)
            draw = ImageDraw.Draw(page)
            for number, (one, strip) in enumerate(zip(shown, strips, strict=True)):
                x, y = number % columns * tile[0], number // columns * (tile[1] + 2 * LINE)
                write(draw, (x + 4, y + 3), one.variant.name, INK, SMALL, width=tile[0] - 8)
                page.paste(Image.fromarray(strip[min(index, len(strip) - 1)]), (x, y + LINE))
                price = f"{one.nfe} NFE, {one.seconds:.1f} s"
                write(draw, (x + 4, y + LINE + tile[1] + 1), price, QUIET, SMALL, width=tile[0] - 8)
            yield np.asarray(page)

    write_print(out, pictures(), whole)
