"""Kinds of continuity on the pocket models: seams, mirror-likeness and motion, with standard errors.

    longtake bench continuity
    python -m director.bench.continuity --seeds 2 --steps 12        the same as a table for docs/chaining.md

A seam measure alone would crown a chain that plays backwards, because its joins are smooth. So mirror-likeness stands
beside it, and how much the subject moves at all.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from shots.models import ModelCard, describe
from shots.pocket.measures import Estimate, chain_report, estimate
from shots.shoot import Model, load, shoot
from shots.spec import Anchor, Chain, ClipSpec, FreeNoise, Iid, NoChain, Prior, Recipe, Sampler, VidRD, Windows

from ..ablation import linked
from . import Result, Row, machine

CLIPS = 4
PROMPTS = (
    "a red boat floating over the sea by day",
    "a yellow moon floating in the night sky",
    "a green star floating over a green meadow",
    "a blue ball floating over the snow",
    "a purple boat moving left over the sea at sunset",
    "a yellow star rising in the night sky",
    "a red ball moving right over the snow",
    "a blue boat moving right over the sea by day",
)


@dataclass(frozen=True)
class Way:
    """One row: a kind of continuity with its settings, and the prior that goes with it."""

    name: str
    chain: Chain
    prior: Prior = field(default=Iid())


WAYS: dict[str, tuple[Way, ...]] = {
    "pocket": (
        Way("none", NoChain()),
        Way("windows, M 4", Windows(4)),
        Way("windows, M 4, FreeNoise", Windows(4), FreeNoise()),
        Way("VidRD reverse, staged, M 4, beta 0.4 (as published)", VidRD(4, 4.0, 0.4, "staged", "reverse")),
        Way("VidRD forward, staged, M 4, beta 0.4", VidRD(4, 4.0, 0.4, "staged", "forward")),
        Way("VidRD forward, every step, M 4 (default)", VidRD(4, 4.0, 1.0, "constant", "forward")),
        Way("VidRD forward, every step, M 2", VidRD(2, 4.0, 1.0, "constant", "forward")),
        Way("VidRD forward, every step, M 4, alpha 0", VidRD(4, 0.0, 1.0, "constant", "forward")),
    ),
    "pocket-dit": (
        Way("none", NoChain()),
        Way("windows, M 1", Windows(1)),
        Way("windows, M 1, FreeNoise", Windows(1), FreeNoise()),
        Way("VidRD forward, M 1, beta 0.4", VidRD(1, 4.0, 0.4, "staged", "forward")),
        Way("VidRD forward, every step, M 1", VidRD(1, 4.0, 1.0, "constant", "forward")),
        Way("VidRD forward, every step, M 2", VidRD(2, 4.0, 1.0, "constant", "forward")),
        Way("anchor", Anchor()),
    ),
}
"""The image UNet with motion modules has a latent frame a picture; the transformer's causal VAE packs four into one,
so reverse order is refused there, and M of its three latent frames are 1 + 4 (M - 1) pictures. Only the transformer can
begin with a picture, so only it can be anchored."""

COLUMNS = {
    "seam_ratio": "seam ratio",
    "jump_px": "jump, px",
    "mirror_motion": "mirror motion",
    "mirror_pixels": "mirror pixels",
    "dynamic_degree": "motion, px a frame",
    "same_kind": "same kind",
    "nfe_a_frame": "NFE a frame",
}


def compare(name: str, seeds: int, steps: int) -> Iterator[tuple[Way, dict[str, Estimate]]]:
    """Way after way: measure -> mean over prompts and seeds with its standard error; the same prompts for all."""
    card = describe(name)
    model = load(card, device="cpu", threads=1)
    try:
        for way in WAYS[name]:
            reports = [film(model, specs) for specs in _chains(card, way, seeds, steps)]
            yield way, {column: estimate(report[column] for report in reports) for column in COLUMNS}
    finally:
        model.close()


def film(model: Model, specs: list[ClipSpec]) -> dict[str, float]:
    """What is measured of one chain: of the frames that the cut keeps, at the places where its clips begin."""
    made = list(shoot(specs, model))
    kept = [footage.frames[footage.spec.dropped :] for footage in made]
    frames = np.concatenate(kept)
    starts = [0, *np.cumsum([len(part) for part in kept])[:-1].tolist()]
    per_frame = made[-1].nfe / len(kept[-1])
    return chain_report(frames, starts) | {"nfe_a_frame": per_frame}


def _chains(card: ModelCard, way: Way, seeds: int, steps: int) -> Iterator[list[ClipSpec]]:
    recipe = Recipe(prior=way.prior, chain=way.chain)
    for number, prompt in enumerate(PROMPTS):
        for seed in range(seeds):
            told = (prompt, "", 1000 * number + seed)
            yield linked(
                ClipSpec(card.ref(), 64, 64, card.frames_native, *told, index, Sampler(steps=steps), recipe)
                for index in range(CLIPS)
            )


def measure(quick: bool) -> Result:
    """All ways, as rows of the measures that decide."""
    seeds, steps = (1, 4) if quick else (2, 12)
    rows = [
        Row(f"{name}: {way.name}", ", ".join(f"{COLUMNS[c]} {_cell(e)}" for c, e in found.items()))
        for name in WAYS
        for way, found in compare(name, seeds, steps)
    ]
    return Result("continuity", rows, [f"{_size(seeds, steps)}; mean ± standard error over chains"])


def _size(seeds: int, steps: int) -> str:
    return f"{CLIPS} clips a chain, {len(PROMPTS)} prompts with {seeds} seeds each, {steps} steps, CFG 3"


def _cell(found: Estimate) -> str:
    """A price is no estimate: it is the same in every chain."""
    return f"{found.mean:.3g}" if found.error == 0 else f"{found.mean:.2f} ± {found.error:.2f}"


def main() -> None:
    """Measure and print the tables, with the machine and what was run above them."""
    parser = argparse.ArgumentParser(
        prog="python -m director.bench.continuity", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--seeds", type=int, default=2, help="chains for each prompt (default 2)")
    parser.add_argument("--steps", type=int, default=12, help="sampler steps (default 12)")
    parser.add_argument("--model", choices=list(WAYS), nargs="+", default=list(WAYS), help="default: both")
    options = parser.parse_args()
    began = time.monotonic()
    print(f"{machine()}, {time.strftime('%Y-%m-%d', time.gmtime())}; {_size(options.seeds, options.steps)}\n")
    for name in options.model:
        print(f"| {name} | " + " | ".join(COLUMNS.values()) + " |\n|" + "---|" * (len(COLUMNS) + 1))
        for way, found in compare(name, options.seeds, options.steps):
            print(f"| {way.name} | " + " | ".join(map(_cell, found.values())) + " |", flush=True)
        print(f"\n{time.monotonic() - began:.0f} s\n")


if __name__ == "__main__":
    main()
