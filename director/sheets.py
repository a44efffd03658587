"""The contact sheet: a film on one page, a row a shot, with the prompts and seeds that made it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from PIL import Image, ImageDraw

from shots.frames import Frames

from .cut import stretches
from .drawing import (
    ACCENT,
    FAINT,
    INK,
    PAPER,
    QUIET,
    ClipReader,
    blank,
    font,
    lines_of,
    save,
    spread,
    thumb_size,
    thumbnail,
    write,
)
from .lettering import film_font
from .planned import Plan, PlannedClip, PlannedShot

ACROSS = 12
"""Thumbnails side by side: 1, 2, 3, 4, 6 and 12 clips fill the row."""
LINES_A_SHOT, LINES_A_FILM = 2, 40
"""Rows of thumbnails at most; a longer chain or film is sampled evenly, and the sheet says so."""
MARGIN, GAP = 48, 8
TITLE, PROMPT, SMALL = 52, 26, 20
HEADER, NUMBERS, BETWEEN = 168, 36, 30


@dataclass(frozen=True)
class _Line:
    """One row of thumbnails: clips of a shot, each with as many pictures, and the prompts that begin in it."""

    clips: tuple[PlannedClip, ...]
    pictures: int
    prompts: tuple[tuple[int, str], ...]  # place of the clip in the line, its prompt

    @property
    def height(self) -> int:
        """Of the text below the thumbnails."""
        return NUMBERS + (NUMBERS if self.prompts else 0)


@dataclass(frozen=True)
class _Row:
    shot: PlannedShot
    words: str
    prompt: tuple[str, ...]  # the words in lines
    lines: tuple[_Line, ...]
    left_out: int

    def height(self, thumb: int) -> int:
        return 38 + 34 * len(self.prompt) + sum(thumb + line.height for line in self.lines) + BETWEEN


def contact_sheet(plan: Plan, read: ClipReader, out: Path, shows: str = "", takes: bool = False) -> None:
    """Write the contact sheet of `plan` to `out` as PNG. Only kept frames are shown, each clip's beginning first.

    read: gives a clip's frames, None for one that has not been rendered. Clips are read one at a time.
    shows: kept in the file, see `drawing.what_it_shows`. takes: the shots are takes to choose from, and stand nowhere.

    Raises:
        OSError: `out` cannot be written.
    """
    thumb = thumb_size(plan.size)
    width = 2 * MARGIN + ACROSS * (thumb[0] + GAP) - GAP
    film = film_font(plan)
    rows = list(_rows(plan, width - 2 * MARGIN, film))
    height = HEADER + sum(row.height(thumb[1]) for row in rows) + MARGIN // 2
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    _header(draw, plan, len(rows), width, takes, film)
    starts = {} if takes else {stretch.shot: stretch.start for stretch in stretches(plan.shots)}
    y = HEADER
    for row in rows:
        at = _caption(draw, plan, row, starts.get(row.shot.id), y, width, film)
        for line in row.lines:
            _line(sheet, draw, line, read, thumb, at, film)
            at += thumb[1] + line.height
        y += row.height(thumb[1])
    save(sheet, out, shows)


def _rows(plan: Plan, width: int, film: Path | None) -> Iterator[_Row]:
    left = LINES_A_FILM
    shots = spread(plan.shots, LINES_A_FILM)
    for number, shot in enumerate(shots, 1):
        # Every shot after this one has a line to itself.
        most = min(LINES_A_SHOT, max(1, left - (len(shots) - number)))
        clips = spread(shot.clips, most * ACROSS)
        count = -(-len(clips) // ACROSS)
        # Lines as equal as can be, and not twelve clips above one.
        across = -(-len(clips) // max(count, 1)) or 1
        lines = tuple(_line_of(shot, clips[i : i + across], across) for i in range(0, len(clips), across))
        left -= len(lines)
        prompt = shot.prompt or (clips[0].spec.prompt if clips else "")
        yield _Row(shot, prompt, tuple(lines_of(prompt, PROMPT, width, 2, film)), lines, len(shot.clips) - len(clips))


def _line_of(shot: PlannedShot, clips: Sequence[PlannedClip], across: int) -> _Line:
    changes = {
        clip.slate.clip: clip.spec.prompt
        for before, clip in pairwise(shot.clips)
        if clip.spec.prompt != before.spec.prompt
    }
    prompts = tuple((n, changes[c.slate.clip]) for n, c in enumerate(clips) if c.slate.clip in changes)
    return _Line(tuple(clips), ACROSS // across, prompts)


def _header(draw: ImageDraw.ImageDraw, plan: Plan, shown: int, width: int, takes: bool, film: Path | None) -> None:
    write(draw, (MARGIN, 40), plan.title or plan.film, INK, TITLE, film, width - 2 * MARGIN)
    facts = [
        _count(len(plan.shots), "take" if takes else "shot")
        + ("" if shown == len(plan.shots) else f" ({shown} shown)"),
        _count(len(plan.clips), "clip"),
        *(
            []
            if takes
            else [f"{plan.frames} frames", f"{float(plan.frames / plan.fps):.1f} s at {float(plan.fps):g} fps"]
        ),
        f"made at {plan.size[0]} x {plan.size[1]}",
        *sorted({clip.spec.model.id for clip in plan.clips}),
    ]
    write(draw, (MARGIN, 108), "   ·   ".join(facts), QUIET, SMALL, film, width - 2 * MARGIN)
    draw.line((MARGIN, 147, width - MARGIN, 147), FAINT, 2)


def _caption(
    draw: ImageDraw.ImageDraw, plan: Plan, row: _Row, start: int | None, y: int, width: int, film: Path | None
) -> int:
    """Draws the lines above a shot's pictures; returns where the pictures begin."""
    facts = "   ·   ".join(_facts(plan, row, start))
    write(draw, (width - MARGIN, y + 3), facts, QUIET, SMALL, anchor="ra")
    room = width - 2 * MARGIN - font(SMALL, facts).getlength(facts) - 40
    write(draw, (MARGIN, y), row.shot.id, ACCENT, PROMPT, width=room)
    for n, line in enumerate(row.prompt):
        draw.text((MARGIN, y + 34 * (n + 1)), line, INK, font(PROMPT, row.words, film))
    return y + 38 + 34 * len(row.prompt)


def _facts(plan: Plan, row: _Row, start: int | None) -> Iterator[str]:
    shot = row.shot
    if shot.title is not None:
        yield f"{shot.title.frames}-frame title" + (" card" if shot.title.over == "card" else "")
    if shot.transition.kind != "cut":
        yield f"{shot.transition.frames}-frame {shot.transition.kind}"
    if start is not None:
        yield f"from {float(start / plan.fps):.2f} s"
    yield f"{shot.frames} frames"
    if row.left_out:
        yield f"{len(shot.clips) - row.left_out} of {len(shot.clips)} clips shown"
    if shot.clips:
        yield f"seed {shot.clips[0].spec.seed}"


def _line(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    line: _Line,
    read: ClipReader,
    thumb: tuple[int, int],
    y: int,
    film: Path | None,
) -> None:
    """Thumbnails of some clips, a bar where one clip ends and the next begins, and the clips' numbers below."""
    pitch = thumb[0] + GAP
    wide = line.pictures * pitch
    for place, clip in enumerate(line.clips):
        x = MARGIN + place * wide
        if place:
            draw.rectangle((x - GAP // 2 - 1, y, x - GAP // 2, y + thumb[1] - 1), ACCENT)
        for n, picture in enumerate(_pictures(clip, line.pictures, read, thumb)):
            sheet.paste(picture, (x + n * pitch, y))
        draw.text((x, y + thumb[1] + 6), str(clip.slate.clip), QUIET, font(SMALL))
    for n, (place, prompt) in enumerate(line.prompts):
        end = line.prompts[n + 1][0] if n + 1 < len(line.prompts) else ACROSS // line.pictures
        at = MARGIN + place * wide, y + thumb[1] + NUMBERS
        write(draw, at, prompt, INK, SMALL, film, (end - place) * wide - GAP)


def _pictures(clip: PlannedClip, count: int, read: ClipReader, thumb: tuple[int, int]) -> Iterator[Image.Image]:
    frames: Frames | None = read(clip)
    if frames is None:
        yield from [blank(thumb)] * count
        return
    kept: Sequence[int] = range(clip.first, clip.first + clip.kept)
    # Beginnings of equal parts, not first and last: the last frame of a clip looks like the next one's first.
    for k in range(count):
        yield thumbnail(frames[kept[k * clip.kept // count]], thumb)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
