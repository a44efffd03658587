"""Seam strips: the last four and the first four kept frames of every join, to see whether a chain holds together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from shots.frames import Frames

from .drawing import (
    ACCENT,
    FAINT,
    INK,
    PAPER,
    QUIET,
    ClipReader,
    blank,
    font,
    save,
    spread,
    thumb_size,
    thumbnail,
    write,
)
from .lettering import film_font
from .planned import Plan, PlannedClip, PlannedShot

BESIDE = 4
"""Frames on either side of a join."""
MOST = 60
"""Joins on a page; of more, an even sample."""
COLUMNS = 2
MARGIN, GAP, SEAM, GUTTER = 48, 3, 16, 56
TITLE, LABEL, SMALL = 40, 24, 18
HEADER, CAPTION, BETWEEN = 150, 40, 26


@dataclass(frozen=True)
class Join:
    """Two clips that follow one another in the film, within a chain (`way` "chain") or from shot to shot."""

    before: PlannedClip
    after: PlannedClip
    way: str


def joins(plan: Plan) -> list[Join]:
    """Every join of the film, in film order."""
    found: list[Join] = []
    last: PlannedClip | None = None
    for shot in plan.shots:
        for clip in shot.clips:
            if last is not None:
                found.append(Join(last, clip, "chain" if last.slate.shot == shot.id else _way(shot)))
            last = clip
    return found


def step_ratio(before: Frames, after: Frames) -> float | None:
    """The step over the join against the usual step beside it, as mean absolute differences of frames [F, H, W, 3].

    1 is a join that moves like the rest; None when nothing beside it moves.
    """
    steps = [_steps(before), _steps(after)]
    usual = float(np.concatenate(steps).mean()) if len(before) + len(after) > 2 else 0.0
    over = float(_steps(np.stack([before[-1], after[0]]))[0])
    return over / usual if usual else None


def seam_strips(plan: Plan, read: ClipReader, out: Path, shows: str = "") -> None:
    """Write the seam strips of `plan` to `out` as PNG.

    read: gives a clip's frames, None for one that has not been rendered. shows: kept in the file, see
    `drawing.what_it_shows`.

    Raises:
        OSError: `out` cannot be written.
    """
    every = joins(plan)
    chosen = _chosen(every)
    thumb = thumb_size(plan.size)
    wide = 2 * BESIDE * thumb[0] + 2 * (BESIDE - 1) * GAP + SEAM
    tall = CAPTION + thumb[1] + BETWEEN
    columns = min(COLUMNS, max(1, len(chosen)))
    size = (
        2 * MARGIN + columns * wide + (columns - 1) * GUTTER,
        HEADER + -(-len(chosen) // columns) * tall + MARGIN // 2,
    )
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    _header(draw, plan, len(chosen), len(every), size[0])
    for number, join in enumerate(chosen):
        down, across = divmod(number, columns)
        _strip(sheet, draw, join, read, thumb, (MARGIN + across * (wide + GUTTER), HEADER + down * tall), wide)
    save(sheet, out, shows)


def _chosen(every: list[Join]) -> list[Join]:
    """At most about `MOST`: those inside chains, which this page is for, before those between shots."""
    inside = spread([n for n, join in enumerate(every) if join.way == "chain"], MOST)
    between = [n for n, join in enumerate(every) if join.way != "chain"]
    return [every[n] for n in sorted(inside + spread(between, max(MOST - len(inside), MOST // 6)))]


def _header(draw: ImageDraw.ImageDraw, plan: Plan, shown: int, joined: int, width: int) -> None:
    title = f"{plan.title or plan.film}: the joins"
    write(draw, (MARGIN, 36), title, INK, TITLE, film_font(plan), width - 2 * MARGIN)
    told = f"{joined} joins" + ("" if shown == joined else f", {shown} shown")
    told += "   ·   last four and first four kept frames   ·   step: change over the join, in changes beside it"
    write(draw, (MARGIN, 92), told, QUIET, SMALL, width=width - 2 * MARGIN)
    draw.line((MARGIN, 127, width - MARGIN, 127), FAINT, 2)


def _strip(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    join: Join,
    read: ClipReader,
    thumb: tuple[int, int],
    at: tuple[int, int],
    wide: int,
) -> None:
    x, y = at
    before, after = _ends(join, read)
    told = join.way
    if join.way == "chain":
        ratio = None if before is None or after is None else step_ratio(before, after)
        told = "" if ratio is None else f"step x {ratio:.1f}"
    write(draw, (x + wide, y + 6), told, QUIET, SMALL, anchor="ra")
    room = wide - font(SMALL, told).getlength(told) - 24
    colour = ACCENT if join.way == "chain" else INK
    write(draw, (x, y), f"{join.before.slate}  to  {join.after.slate}", colour, LABEL, width=room)
    top = y + CAPTION
    _half(sheet, before, thumb, (x, top))
    middle = x + BESIDE * thumb[0] + (BESIDE - 1) * GAP + SEAM // 2
    draw.rectangle((middle - 1, top, middle, top + thumb[1] - 1), ACCENT)
    _half(sheet, after, thumb, (middle + SEAM // 2, top), right=True)


def _half(
    sheet: Image.Image, frames: Frames | None, thumb: tuple[int, int], at: tuple[int, int], right: bool = False
) -> None:
    pictures = [blank(thumb)] * BESIDE if frames is None else [thumbnail(frame, thumb) for frame in frames]
    # A clip that keeps fewer than four frames leaves its gap away from the join.
    skip = 0 if right else BESIDE - len(pictures)
    for n, picture in enumerate(pictures, skip):
        sheet.paste(picture, (at[0] + n * (thumb[0] + GAP), at[1]))


def _ends(join: Join, read: ClipReader) -> tuple[Frames | None, Frames | None]:
    before, after = read(join.before), read(join.after)
    if before is not None:
        before = before[join.before.first : join.before.first + join.before.kept][-BESIDE:]
    if after is not None:
        after = after[join.after.first : join.after.first + join.after.kept][:BESIDE]
    return before, after


def _way(shot: PlannedShot) -> str:
    way = f"{shot.transition.frames}-frame {shot.transition.kind}" if shot.transition.kind != "cut" else "cut"
    return f"title card, {way}" if shot.title is not None and shot.title.over == "card" else way


def _steps(frames: Frames) -> NDArray[np.float64]:
    return np.asarray(np.abs(np.diff(frames.astype(np.int16), axis=0)).mean(axis=(1, 2, 3)), np.float64)
