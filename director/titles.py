"""Words on pictures: title cards and text over a shot, drawn by moviepy with the font that Pillow carries."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from PIL import ImageFont

from shots.frames import Frames

from .cutlist import Caption, Colour, Slide

WIDEST, TALLEST = 0.86, 0.8
"""Share of the picture's width and height that words may take."""


def slide_pictures(slide: Slide, size: tuple[int, int], fps: Fraction) -> Iterator[Frames]:
    """The card's pictures [H, W, 3] for `size` (width, height): words in the middle, fading in and out."""
    width, height = size
    blank = np.broadcast_to(np.array(slide.colour, np.uint8), (height, width, 3))
    words = _words(slide.text, slide.text_colour, size, height / 8, edge=None, length=slide.total, fps=fps)
    words = words.with_position("center")
    for k in range(slide.frames):
        yield _over(blank, words, slide.first + k, fps)


def caption_pictures(pictures: Iterator[Frames], captions: tuple[Caption, ...], fps: Fraction) -> Iterator[Frames]:
    """`pictures` [H, W, 3] with the captions over them: words in the lower part, outlined to be read on anything."""
    drawn: list[Any] | None = None
    for k, picture in enumerate(pictures):
        size = (picture.shape[1], picture.shape[0])
        if drawn is None:
            drawn = [_lower(caption, size, fps) for caption in captions]
        for caption, words in zip(captions, drawn, strict=True):
            if k < caption.frames:
                picture = _over(picture, words, caption.first + k, fps)
        yield picture


def fade_frames(length: int, fps: Fraction) -> int:
    """Frames over which words come and go: half a second, at most a quarter of their time."""
    return min(length // 4, round(fps / 2))


def wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    """`text` with line breaks so that no line is wider than `width` pixels, unless one word is."""
    # moviepy's own breaking ("caption") slices a line at a place counted from the text's beginning, and loses
    # words from the second line on.
    lines: list[str] = []
    for paragraph in text.splitlines():
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if line and font.getlength(longer) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return "\n".join(lines)


def _lower(caption: Caption, size: tuple[int, int], fps: Fraction) -> Any:
    height = size[1]
    light = sum(caption.colour) > 380
    edge = (0, 0, 0, 190) if light else (255, 255, 255, 190)
    words = _words(caption.text, caption.colour, size, height / 12, edge, caption.total, fps)
    return words.with_position(("center", max(0, round(height * 0.93) - words.h)))


def _words(
    text: str,
    colour: Colour,
    size: tuple[int, int],
    font_size: float,
    edge: tuple[int, ...] | None,
    length: int,
    fps: Fraction,
) -> Any:
    """A moviepy clip of the words, as large as fits, that comes and goes over `length` frames."""
    from moviepy import TextClip
    from moviepy.video.fx import CrossFadeIn, CrossFadeOut

    pixels, fitted = _fitted(text, size, font_size)
    clip = TextClip(
        text=fitted,
        font_size=pixels,
        color=(*colour, 255),
        stroke_color=edge,
        stroke_width=max(1, round(pixels / 20)) if edge else 0,
        interline=pixels // 3,
        text_align="center",
        horizontal_align="center",
        margin=(pixels, pixels),
        duration=float(length / fps),
    )
    clip = _trimmed(clip)
    fade = float(fade_frames(length, fps) / fps)
    return clip.with_effects([CrossFadeIn(fade), CrossFadeOut(fade)]) if fade else clip


def _trimmed(words: Any) -> Any:
    """The clip without empty rows and columns. moviepy makes the box of a text too low and cuts off its last
    line; the wide margin makes room for it, and is removed again so that the middle is the words' middle."""
    inked = np.argwhere(words.mask.get_frame(0) > 0)
    if not len(inked):
        return words
    (top, left), (bottom, right) = inked.min(0).tolist(), inked.max(0).tolist()
    return words.cropped(x1=left, y1=top, x2=right + 1, y2=bottom + 1)


def _fitted(text: str, size: tuple[int, int], font_size: float) -> tuple[int, str]:
    """Font size in pixels, at most `font_size`, and the text broken into lines, so that all of it is seen."""
    width, height = size
    pixels = max(6, round(font_size))
    while True:
        font = ImageFont.load_default(pixels)
        lines = wrapped(text, font, WIDEST * width)
        widest = max((font.getlength(line) for line in lines.split("\n")), default=0)
        tall = lines.count("\n") * (pixels * 4 // 3) + pixels
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
