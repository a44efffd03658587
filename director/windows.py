"""Transitions, cards and titles: the few frames of a film that are made new, by moviepy, from lossless takes.

moviepy counts in floating seconds, and asked for "the frame at 1/24 s" it may take the one before. So clips here
are functions of time over a `Reel`, which turns a time back into the whole number it came from, and frames are
asked for one by one instead of by a duration and a rate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from shots.frames import Frames
from shots.prints import PrintSpec, scaled

from .cutlist import Crossfade, Fade, Mix, Part, Strip, Window
from .titles import caption_pictures, slide_pictures

Reader = Callable[[Part], Iterator[Frames]]
"""Gives the pictures of a part of a take, at their native size, in order."""


class Reel:
    """Pictures that come one after another, as a moviepy frame function: time k / fps gives picture k - `lead`."""

    def __init__(self, pictures: Iterator[Frames], fps: Fraction, lead: int = 0) -> None:
        self._pictures, self._fps, self._lead = pictures, fps, lead
        self._at, self._picture = lead - 1, np.empty(0, np.uint8)

    def __call__(self, time: float) -> Frames:
        """The picture at `time` seconds; times do not go back. Before the first picture, the first: moviepy looks
        at time 0 to learn the size."""
        wanted = max(round(time * self._fps), self._lead)
        while self._at < wanted:
            self._at, self._picture = self._at + 1, next(self._pictures)
        return self._picture


def window_pictures(window: Window, read: Reader, spec: PrintSpec, base: Path = Path()) -> Iterator[Frames]:
    """The pictures [H, W, 3] of a window at the print's size, one at a time. base: folder of the titles' fonts."""
    if isinstance(window, Crossfade):
        pictures = _crossfade(window, read, spec, base)
    elif isinstance(window, Fade):
        pictures = _fade(window, read, spec, base)
    else:
        pictures = strip_pictures(window.strip, read, spec, base)
    return caption_pictures(pictures, window.captions, spec.fps, base) if window.captions else pictures


def strip_pictures(strip: Strip, read: Reader, spec: PrintSpec, base: Path = Path()) -> Iterator[Frames]:
    """The pictures of a strip at the print's size."""
    for piece in strip:
        if isinstance(piece, Part):
            yield from scaled(read(piece), spec)
        elif isinstance(piece, Mix):
            yield from _mixed(piece, read, spec)
        else:
            yield from slide_pictures(piece, (spec.width, spec.height), spec.fps, base)


def _mixed(mix: Mix, read: Reader, spec: PrintSpec) -> Iterator[Frames]:
    """Each picture with its share of the later clip, rounded once."""
    pairs = zip(scaled(read(mix.out), spec), scaled(read(mix.into), spec), strict=True)
    for k, (out, into) in enumerate(pairs, mix.first + 1):
        share = k / (mix.total + 1)
        yield _rounded((1.0 - share) * out + share * into)


def _crossfade(window: Crossfade, read: Reader, spec: PrintSpec, base: Path) -> Iterator[Frames]:
    """Frame k of n has share (k+1)/(n+1) of the new picture, so neither end repeats what is beside it."""
    from moviepy.video.fx import FadeIn, FadeOut

    n, fps = window.frames, spec.fps
    seconds = float((n + 1) / fps)
    # The old picture fading to black plus the new one fading from black is their crossfade, in floating point and
    # exact after rounding. CrossFadeIn in a composite keeps the share in eight bits and is off by one level.
    out, into = (Reel(strip_pictures(s, read, spec, base), fps, lead=1) for s in (window.out, window.into))
    old = _clip(out, seconds).with_effects([FadeOut(seconds)])
    new = _clip(into, seconds).with_effects([FadeIn(seconds)])
    for k in range(1, n + 1):
        moment = float(k / fps)
        yield _rounded(old.get_frame(moment) + new.get_frame(moment))


def _fade(window: Fade, read: Reader, spec: PrintSpec, base: Path) -> Iterator[Frames]:
    """To a colour, frame k of n keeps share (n-1-k)/n of the picture; from a colour, k/n."""
    from moviepy.video.fx import FadeIn, FadeOut

    n, fps = window.frames, spec.fps
    seconds, colour = float(n / fps), list(window.colour)
    lead = 1 if window.to_colour else 0
    effect = FadeOut(seconds, colour) if window.to_colour else FadeIn(seconds, colour)
    clip = _clip(Reel(strip_pictures(window.strip, read, spec, base), fps, lead), seconds).with_effects([effect])
    for k in range(n):
        yield _rounded(clip.get_frame(float((k + lead) / fps)))


def _clip(reel: Reel, seconds: float) -> Any:
    from moviepy import VideoClip

    return VideoClip(reel, duration=seconds)


def _rounded(picture: Any) -> Frames:
    levels: Frames = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return levels
