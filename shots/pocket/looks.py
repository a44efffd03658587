"""How the scenes look, in numpy alone: palette, backgrounds, outlines. Shared by the scenes and by their reader."""

from __future__ import annotations

from functools import cache

import numpy as np

from .vocabulary import BACKGROUNDS, COLOURS, KINDS, MOTIONS

SIZE = 64
FRAMES = 8
COLOUR_NAMES, KIND_NAMES, MOTION_NAMES, BACKGROUND_NAMES = map(tuple, (COLOURS, KINDS, MOTIONS, BACKGROUNDS))
FLOATING = MOTION_NAMES.index("floating")
STEPS = np.array([[-1, 0], [1, 0], [0, -1], [0, 1], [0, 0]], np.float32)
"""Unit direction (x right, y down) of each motion, in the order of MOTION_NAMES."""

PALETTE = np.array([[232, 28, 40], [255, 222, 36], [30, 200, 70], [36, 66, 240], [190, 50, 225]], np.float32)
TEMPLATE_EXTENT = 1.3
"""A template covers [-extent, extent] in units of the subject's radius."""

SKY_GROUND = np.array(
    [
        [[120, 178, 214], [206, 228, 234], [84, 150, 172], [48, 104, 134]],
        [[112, 84, 140], [246, 182, 136], [126, 92, 122], [66, 50, 86]],
        [[10, 12, 34], [48, 52, 96], [20, 26, 40], [8, 10, 18]],
        [[156, 196, 216], [218, 230, 222], [150, 172, 112], [104, 132, 82]],
        [[188, 200, 214], [232, 236, 240], [246, 248, 250], [212, 222, 234]],
    ],
    np.float32,
)
"""Per background: sky top, sky bottom, ground top, ground bottom (RGB)."""

HORIZON = np.array([0.66, 0.66, 0.74, 0.64, 0.60], np.float32) * SIZE
HILLS = np.array([0, 0, 4, 4, 3], np.float32)
GLOW = np.array([44, 26, 4], np.float32)


def _inside(kind: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The kind's outline as a mask over coordinates in units of the radius, y pointing down."""
    if kind == "ball":
        return np.hypot(x, y) < 0.92
    if kind == "moon":
        return (np.hypot(x, y) < 1.05) & (np.hypot(x - 0.52, y + 0.18) > 0.82)
    if kind == "star":
        sector = np.pi / 5
        angle = np.abs((np.arctan2(x, -y) + sector) % (2 * sector) - sector)
        px, py = np.hypot(x, y) * np.cos(angle), np.hypot(x, y) * np.sin(angle)
        inner_x, inner_y = 0.5 * np.cos(sector), 0.5 * np.sin(sector)
        return (px - 1.12) * inner_y - py * (inner_x - 1.12) < 0
    hull = (y > 0.42) & (y < 0.95) & (np.abs(x) < 1.1 - 0.75 * (y - 0.42))
    main = (x > 0.06) & (x < 0.06 + 0.85 * (y + 1.05) / 1.35) & (y > -1.05) & (y < 0.3)
    jib = (x < -0.06) & (x > -0.06 - 0.62 * (y + 0.8) / 1.1) & (y > -0.8) & (y < 0.3)
    mast = (np.abs(x) < 0.07) & (y > -1.1) & (y < 0.45)
    return hull | main | jib | mast


@cache
def templates(size: int = 128) -> np.ndarray:
    """Soft alpha masks of the kinds, [4, size, size] in 0..1, covering +-TEMPLATE_EXTENT radii."""
    fine = 4 * size
    axis = ((np.arange(fine) + 0.5) / fine * 2 - 1) * TEMPLATE_EXTENT
    x, y = np.meshgrid(axis, axis)
    masks = [_inside(kind, x, y).reshape(size, 4, size, 4).mean((1, 3)) for kind in KIND_NAMES]
    kernel = np.exp(-0.5 * (np.arange(-6, 7) / (size / 64)) ** 2)
    kernel /= kernel.sum()
    for direction in (0, 1):
        masks = [np.apply_along_axis(np.convolve, direction, mask, kernel, "same") for mask in masks]
    return np.stack(masks).astype(np.float32)
