"""Procedural scenes with captions: the world the pocket model was trained on, and the truth its reader is tested on.

A scene is one coloured subject (ball, star, boat, moon) on one of five backgrounds, moving left, right, up or down at a
constant speed, or floating (a bob of about one pixel). The camera never moves. Everything is a function of a seed.

    python -m shots.pocket.scenes sheet.png          # a contact sheet of samples, a row a scene, with captions

Grammar of captions: `a {colour} {kind} {move} {place}` or `{place} a {colour} {kind} {move}`; parts may be missing.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from .looks import (
    BACKGROUND_NAMES,
    COLOUR_NAMES,
    FLOATING,
    FRAMES,
    GLOW,
    HILLS,
    HORIZON,
    KIND_NAMES,
    MOTION_NAMES,
    PALETTE,
    SIZE,
    SKY_GROUND,
    STEPS,
    TEMPLATE_EXTENT,
    templates,
)
from .vocabulary import PHASES

_MOVES = (
    ("moving left", "drifting left", "moving to the left", "sailing left"),
    ("moving right", "drifting right", "moving to the right", "sailing right"),
    ("moving up", "rising", "drifting up", "climbing"),
    ("moving down", "sinking", "drifting down", "falling"),
    ("floating", "resting", "floating still", "hovering"),
)
_PLACES = (
    ("over the sea", "over the sea by day", "over the open sea", "in the harbour"),
    ("over the sea at sunset", "at sunset", "in the evening"),
    ("in the night sky", "at night", "over hills at night", "over the sea at night"),
    ("over the meadow", "over a meadow by day", "across the field"),
    ("over the snow", "over snowy hills", "in winter"),
)


@dataclass(frozen=True)
class Scenes:
    """A batch of scenes, every field an array of length N; the first four index the *_NAMES tuples."""

    colour: np.ndarray
    kind: np.ndarray
    motion: np.ndarray
    background: np.ndarray
    radius: np.ndarray
    speed: np.ndarray
    centre_x: np.ndarray
    centre_y: np.ndarray
    horizon: np.ndarray
    hill_phase: np.ndarray
    glow_x: np.ndarray
    bob_phase: np.ndarray

    def __len__(self) -> int:
        return len(self.colour)

    def __getitem__(self, index: slice | np.ndarray) -> Scenes:
        return Scenes(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


def held_out(colour: np.ndarray, kind: np.ndarray, motion: np.ndarray, background: np.ndarray) -> np.ndarray:
    """True for the tenth of all (colour, kind, motion, background) combinations that training never shows."""
    return (3 * colour + 7 * kind + 11 * motion + 13 * background) % 10 == 4


def draw(n: int, rng: np.random.Generator, training: bool = False) -> Scenes:
    """N random scenes, uniform over the attributes; with `training` the held-out combinations are drawn again."""
    names = (COLOUR_NAMES, KIND_NAMES, MOTION_NAMES, BACKGROUND_NAMES)
    attributes = np.stack([rng.integers(0, len(group), n) for group in names])
    while training and (bad := held_out(*attributes)).any():
        attributes[:, bad] = np.stack([rng.integers(0, len(group), int(bad.sum())) for group in names])
    colour, kind, motion, background = attributes
    return place(colour, kind, motion, background, rng)


def place(
    colour: np.ndarray, kind: np.ndarray, motion: np.ndarray, background: np.ndarray, rng: np.random.Generator
) -> Scenes:
    """Scenes with these attributes and random geometry: paths near the centre, 3 px ahead of it along the motion."""
    n = len(colour)
    along, across = rng.uniform(-5, 5, n), rng.uniform(-9, 9, n)
    step = STEPS[motion]
    vertical = step[:, 1] != 0
    return Scenes(
        colour=colour,
        kind=kind,
        motion=motion,
        background=background,
        radius=rng.uniform(11.5, 13.5, n).astype(np.float32),
        speed=rng.uniform(1.8, 2.4, n).astype(np.float32),
        centre_x=(SIZE / 2 + np.where(vertical, across, along) + 3 * step[:, 0]).astype(np.float32),
        centre_y=(
            SIZE / 2 + np.where(vertical, along, across * np.where(motion == FLOATING, 0.6, 1)) + 3 * step[:, 1]
        ).astype(np.float32),
        horizon=(HORIZON[background] + rng.uniform(-2.5, 2.5, n)).astype(np.float32),
        hill_phase=rng.uniform(0, 2 * np.pi, (n, 2)).astype(np.float32),
        glow_x=rng.uniform(20, 44, n).astype(np.float32),
        bob_phase=rng.uniform(0, 2 * np.pi, n).astype(np.float32),
    )


def positions(scenes: Scenes, frames: int = FRAMES) -> np.ndarray:
    """The subject's centre in every frame, [N, F, 2] as (x, y) in pixels."""
    time = np.arange(frames, dtype=np.float32) - (frames - 1) / 2
    path = STEPS[scenes.motion][:, None] * (scenes.speed[:, None] * time)[..., None]
    path = path + np.stack([scenes.centre_x, scenes.centre_y], -1)[:, None]
    bob = np.sin(2 * np.pi * time / FRAMES + scenes.bob_phase[:, None]) * (scenes.motion == FLOATING)[:, None]
    path[..., 1] += bob
    return path.astype(np.float32)


def backdrops(scenes: Scenes) -> torch.Tensor:
    """The backgrounds without subjects, [N, 3, 64, 64] in 0..255."""
    y = torch.arange(SIZE, dtype=torch.float32)[None, :, None] + 0.5
    x = torch.arange(SIZE, dtype=torch.float32)[None, None, :] + 0.5
    colours = torch.from_numpy(SKY_GROUND[scenes.background])[..., None, None]
    phase = torch.from_numpy(scenes.hill_phase)[..., None, None]
    hills = torch.sin(x * 0.11 + phase[:, 0]) + 0.5 * torch.sin(x * 0.23 + phase[:, 1])
    horizon = (
        torch.from_numpy(scenes.horizon)[:, None, None]
        + torch.from_numpy(HILLS[scenes.background])[:, None, None] * hills / 1.5
    )
    sky_share = (y / horizon).clamp(0, 1)[:, None]
    ground_share = ((y - horizon) / (SIZE - horizon)).clamp(0, 1)[:, None]
    sky = colours[:, 0] + (colours[:, 1] - colours[:, 0]) * sky_share
    ground = colours[:, 2] + (colours[:, 3] - colours[:, 2]) * ground_share
    sunset = torch.from_numpy((scenes.background == BACKGROUND_NAMES.index("sunset")).astype(np.float32))[:, None, None]
    distance = (x - torch.from_numpy(scenes.glow_x)[:, None, None]) ** 2 + (y - horizon) ** 2
    glow = (sunset * torch.exp(-distance / (2 * 9.0**2)))[:, None] * torch.from_numpy(GLOW)[None, :, None, None]
    edge = torch.sigmoid((y - horizon) / 0.6)[:, None]
    return (sky + (ground - sky) * edge + glow).clamp(0, 255)


def render(scenes: Scenes, frames: int = FRAMES, only: np.ndarray | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures [N, F, 3, 64, 64] in 0..255 (float32) and subject masks [N, F, 1, 64, 64] in 0..1.

    `only` [N] picks one frame index a scene (then F is 1).
    """
    path = positions(scenes, frames)
    path = path if only is None else path[np.arange(len(scenes)), only][:, None]
    n, f = path.shape[:2]
    axis = np.arange(SIZE, dtype=np.float32) + 0.5
    radius = scenes.radius[:, None, None]
    gx = torch.from_numpy((axis[None, None] - path[..., :1]) / radius)[:, :, None, :].expand(n, f, SIZE, SIZE)
    gy = torch.from_numpy((axis[None, None] - path[..., 1:]) / radius)[:, :, :, None].expand(n, f, SIZE, SIZE)
    grid = torch.stack([gx, gy], -1).reshape(n * f, SIZE, SIZE, 2) / TEMPLATE_EXTENT
    masks = torch.from_numpy(templates())[torch.from_numpy(scenes.kind)].repeat_interleave(f, 0)[:, None]
    alpha = functional.grid_sample(masks, grid, align_corners=False).reshape(n, f, 1, SIZE, SIZE)
    shade = (1 - 0.16 * (0.6 * gx + 0.9 * gy)).clamp(0.74, 1.16)[:, :, None]
    subject = (torch.from_numpy(PALETTE[scenes.colour])[:, None, :, None, None] * shade).clamp(0, 255)
    return backdrops(scenes)[:, None] * (1 - alpha) + subject * alpha, alpha


def frames_uint8(scenes: Scenes, frames: int = FRAMES) -> np.ndarray:
    """The clips as uint8 [N, F, H, W, 3], the form that the reader and the measures take."""
    return render(scenes, frames)[0].round().to(torch.uint8).permute(0, 1, 3, 4, 2).numpy()


def prompt_of(colour: int, kind: int, motion: int, background: int) -> str:
    """The plain caption of these attributes: the first form of each part."""
    return f"a {COLOUR_NAMES[colour]} {KIND_NAMES[kind]} {_MOVES[motion][0]} {_PLACES[background][0]}"


def phase_of(frame: int, frames: int = FRAMES) -> str:
    """Which third of the clip a frame is in: start, middle or end."""
    return tuple(PHASES)[min(frame * 3 // frames, 2)]


def caption(scenes: Scenes, index: int, rng: np.random.Generator, phase: str = "", drop: float = 0.05) -> str:
    """A random caption of one scene: any wording, either order, each part left out with probability `drop`."""
    subject = f"{COLOUR_NAMES[scenes.colour[index]]} {KIND_NAMES[scenes.kind[index]]}"
    subject = KIND_NAMES[scenes.kind[index]] if rng.random() < drop else subject
    move = "" if rng.random() < drop else str(rng.choice(_MOVES[scenes.motion[index]]))
    where = "" if rng.random() < drop else str(rng.choice(_PLACES[scenes.background[index]]))
    article = "the" if rng.random() < 0.2 else "a"
    parts = [article, subject, f"{move} {phase}" if move else "", where]
    if rng.random() < 0.25:
        parts = [where, article, subject, f"{move} {phase}" if move else ""]
    return " ".join(" ".join(parts).split())


def sheet(rows: list[np.ndarray], captions: list[str], scale: int = 2) -> np.ndarray:
    """A contact sheet, uint8 [H, W, 3]: a row a clip (uint8 [F, H, W, 3]), its caption above it."""
    from PIL import Image, ImageDraw

    width = max(row.shape[0] for row in rows) * (SIZE * scale + 2)
    canvas = Image.new("RGB", (width, len(rows) * (SIZE * scale + 16)), "white")
    pen = ImageDraw.Draw(canvas)
    for r, (row, text) in enumerate(zip(rows, captions, strict=True)):
        top = r * (SIZE * scale + 16)
        pen.text((2, top + 2), text, fill="black")
        for f, frame in enumerate(row):
            tile = Image.fromarray(frame).resize((SIZE * scale, SIZE * scale), Image.Resampling.BICUBIC)
            canvas.paste(tile, (f * (SIZE * scale + 2), top + 15))
    return np.asarray(canvas)


def main(argv: list[str] | None = None) -> None:
    """Write a contact sheet of sample scenes."""
    from PIL import Image

    parser = argparse.ArgumentParser(
        prog="python -m shots.pocket.scenes", description="Write a contact sheet of sample scenes."
    )
    parser.add_argument("out", type=Path, help="PNG file to write")
    parser.add_argument("--n", type=int, default=12, help="number of scenes (default 12)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the scenes (default 0)")
    options = parser.parse_args(argv)
    rng = np.random.default_rng(options.seed)
    scenes = draw(options.n, rng)
    captions = [caption(scenes, index, rng, drop=0.0) for index in range(options.n)]
    Image.fromarray(sheet(list(frames_uint8(scenes)), captions)).save(options.out)
    print(f"{options.out}: {options.n} scenes")


if __name__ == "__main__":
    main()
