"""Each method alone on the pocket model, over many prompts: does the clip show what was asked, and how steady is it?

    longtake bench quality
    python -m director.bench.quality --n 10 --steps 16        the same as a table for docs/methods.md

One picture shows what a method does, and proves nothing. These are the marks of `shots.pocket.evaluate`, read from the
pixels, with standard errors; prompts and seeds are the same for all methods, so `steadier` counts pairs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace

from shots.models import describe
from shots.pocket.evaluate import Prompt, Score, prompts, score
from shots.pocket.measures import Estimate, estimate
from shots.shoot import load, shoot
from shots.spec import Cfg, CfgPlusPlus, ClipSpec, IvMixed, ModelRef, NoChain, Pyoco, Recipe, Sampler, Stg, VideoGuide

from . import Result, Row, machine

COLUMNS = {
    "all parts": "as asked",
    "area_jitter": "area jitter",
    "acceleration": "acceleration, px",
    "flicker": "flicker",
    "overlap": "outline",
    "nfe": "NFE",
    "steadier": "steadier than without",
}


def recipes() -> dict[str, Recipe]:
    """The methods with their defaults, and those whose defaults do not suit a small model also in a milder form."""
    bare = Recipe(Cfg(), chain=NoChain())
    image, teacher = describe("pocket-image").ref(), describe("pocket-teacher").ref()
    return {
        "without methods": bare,
        "CFG++ 0.6": replace(bare, guidance=CfgPlusPlus()),
        "PYoCo progressive, alpha 0.3": replace(bare, prior=Pyoco()),
        "PYoCo progressive, alpha 2 (as published)": replace(bare, prior=Pyoco(alpha=2.0)),
        "STG 1": replace(bare, stg=Stg()),
        "VideoGuide by itself, I 5, tau 10": replace(bare, videoguide=VideoGuide()),
        "VideoGuide by itself, I 2, tau 3, no refresh": replace(bare, videoguide=_mild()),
        "VideoGuide by pocket-teacher, I 2, tau 3, no refresh": replace(bare, videoguide=_mild(teacher)),
        "IV-Mixed": replace(bare, iv_mixed=IvMixed(image)),
    }


def _mild(teacher: ModelRef | None = None) -> VideoGuide:
    return VideoGuide(teacher, steps=2, tau=3, low_pass=False)


Found = dict[str, dict[str, Estimate]]
"""Method -> mark -> mean over the prompts with its standard error."""


def compare(n: int, steps: int, seed: int = 1) -> Iterator[Found]:
    """The marks after each prompt, over all so far; so a long run can be looked at, and stopped."""
    models = {ref: load(ref, device="cpu", threads=1) for ref in _models()}
    methods = recipes()
    made: dict[str, list[Score]] = {name: [] for name in methods}
    price: dict[str, int] = {}
    try:
        for number, prompt in enumerate(prompts(n, seed)):
            for name, recipe in methods.items():
                spec = _spec(recipe, prompt, number, steps)
                (footage,) = shoot([spec], models[spec.model], others=models)
                price[name] = footage.nfe
                made[name].append(score(footage.frames, prompt.truth))
            bare = made["without methods"]
            yield {name: _marks(scores, bare, price[name]) for name, scores in made.items()}
    finally:
        for model in models.values():
            model.close()


def _models() -> list[ModelRef]:
    return [describe(name).ref() for name in ("pocket", "pocket-image", "pocket-teacher")]


def _spec(recipe: Recipe, prompt: Prompt, seed: int, steps: int) -> ClipSpec:
    ref = describe("pocket").ref()
    return ClipSpec(ref, 64, 64, 8, prompt.text, "", 50_000 + seed, 0, Sampler(steps=steps), recipe)


def _marks(scores: list[Score], bare: list[Score], nfe: int) -> dict[str, Estimate]:
    found = {"all parts": estimate(float(one.right["all parts"]) for one in scores)}
    for name in ("area_jitter", "acceleration", "flicker", "overlap"):
        found[name] = estimate(getattr(one.steady, name) for one in scores)
    pairs = zip(scores, bare, strict=True)
    wins = [float(a.steady.area_jitter < b.steady.area_jitter) for a, b in pairs if a is not b]
    return found | {"nfe": Estimate(float(nfe), 0.0, len(scores)), "steadier": estimate(wins)}


def measure(quick: bool) -> Result:
    """All methods, as rows of their marks."""
    n, steps = (4, 4) if quick else (10, 16)
    *_, found = compare(n, steps)
    rows = [
        Row(name, ", ".join(f"{label} {_cell(marks[c], c)}" for c, label in COLUMNS.items() if marks[c].n))
        for name, marks in found.items()
    ]
    return Result("quality", rows, [f"pocket, {n} prompts, {steps} steps, CFG 3; mean ± standard error"])


def markdown(found: Found) -> str:
    """The comparison as a table for the docs."""
    head = "| method | " + " | ".join(COLUMNS.values()) + " |\n|" + "---|" * (len(COLUMNS) + 1) + "\n"
    rows = (f"| {name} | " + " | ".join(_cell(marks[c], c) for c in COLUMNS) + " |" for name, marks in found.items())
    return head + "\n".join(rows) + "\n"


def _cell(found: Estimate, name: str) -> str:
    if not found.n:
        return ""
    places = {"area_jitter": 4, "flicker": 4, "overlap": 3, "nfe": 0}.get(name, 2)
    return f"{found.mean:.{places}f}" + (f" ± {found.error:.{places}f}" if found.error else "")


def main() -> None:
    """Measure and print the table, with the machine and what was run above it."""
    parser = argparse.ArgumentParser(
        prog="python -m director.bench.quality", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--n", type=int, default=10, help="prompts (default 10)")
    parser.add_argument("--steps", type=int, default=16, help="sampler steps (default 16)")
    options = parser.parse_args()
    date, began = time.strftime("%Y-%m-%d", time.gmtime()), time.monotonic()
    print(f"{machine()}, {date}; {options.steps} steps, CFG 3")
    for number, found in enumerate(compare(options.n, options.steps), 1):
        print(f"\n{number} of {options.n} prompts, {time.monotonic() - began:.0f} s\n\n{markdown(found)}", flush=True)


if __name__ == "__main__":
    main()
