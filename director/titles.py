"""Words on pictures: title cards and text over a shot, drawn by moviepy with a font file or the font of Pillow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from shots.frames import Frames

from .breaking import pieces
from .cutlist import Caption, Colour, Slide
from .errors import FontUnreadable
from .fontfile import opened

WIDEST, TALLEST = 0.86, 0.8
"""Share of the picture's width and height that words may take."""


def slide_pictures(slide: Slide, size: tuple[int, int], fps: Fraction, base: Path = Path()) -> Iterator[Frames]:
    """The card's pictures [H, W, 3] for `size` (width, height): words in the middle, fading in and out.

    base: folder that the path of its font begins in. Raises FontUnreadable.
    """
    width, height = size
    blank = np.broadcast_to(np.array(slide.colour, np.uint8), (height, width, 3))
    look = _Look(slide.text_colour, base / slide.font if slide.font else None)
    words = _words(slide.text, look, size, height / 8, slide.total, fps).with_position("center")
    for k in range(slide.frames):
        yield _over(blank, words, slide.first + k, fps)


def caption_pictures(
    pictures: Iterator[Frames], captions: tuple[Caption, ...], fps: Fraction, base: Path = Path()
) -> Iterator[Frames]:
    """`pictures` [H, W, 3] with the captions over them: words in the lower part, outlined to be read on anything.

    base: folder that the paths of their fonts begin in. Raises FontUnreadable.
    """
    drawn: list[Any] | None = None
    for k, picture in enumerate(pictures):
        size = (picture.shape[1], picture.shape[0])
        if drawn is None:
            drawn = [_lower(caption, size, fps, base) for caption in captions]
        for caption, words in zip(captions, drawn, strict=True):
            if k < caption.frames:
                picture = _over(picture, words, caption.first + k, fps)
        yield picture


def fade_frames(length: int, fps: Fraction) -> int:
    """Frames over which words come and go: half a second, at most a quarter of their time."""
    return min(length // 4, round(fps / 2))


def wrapped(text: str, font: Any, width: float) -> str:
    """`text` with line breaks so that no line is wider than `width` pixels, unless one word is: see `breaking`."""
    # moviepy's own breaking ("caption") slices a line at a place counted from the text's beginning, and loses
    # words from the second line on.
    lines: list[str] = []
    for paragraph in text.splitlines():
        line = ""
        for gap, piece in pieces(paragraph):
            longer = f"{line}{gap}{piece}" if line else piece
            if line and font.getlength(longer) > width:
                lines.append(line)
                longer = piece
            line = longer
        lines.append(line)
    return "\n".join(lines)


@dataclass(frozen=True)
class _Look:
    """How words are drawn. font: its file, None the built-in one. edge: colour around the letters."""

    colour: Colour
    font: Path | None
    edge: tuple[int, ...] | None = None


def _lower(caption: Caption, size: tuple[int, int], fps: Fraction, base: Path) -> Any:
    height = size[1]
    light = sum(caption.colour) > 380
    edge = (0, 0, 0, 190) if light else (255, 255, 255, 190)
    look = _Look(caption.colour, base / caption.font if caption.font else None, edge)
    words = _words(caption.text, look, size, height / 12, caption.total, fps)
    return words.with_position(("center", max(0, round(height * 0.93) - words.h)))


def _words(text: str, look: _Look, size: tuple[int, int], font_size: float, length: int, fps: Fraction) -> Any:
    """A moviepy clip of the words, as large as fits, that comes and goes over `length` frames."""
    from moviepy.video.fx import CrossFadeIn, CrossFadeOut

    try:
        clip = _trimmed(_drawn(text, look, size, font_size, float(length / fps)))
    except OSError as error:  # a letter of it is damaged: the font was opened before
        raise FontUnreadable(look.font, f"{text!r} cannot be drawn: {error}") from None
    fade = float(fade_frames(length, fps) / fps)
    return clip.with_effects([CrossFadeIn(fade), CrossFadeOut(fade)]) if fade else clip


def _drawn(text: str, look: _Look, size: tuple[int, int], font_size: float, seconds: float) -> Any:
    from moviepy import TextClip

    pixels, fitted = _fitted(text, size, font_size, look.font)
    return TextClip(
        font=str(look.font) if look.font else None,
        text=fitted,
        font_size=pixels,
        color=(*look.colour, 255),
        stroke_color=look.edge,
        stroke_width=max(1, round(pixels / 20)) if look.edge else 0,
        interline=pixels // 3,
        text_align="center",
        horizontal_align="center",
        margin=(pixels, max(pixels, sum(opened(look.font, pixels).getmetrics()))),
        duration=seconds,
    )


def _trimmed(words: Any) -> Any:
    """The clip without empty rows and columns. moviepy makes the box of a text too low and cuts off its last
    line; the wide margin makes room for it, and is removed again so that the middle is the words' middle."""
    inked = np.argwhere(words.mask.get_frame(0) > 0)
    if not len(inked):
        return words
    (top, left), (bottom, right) = inked.min(0).tolist(), inked.max(0).tolist()
    return words.cropped(x1=left, y1=top, x2=right + 1, y2=bottom + 1)


def _fitted(text: str, size: tuple[int, int], font_size: float, file: Path | None) -> tuple[int, str]:
    """Font size in pixels, at most `font_size`, and the text broken into lines, so that all of it is seen."""
    width, height = size
    pixels = max(6, round(font_size))
    while True:
        font = opened(file, pixels)
        lines = wrapped(text, font, WIDEST * width)
        widest = max((font.getlength(line) for line in lines.split("\n")), default=0)
        up, down = font.getmetrics() if file else (pixels, 0)
        tall = lines.count("\n") * (up + pixels // 3) + up + down
        few = lines.count("\n") < max(3, len(text.splitlines())) or pixels < height / 18
        if pixels <= 6 or (few and widest <= WIDEST * width and tall <= TALLEST * height):
            return pixels, lines
        pixels = max(6, int(pixels * 0.9))


def _over(picture: Frames, words: Any, frame: int, fps: Fraction) -> Frames:
    """`words` as they are in the middle of `frame` of their time, over `picture` [H, W, 3]."""
    from moviepy import CompositeVideoClip, ImageClip

    base = ImageClip(np.ascontiguousarray(picture), duration=words.duration)
    # The middle of the frame: at its edge, a rounded second may lie before the beginning or after the end.
    moment = float((frame + Fraction(1, 2)) / fps)
    drawn = CompositeVideoClip([base, words], size=(picture.shape[1], picture.shape[0])).get_frame(moment)
    return np.asarray(drawn, np.uint8)
