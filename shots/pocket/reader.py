"""Read a clip from its pixels: the subject's colour, kind, position, size and motion, and the background. Numpy alone.

A pixel belongs to the subject when it is nearer to a shaded palette colour than to the sky or the ground of its row.
The kind is the outline that overlaps best (intersection over union) at the centre and size that the mask's own
moments give.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .looks import (
    BACKGROUND_NAMES,
    COLOUR_NAMES,
    FLOATING,
    HORIZON,
    KIND_NAMES,
    MOTION_NAMES,
    PALETTE,
    SIZE,
    SKY_GROUND,
    TEMPLATE_EXTENT,
    templates,
)

Frames = NDArray[np.uint8]
Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

MISSING = -1
"""The index of an attribute that could not be read: no subject in the frame."""

MIN_AREA = 60.0
"""A subject of fewer pixels is not one; true subjects cover 190 to 480."""

MIN_SHIFT = 4.0
"""Pixels between the first and the last quarter of a clip from which the subject counts as moving."""


@dataclass(frozen=True)
class Reading:
    """What was read from each of F frames; indices into the *_NAMES tuples of `looks`, -1 where there is no subject."""

    colour: Indices
    kind: Indices
    background: Indices
    x: Floats
    y: Floats
    size: Floats
    area: Floats
    overlap: Floats
    tint: Floats

    def __getitem__(self, part: slice) -> Reading:
        return Reading(**{name: value[part] for name, value in self.__dict__.items()})


@dataclass(frozen=True)
class Subject:
    """One clip in one line: the commonest colour, kind and background, and the motion; -1 where there is no subject."""

    colour: int
    kind: int
    motion: int
    background: int

    def names(self) -> dict[str, str]:
        """The attributes as words of the vocabulary, "none" where there is no subject."""
        groups = {"colour": COLOUR_NAMES, "kind": KIND_NAMES, "motion": MOTION_NAMES, "background": BACKGROUND_NAMES}
        return {name: "none" if (i := getattr(self, name)) == MISSING else group[i] for name, group in groups.items()}


@cache
def _rows() -> tuple[Floats, Floats, Floats]:
    """Sky and ground colour of every row and the plain backdrop, [5, 64, 3] each, per background."""
    y = np.arange(SIZE, dtype=np.float32)[None, :, None] + 0.5
    horizon = HORIZON[:, None, None]
    top, low, ground, bottom = (SKY_GROUND[:, i, None] for i in range(4))
    sky = top + (low - top) * np.clip(y / horizon, 0, 1)
    earth = ground + (bottom - ground) * np.clip((y - horizon) / (SIZE - horizon), 0, 1)
    return sky, earth, np.where(y < horizon, sky, earth)


def read_background(frames: Frames) -> Indices:
    """The nearest backdrop of each frame [F, 64, 64, 3]: mean distance over the better half of the pixels."""
    plain = _rows()[2]
    distance = np.abs(frames[:, None].astype(np.float32) - plain[None, :, :, None]).mean(-1).reshape(len(frames), 5, -1)
    half = distance.shape[-1] // 2
    return np.partition(distance, half, -1)[..., :half].mean(-1).argmin(-1)


def _colour_distance(frames: Floats) -> Floats:
    """Distance of every pixel to each palette colour at its best shade, [F, 5, H, W]."""
    square = (PALETTE**2).sum(-1)
    shade = np.clip(np.einsum("fhwc,kc->fkhw", frames, PALETTE) / square[None, :, None, None], 0.74, 1.16)
    shaded = np.minimum(shade[..., None] * PALETTE[None, :, None, None], 255)
    return np.linalg.norm(frames[:, None] - shaded, axis=-1)


def subject_mask(frames: Frames, background: Indices) -> tuple[NDArray[np.bool_], Indices]:
    """The subject's pixels [F, H, W] and its colour [F], -1 where nothing stands out."""
    pixels = frames.astype(np.float32)
    sky, earth, _ = _rows()
    to_back = np.minimum(
        np.linalg.norm(pixels - sky[background][:, :, None], axis=-1),
        np.linalg.norm(pixels - earth[background][:, :, None], axis=-1),
    )
    lead = to_back[:, None] - _colour_distance(pixels)
    colour = np.maximum(lead, 0).sum((2, 3)).argmax(1)
    mask = lead[np.arange(len(frames)), colour] > 0
    x, y = _middle(mask, 0), _middle(mask, 1)
    columns, rows = np.arange(SIZE)[None, None, :], np.arange(SIZE)[None, :, None]
    mask &= np.hypot(columns - x[:, None, None], rows - y[:, None, None]) < 22
    return mask, np.where(mask.sum((1, 2)) < MIN_AREA, MISSING, colour)


def _middle(mask: NDArray[np.bool_], axis: int) -> Floats:
    """The median column (axis 0) or row (axis 1) of each mask's pixels."""
    weight = mask.sum(1 + axis).cumsum(1)
    return (weight < weight[:, -1:] / 2).sum(1).astype(np.float32)


@cache
def _shapes() -> tuple[NDArray[np.bool_], Floats, Floats]:
    """Hard outlines [4, 128, 128], their centroids [4, 2] and areas [4] in units of the radius."""
    hard = templates() > 0.5
    axis = ((np.arange(hard.shape[-1]) + 0.5) / hard.shape[-1] * 2 - 1) * TEMPLATE_EXTENT
    centroid = np.stack(
        [(hard.mean(1) * axis).sum(1) / hard.mean(1).sum(1), (hard.mean(2) * axis).sum(1) / hard.mean(2).sum(1)], -1
    )
    return hard, centroid.astype(np.float32), (hard.mean((1, 2)) * (2 * TEMPLATE_EXTENT) ** 2).astype(np.float32)


def fit_kinds(mask: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Overlap, centre and radius of each kind fitted to the masks [F, H, W]: [F, 4], [F, 4, 2], [F, 4]."""
    hard, centroid, unit_area = _shapes()
    axis = np.arange(SIZE, dtype=np.float32) + 0.5
    area = np.maximum(mask.sum((1, 2)), 1)
    found = np.stack([(mask * axis).sum((1, 2)), (mask * axis[:, None]).sum((1, 2))], -1) / area[:, None]
    radius = np.sqrt(area[:, None] / unit_area)
    centre = found[:, None] - centroid * radius[..., None]
    cells = hard.shape[-1]
    place = (axis - centre[..., None]) / radius[..., None, None] / TEMPLATE_EXTENT
    cell = np.floor((place + 1) / 2 * cells).astype(np.int64)
    inside = (cell >= 0) & (cell < cells)
    cell = np.clip(cell, 0, cells - 1)
    kinds = np.arange(len(hard))[None, :, None, None]
    drawn = hard[kinds, cell[:, :, 1, :, None], cell[:, :, 0, None, :]]
    drawn &= inside[:, :, 1, :, None] & inside[:, :, 0, None, :]
    both, either = (drawn & mask[:, None]).sum((2, 3)), (drawn | mask[:, None]).sum((2, 3))
    return (both / np.maximum(either, 1)).astype(np.float32), centre.astype(np.float32), radius.astype(np.float32)


def read(frames: Frames) -> Reading:
    """Read every frame of uint8 [F, 64, 64, 3]."""
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[1:] != (SIZE, SIZE, 3):
        raise ValueError(f"frames must be uint8 [F, {SIZE}, {SIZE}, 3], got {frames.dtype} {list(frames.shape)}")
    background = read_background(frames)
    mask, colour = subject_mask(frames, background)
    overlap, centre, radius = fit_kinds(mask)
    kind = overlap.argmax(1)
    each = np.arange(len(frames))
    area = mask.sum((1, 2)).astype(np.float32)
    tint = (frames * mask[..., None]).sum((1, 2)) / np.maximum(area, 1)[:, None]
    seen = colour != MISSING
    x, y = (np.where(seen, centre[each, kind, i], np.nan).astype(np.float32) for i in (0, 1))
    kept: dict[str, Any] = {"size": radius[each, kind], "overlap": overlap[each, kind], "tint": tint.astype(np.float32)}
    return Reading(colour, np.where(seen, kind, MISSING), background, x, y, area=area, **kept)


def motion_of(x: Floats, y: Floats) -> int:
    """Left, right, up, down or floating, from the centre's shift between the first and the last quarter of frames."""
    seen = np.isfinite(x)
    if seen.sum() < 2:
        return MISSING
    quarter = max(1, len(x) // 4)
    parts = (slice(None, quarter), slice(-quarter, None))
    if not all(seen[part].any() for part in parts):
        return MISSING
    dx, dy = (float(np.nanmean(axis[parts[1]]) - np.nanmean(axis[parts[0]])) for axis in (x, y))
    if max(abs(dx), abs(dy)) < MIN_SHIFT:
        return FLOATING
    name = ("right" if dx > 0 else "left") if abs(dx) >= abs(dy) else ("down" if dy > 0 else "up")
    return MOTION_NAMES.index(name)


def _commonest(values: Indices) -> int:
    names, counts = np.unique(values, return_counts=True)
    return int(names[counts.argmax()])


def summarise(reading: Reading) -> Subject:
    """The clip's attributes, by majority over its frames."""
    colour, kind, background = map(_commonest, (reading.colour, reading.kind, reading.background))
    return Subject(colour, kind, motion_of(reading.x, reading.y), background)
