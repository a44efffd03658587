"""Ways of chaining on the pocket model: seams, mirror-likeness, motion and drift, with standard errors.

A seam measure alone would crown a chain that plays backwards, because its joins are smooth. So mirror-likeness
stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from shots.models import describe
from shots.pocket.measures import Estimate, chain_report, estimate
from shots.shoot import Model, load, shoot
from shots.spec import Chain, ClipSpec, NoChain, Recipe, Sampler, VidRD

from . import Result, Row

CLIPS = 6
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
WAYS: dict[str, Chain] = {
    "none": NoChain(),
    "reverse, staged, M 4, beta 0.4 (as published)": VidRD(4, 4.0, 0.4, "staged", "reverse"),
    "reverse, staged, M 2, beta 0.4": VidRD(2, 4.0, 0.4, "staged", "reverse"),
    "forward, staged, M 4, beta 0.4": VidRD(4, 4.0, 0.4, "staged", "forward"),
    "forward, constant, M 4, beta 0.4": VidRD(4, 4.0, 0.4, "constant", "forward"),
    "forward, every step, M 4": VidRD(4, 4.0, 1.0, "constant", "forward"),
    "forward, every step, M 2": VidRD(2, 4.0, 1.0, "constant", "forward"),
    "forward, every step, M 4, fresh noise (alpha 0)": VidRD(4, 0.0, 1.0, "constant", "forward"),
}
COLUMNS = ("seam_ratio", "jump_px", "mirror_motion", "mirror_pixels", "dynamic_degree", "drift_tint", "same_kind")


def compare(seeds: int, steps: int) -> dict[str, dict[str, Estimate]]:
    """Way -> measure -> mean over prompts and seeds with its standard error. The same prompts and seeds for all."""
    model = load(describe("pocket"))
    found = {}
    for name, way in WAYS.items():
        reports = [chain_report(*film(model, chain)) for chain in _chains(way, seeds, steps)]
        found[name] = {column: estimate(report[column] for report in reports) for column in COLUMNS}
    model.close()
    return found


def film(model: Model, specs: list[ClipSpec]) -> tuple[np.ndarray, list[int]]:
    """The frames that the cut keeps, and where each clip begins in them."""
    kept = [footage.frames[footage.spec.dropped :] for footage in shoot(specs, model)]
    return np.concatenate(kept), [0, *np.cumsum([len(part) for part in kept])[:-1].tolist()]


def _chains(way: Chain, seeds: int, steps: int) -> Iterator[list[ClipSpec]]:
    ref = describe("pocket").ref()
    for number, prompt in enumerate(PROMPTS):
        for seed in range(seeds):
            first = ClipSpec(
                ref, 64, 64, 8, prompt, "", 1000 * number + seed, 0, Sampler(steps=steps), Recipe(chain=way)
            )
            chain = [first]
            for index in range(1, CLIPS):
                linked = None if isinstance(way, NoChain) else chain[-1].key
                chain.append(replace(first, index=index, previous=linked))
            yield chain


def measure(quick: bool) -> Result:
    """All ways, as rows of the measures that decide."""
    seeds, steps = (1, 8) if quick else (4, 25)
    rows = [Row(name, " ".join(f"{c} {e}" for c, e in found.items())) for name, found in compare(seeds, steps).items()]
    return Result("orders", rows, [f"{CLIPS} clips a chain, {len(PROMPTS)} prompts, {seeds} seeds each, {steps} steps"])


def markdown(found: dict[str, dict[str, Estimate]]) -> str:
    """The comparison as a table for the docs."""
    head = "| way | " + " | ".join(COLUMNS) + " |\n|" + "---|" * (len(COLUMNS) + 1) + "\n"
    cells = (
        f"| {name} | " + " | ".join(f"{e.mean:.2f} ± {e.error:.2f}" for e in row.values()) + " |"
        for name, row in found.items()
    )
    return head + "\n".join(cells) + "\n"


if __name__ == "__main__":
    import sys

    print(markdown(compare(int(sys.argv[1]), int(sys.argv[2]))))
