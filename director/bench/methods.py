"""Each method on the embedded models: its price, its wall time against plain CFG, and against doing it the plain way.

Rivals in the same run: the stock diffusers pipeline with CFG alone, clip after clip; and for skip guidance three full
passes instead of a shared prefix.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial, partialmethod
from typing import Any
from unittest.mock import patch

from shots.models import ModelCard, describe
from shots.price import bill
from shots.spec import CfgPlusPlus, ClipSpec, IvMixed, ModelRef, NoChain, Pyoco, Recipe, Sampler, Stg, VideoGuide, VidRD

from . import Result, Row

PROMPT = "a red boat floating over the sea by day"
CLIPS = 4


def recipes(card: ModelCard) -> dict[str, Recipe]:
    """The methods that the model takes, each alone."""
    half = card.latent_frames(card.frames_native) // 2
    found = {
        "CFG": Recipe(chain=NoChain()),
        "CFG++": Recipe(CfgPlusPlus(), chain=NoChain()),
        "PYoCo": Recipe(prior=Pyoco(), chain=NoChain()),
        "VidRD": Recipe(chain=VidRD(half)),
        "STG": Recipe(chain=NoChain(), stg=Stg()),
        "VideoGuide (I 3, tau 3)": Recipe(chain=NoChain(), videoguide=VideoGuide(steps=3, tau=3)),
    }
    if card.frames_per_latent == 1:
        found["IV-Mixed"] = Recipe(chain=NoChain(), iv_mixed=IvMixed(describe("pocket-image").ref()))
    return found


def specs_of(card: ModelCard, recipe: Recipe, steps: int, clips: int = 1) -> list[ClipSpec]:
    """Consecutive clips of one shot."""
    made: list[ClipSpec] = []
    width, height = card.size_native if card.id == "pocket" else (64, 64)
    for index in range(clips):
        before = made[-1].key if made and isinstance(recipe.chain, VidRD) else None
        spec = ClipSpec(
            card.ref(), width, height, card.frames_native, PROMPT, "", 5, index, Sampler("ddim", steps), recipe
        )
        made.append(replace(spec, previous=before))
    return made


def timed(work: Callable[[], Any], times: int) -> float:
    """Median seconds of `work`, after one run to warm up."""
    work()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def stock(model: Any, spec: ClipSpec) -> Callable[[], Any]:
    """The clip by the pipeline's own call, with CFG."""
    import torch

    def call() -> Any:
        generator = torch.Generator().manual_seed(spec.seed)
        size = {"width": spec.width, "height": spec.height, "num_frames": spec.frames}
        steps = {"num_inference_steps": spec.sampler.steps, "guidance_scale": 3.0}
        return model.pipe(PROMPT, negative_prompt="", generator=generator, output_type="np", **size, **steps)

    return call


def measure(quick: bool) -> Result:
    """The two embedded video models."""
    steps, times = (4, 1) if quick else (25, 3)
    rows = [row for name in ("pocket", "pocket-dit") for row in _model(name, steps, times)]
    return Result("methods", rows, [f"one clip, {steps} steps, one sample a thread, median of {times}; stock: CFG 3"])


def _model(name: str, steps: int, times: int) -> Iterator[Row]:
    from shots.shoot import load, shoot

    card = describe(name)
    models = {ref: load(ref) for ref in (card.ref(), describe("pocket-image").ref())}
    model = models[card.ref()]
    plain = timed(stock(model, specs_of(card, Recipe(chain=NoChain()), steps)[0]), times)
    yield Row(f"{name}: stock pipeline, CFG", f"{plain:.2f} s")
    for method, recipe in recipes(card).items():
        (spec,) = specs_of(card, recipe, steps)
        taken = timed(partial(_shot, spec, models), times)
        rival = f"{taken / plain:.2f} times stock"
        if recipe.stg is not None:
            with _three_full_passes():
                full = timed(partial(_shot, spec, models), times)
            rival += f"; {full:.2f} s with three full passes ({taken / full:.2f})"
        yield Row(f"{name}: {method}", f"{sum(bill(spec).values())} NFE, {taken:.2f} s", rival)
    yield _skipping(name, model, specs_of(card, Recipe(chain=NoChain(), stg=Stg()), steps)[0], times)
    chain = specs_of(card, recipes(card)["VidRD"], steps, CLIPS)
    together = timed(lambda: list(shoot(chain, model)), times)
    apart = timed(lambda: _one_after_another(chain, model), times)
    one_by_one = timed(lambda: [stock(model, spec)() for spec in chain], times)
    yield Row(
        f"{name}: {CLIPS} chained clips in lockstep",
        f"{together:.2f} s",
        f"{apart:.2f} s clip after clip; {one_by_one:.2f} s for as many unchained ones by the stock pipeline",
    )
    for each in models.values():
        each.close()


def _shot(spec: ClipSpec, models: dict[ModelRef, Any]) -> None:
    from shots.shoot import shoot

    list(shoot([spec], models[spec.model], others=models))


def _one_after_another(chain: list[ClipSpec], model: Any) -> None:
    from shots.shoot import LastPicture, Tail, shoot

    tail: Tail | LastPicture | None = None
    for spec in chain:
        (footage,) = shoot([spec], model, tail)
        tail = footage.tail


@contextmanager
def _three_full_passes() -> Iterator[None]:
    """Within, a perturbed pass of STG runs the whole network, as published: nothing of the conditional one is kept."""
    from shots.backbones.skip import Skipping

    with patch.object(Skipping, "perturbed", partialmethod(Skipping.perturbed, reuse=False)):
        yield


def _skipping(name: str, model: Any, spec: ClipSpec, times: int) -> Row:
    """A perturbed pass with and without the prefix that it shares with the conditional one, and their bits."""
    import torch

    from shots.backbones.skip import Skip, skipping

    call = model.backbone.capture(spec.prompt, spec.width, spec.height, spec.frames, spec.sampler.steps)
    level = call.levels[1]
    x = torch.randn(1, *call.shape, generator=torch.Generator().manual_seed(1))
    made: dict[bool, torch.Tensor] = {}

    def passes(reuse: bool) -> float:
        def run() -> torch.Tensor:
            output: torch.Tensor = model.backbone.evaluate(x, level, [call])
            return output

        def one() -> None:
            skipped.conditional(run)
            began = time.perf_counter()
            made[reuse] = skipped.perturbed(run, reuse=reuse)
            spent.append(time.perf_counter() - began)

        spent: list[float] = []
        with torch.inference_mode(), skipping(list(model.backbone.networks.values()), Skip()) as skipped:
            for _ in range(3 + 5 * times):
                one()
        return statistics.median(spent[2:])

    shared, full = passes(True), passes(False)
    same = bool(torch.equal(made[True], made[False]))
    return Row(
        f"{name}: perturbed pass of STG, prefix reused",
        f"{1000 * shared:.1f} ms",
        f"{1000 * full:.1f} ms in full ({shared / full:.2f}), same bits: {same}",
    )
