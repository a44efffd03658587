"""Measures over a clip or a chain of clips: stability, motion, seams, mirror-likeness, drift. Numpy alone.

A chain is `frames` uint8 [F, 64, 64, 3] with `starts`, the index of each clip's first frame (the first is 0); clips
need not be equally long. Pixel differences are mean absolute differences in 0..1, lengths are pixels.

A seam measure alone is not enough to compare two ways of chaining: a clip that plays its predecessor backwards has a
perfect seam. `mirror_motion` and `mirror_pixels` see that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .reader import Floats, Frames, Reading, read, subject_mask


@dataclass(frozen=True)
class Estimate:
    """A mean over n values with its standard error; NaN where there is nothing to average."""

    mean: float
    error: float
    n: int

    def __str__(self) -> str:
        return f"{self.mean:.3g} +- {self.error:.2g} (n={self.n})"


def estimate(values: Iterable[float]) -> Estimate:
    """The mean and standard error of the finite values; a proportion's is at least that of one miss in n + 2."""
    array = np.asarray([value for value in values if np.isfinite(value)], np.float64)
    n = len(array)
    if n == 0:
        return Estimate(float("nan"), float("nan"), 0)
    if np.isin(array, (0.0, 1.0)).all():
        share = (array.sum() + 1) / (n + 2)
        return Estimate(float(array.mean()), float(np.sqrt(share * (1 - share) / (n + 2))), n)
    return Estimate(float(array.mean()), float(array.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan"), n)


def clips_of(frames: Frames, starts: Sequence[int]) -> list[Frames]:
    """The clips of a chain."""
    if not starts or starts[0] != 0 or any(b <= a for a, b in pairwise(starts)) or starts[-1] >= len(frames):
        raise ValueError(f"starts must begin at 0 and rise below {len(frames)}, got {list(starts)}")
    return [frames[a:b] for a, b in pairwise([*starts, len(frames)])]


def steps(frames: Frames) -> Floats:
    """Mean absolute difference of each frame to the next, [F - 1] in 0..1."""
    difference = np.abs(frames[1:].astype(np.float32) - frames[:-1].astype(np.float32))
    return difference.mean((1, 2, 3)) / 255


def seams(frames: Frames, starts: Sequence[int]) -> tuple[Estimate, Estimate]:
    """Step size at the joins and inside the clips; equal means for an invisible seam."""
    clips_of(frames, starts)
    at_join = np.zeros(len(frames) - 1, bool)
    at_join[[start - 1 for start in starts[1:]]] = True
    all_steps = steps(frames)
    return estimate(all_steps[at_join]), estimate(all_steps[~at_join])


def seam_ratio(frames: Frames, starts: Sequence[int]) -> float:
    """Mean step at the joins over mean step inside; 1 is an invisible seam, NaN with a single clip."""
    join, inner = seams(frames, starts)
    return join.mean / max(inner.mean, 1e-6)


def jump(reading: Reading, starts: Sequence[int]) -> Estimate:
    """How far the subject's centre leaps at each join beyond its mean inner step, in pixels."""
    distance = np.hypot(np.diff(reading.x), np.diff(reading.y))
    joins = [start - 1 for start in starts[1:]]
    inner = np.delete(distance, joins)
    usual = float(np.nanmean(inner)) if np.isfinite(inner).any() else 0.0
    return estimate(distance[joins] - usual)


def mirror_pixels(frames: Frames, starts: Sequence[int]) -> Estimate:
    """Is clip k+1 clip k played backwards, in pixels? (same - mirrored) / (same + mirrored) for each pair, in -1..1.

    `same` is the difference of the next clip to the previous in playing order, `mirrored` to the previous one
    reversed. 1 is a perfect mirror image, 0 no likeness, -1 an exact repetition. Unequal clips are compared over the
    frames nearest the join.
    """
    values = []
    for before, after in pairwise(clips_of(frames, starts)):
        n = min(len(before), len(after))
        a, b = before[-n:].astype(np.float32), after[:n].astype(np.float32)
        same, mirrored = float(np.abs(b - a).mean()), float(np.abs(b - a[::-1]).mean())
        values.append((same - mirrored) / max(same + mirrored, 1e-3 * 255))
    return estimate(values)


def mirror_motion(reading: Reading, starts: Sequence[int], window: int | None = None) -> Estimate:
    """Does the subject retrace its path after each join? 1: exactly backwards; -1: it goes on as it came; 0: neither.

    With v the centre's velocity, -sum v(after, i) . v(before, -1 - i) over the mean of both sums of squares, over the
    `window` steps (default: all that both clips have) on each side of the join. Half a squared pixel a step is added
    below, so that the bob of a floating subject hardly counts.
    """
    ends = [*starts, len(reading.x)]
    velocity = [np.stack([np.diff(reading.x[a:b]), np.diff(reading.y[a:b])], -1) for a, b in pairwise(ends)]
    values = []
    for before, after in pairwise(velocity):
        n = min(len(before), len(after), window or len(after))
        a, b = np.nan_to_num(before[::-1][:n]), np.nan_to_num(after[:n])
        values.append(float(-(a * b).sum() / (0.5 * ((a * a).sum() + (b * b).sum()) + 0.5 * n)))
    return estimate(values)


def dynamic_degree(reading: Reading, starts: Sequence[int] = (0,)) -> Estimate:
    """Speed of the subject inside the clips, in pixels a frame."""
    ends = [*starts, len(reading.x)]
    parts = [np.hypot(np.diff(reading.x[a:b]), np.diff(reading.y[a:b])) for a, b in pairwise(ends)]
    return estimate(np.concatenate(parts))


@dataclass(frozen=True)
class Stability:
    """How steady one clip is; compare with the same numbers of true scenes.

    area_jitter: mean |area(t+1) - area(t)| over the mean area. tint_jitter: mean change of the subject's mean colour,
    0..1. acceleration: mean second difference of the centre, pixels. flicker: mean second difference of the pixels,
    0..1. overlap: mean intersection over union with the best outline. same_kind: share of frames that show the
    commonest kind.
    """

    area_jitter: float
    tint_jitter: float
    acceleration: float
    flicker: float
    overlap: float
    same_kind: float


def stability(frames: Frames, reading: Reading | None = None) -> Stability:
    """The stability of one clip."""
    seen = reading or read(frames)
    path = np.stack([seen.x, seen.y], -1)
    bend = np.linalg.norm(path[2:] - 2 * path[1:-1] + path[:-2], axis=-1)
    pixels = frames.astype(np.float32) / 255
    _, counts = np.unique(seen.kind, return_counts=True)
    return Stability(
        area_jitter=float(np.abs(np.diff(seen.area)).mean() / max(float(seen.area.mean()), 1.0)),
        tint_jitter=float(np.abs(np.diff(seen.tint, axis=0)).mean() / 255),
        acceleration=float(np.nanmean(bend)) if np.isfinite(bend).any() else float("nan"),
        flicker=float(np.abs(pixels[2:] - 2 * pixels[1:-1] + pixels[:-2]).mean()),
        overlap=float(seen.overlap.mean()),
        same_kind=float(counts.max() / len(frames)),
    )


@dataclass(frozen=True)
class Drift:
    """How far each clip of a chain, [K], is from the first: tint (0..1), size (ratio), background (0..1), kind."""

    tint: Floats
    size: Floats
    background: Floats
    same_kind: Floats
    same_colour: Floats


def _bare(clip: Frames, reading: Reading) -> Floats:
    """The clip's mean background, NaN where the subject ever was."""
    covered: NDArray[np.bool_] = np.any(subject_mask(clip, reading.background)[0], axis=0)
    return np.where(covered[..., None], np.nan, clip.mean(0)).astype(np.float32)


def _apart(one: Floats, other: Floats) -> float:
    difference = np.abs(one - other)
    return float(np.nanmean(difference) / 255) if np.isfinite(difference).any() else float("nan")


def drift(frames: Frames, starts: Sequence[int]) -> Drift:
    """Drift of every clip against the first; the first entry is zero (one for size and the shares)."""
    clips = clips_of(frames, starts)
    readings = [read(clip) for clip in clips]
    first = readings[0]
    kind, colour = (int(np.bincount(values + 1).argmax()) - 1 for values in (first.kind, first.colour))
    backs = [_bare(clip, reading) for clip, reading in zip(clips, readings, strict=True)]
    return Drift(
        tint=np.array([np.abs(r.tint.mean(0) - first.tint.mean(0)).mean() / 255 for r in readings], np.float32),
        size=np.array([r.size.mean() / max(float(first.size.mean()), 1e-6) for r in readings], np.float32),
        background=np.array([_apart(backs[0], back) for back in backs], np.float32),
        same_kind=np.array([(r.kind == kind).mean() for r in readings], np.float32),
        same_colour=np.array([(r.colour == colour).mean() for r in readings], np.float32),
    )


def chain_report(frames: Frames, starts: Sequence[int]) -> dict[str, float]:
    """All chain measures as one flat table: what to print when two ways of chaining are compared."""
    reading, away = read(frames), drift(frames, starts)
    join, inner = seams(frames, starts)
    return {
        "seam_join": join.mean,
        "seam_inner": inner.mean,
        "seam_ratio": seam_ratio(frames, starts),
        "jump_px": jump(reading, starts).mean,
        "mirror_motion": mirror_motion(reading, starts).mean,
        "mirror_pixels": mirror_pixels(frames, starts).mean,
        "dynamic_degree": dynamic_degree(reading, starts).mean,
        "drift_tint": float(away.tint[1:].mean()) if len(starts) > 1 else 0.0,
        "drift_background": float(away.background[1:].mean()) if len(starts) > 1 else 0.0,
        "same_kind": float(away.same_kind.mean()),
        "same_colour": float(away.same_colour.mean()),
    }
