"""What each method costs on each family: network evaluations, and wall time against two rivals in the same run.

    longtake bench methods
    longtake bench methods --model ID        a model of your own

The rivals: the stock diffusers pipeline with CFG alone, clip after clip; and the same method done the straightforward
way, which is three full passes for skip guidance and one clip after another for a chain. Without a GPU the families
are small networks with made-up weights; with one, LTX-Video, Wan and AnimateDiff as large as the published ones.
"""

from __future__ import annotations

import itertools
import logging
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial, partialmethod
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from shots.price import bill
from shots.spec import ClipSpec

from . import Result, Row
from .subjects import SCALE, Subject, chosen, embedded, full, small

if TYPE_CHECKING:
    from shots.shoot import LastPicture, Tail

log = logging.getLogger("longtake.bench")


def measure(quick: bool, model: str | None = None) -> Result:
    """The embedded models and every family, or the one model that is named."""
    import torch

    gpu = torch.cuda.is_available()
    steps, times = (4, 1) if quick else (25, 3)
    few = 4 if quick else 8
    if model is not None:
        subjects, notes = [chosen(model, steps)], [f"{model}: {steps} steps"]
    elif gpu:
        subjects, notes = [full(few)], [f"{few} steps in bfloat16, made-up weights; text encoders are not measured"]
    else:
        subjects = [embedded(steps), small(few)]
        notes = [f"pocket models: {steps} steps; families: {few} steps, small networks with made-up weights"]
    times = 1 if gpu else times
    lengths = (1, 2, 4, 8) if gpu else (4,)
    rows = []
    for subject in itertools.chain.from_iterable(subjects):
        for row in rows_of(subject, times, lengths):
            log.info("%s: %s; %s", row.what, row.value, row.rival)
            rows.append(row)
    return Result("methods", rows, [*notes, f"one clip unless told; median of {times}; stock: CFG {SCALE:g}"])


def rows_of(subject: Subject, times: int, lengths: Sequence[int]) -> Iterator[Row]:
    """Everything about one model, which is closed in the end. lengths: of the chains, in clips."""
    try:
        yield from _methods(subject, times)
        yield from _chains(subject, times, lengths)
        yield from _ladder(subject, times)
    finally:
        subject.close()


def _methods(subject: Subject, times: int) -> Iterator[Row]:
    name, recipes = subject.name, subject.recipes()
    plain, _ = timed(subject.stock(), times)
    yield Row(f"{name}: stock pipeline, CFG", f"{plain:.2f} s")
    for method, recipe in recipes.items():
        (spec,) = subject.clips(recipe)
        taken, _ = timed(partial(_shot, subject, [spec]), times)
        rival = f"{taken / plain:.2f} times stock"
        if recipe.stg is not None:
            with _three_full_passes():
                full_passes, _ = timed(partial(_shot, subject, [spec]), times)
            rival += f"; {full_passes:.2f} s with three full passes ({taken / full_passes:.2f})"
        levels, distilled = subject.card.grid(spec), subject.card.traits.distilled
        yield Row(f"{name}: {method}", f"{sum(bill(spec, distilled, levels).values())} NFE, {taken:.2f} s", rival)
    if "STG" in recipes:
        yield _skipping(subject, subject.clips(recipes["STG"])[0], times)


def _chains(subject: Subject, times: int, lengths: Sequence[int]) -> Iterator[Row]:
    """Chains in lockstep against the same chain clip after clip, and against stock clips that are not chained."""
    for length in lengths:
        chain = subject.clips(subject.recipes()["VidRD"], length)
        together, share = timed(partial(_shot, subject, chain), times)
        memory = _peak_memory(subject, partial(_shot, subject, chain))
        apart, _ = timed(partial(_one_after_another, subject, chain), times)
        stock = subject.stock()
        one_by_one, _ = timed(lambda stock=stock, n=length: [stock() for _ in range(n)], times)  # type: ignore[misc]
        goal = subject.model.device.type == "cuda"
        yield Row(
            f"{subject.name}: {length} chained clips in lockstep",
            f"{together:.2f} s, {share:.3f} of it in networks and VAE{memory}",
            f"{apart:.2f} s clip after clip ({together / apart:.2f}); {one_by_one:.2f} s for as many unchained ones by"
            f" the stock pipeline ({together / one_by_one:.2f})",
            ">= 0.97 in networks and VAE" if goal else "",
            share >= 0.97 if goal else None,
        )


def _ladder(subject: Subject, times: int) -> Iterator[Row]:
    """What each rung of the memory ladder costs, on an accelerator: on a CPU there is one place for everything.

    The last rung is not left again, so nothing else can be measured after it.
    """
    from shots.memory import RUNGS

    if subject.model.pool is not None:
        return
    recipes = subject.recipes()
    clip = subject.clips(recipes.get("STG", recipes["CFG"]))
    first = 0.0
    for rung, told in enumerate(RUNGS):
        subject.model.settle(rung)
        taken, _ = timed(partial(_shot, subject, clip), times)
        memory = _peak_memory(subject, partial(_shot, subject, clip))
        first = first or taken
        yield Row(f"{subject.name}: rung {rung}, {told}", f"{taken:.2f} s{memory}", f"{taken / first:.2f} times rung 0")


def timed(work: Callable[[], Any], times: int) -> tuple[float, float]:
    """Medians, after one run to warm up: seconds of `work`, and the share of them that it returns, if it tells any."""
    work()
    taken, shares = [], []
    for _ in range(times):
        began = time.perf_counter()
        told = work()
        taken.append(time.perf_counter() - began)
        shares.append(told / taken[-1] if isinstance(told, float) else 0.0)
    return statistics.median(taken), statistics.median(shares)


def _shot(subject: Subject, specs: list[ClipSpec]) -> float:
    """Clips in lockstep; the seconds that they were in networks and VAE."""
    from shots.shoot import shoot

    made = list(shoot(specs, subject.model, others=subject.models))
    return sum(footage.seconds["network"] + footage.seconds["vae"] for footage in made)


def _one_after_another(subject: Subject, chain: list[ClipSpec]) -> None:
    from shots.shoot import shoot

    tail: Tail | LastPicture | None = None
    for spec in chain:
        (footage,) = shoot([spec], subject.model, tail)
        tail = footage.tail


def _peak_memory(subject: Subject, work: Callable[[], Any]) -> str:
    """The most that an accelerator held during one more run; nothing is told of a CPU."""
    import torch

    device = subject.model.device
    if device.type != "cuda":
        return ""
    torch.cuda.reset_peak_memory_stats(device)
    work()
    return f", at most {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB"


@contextmanager
def _three_full_passes() -> Iterator[None]:
    """Within, a perturbed pass of STG runs the whole network, as published: nothing of the conditional one is kept."""
    from shots.backbones.skip import Skipping

    with patch.object(Skipping, "perturbed", partialmethod(Skipping.perturbed, reuse=False)):
        yield


def _skipping(subject: Subject, spec: ClipSpec, times: int) -> Row:
    """A perturbed pass with and without the prefix that it shares with the conditional one, and their bits."""
    import torch

    from shots.backbones.skip import Skip, skipping

    backbone, device = subject.model.backbone, subject.model.device
    call = backbone.capture(spec.prompt, spec.width, spec.height, spec.frames, spec.sampler.steps)
    level = call.levels[1]
    x = torch.randn(1, *call.shape, generator=torch.Generator().manual_seed(1)).to(device)
    made: dict[bool, torch.Tensor] = {}

    def passes(reuse: bool) -> float:
        def run() -> torch.Tensor:
            output: torch.Tensor = backbone.evaluate(x, level, [call])
            return output

        def one() -> None:
            skipped.conditional(run)
            _wait(device)
            began = time.perf_counter()
            made[reuse] = skipped.perturbed(run, reuse=reuse)
            _wait(device)
            spent.append(time.perf_counter() - began)

        spent: list[float] = []
        with torch.inference_mode(), skipping(list(backbone.networks.values()), Skip()) as skipped:
            for _ in range(3 + 5 * times):
                one()
        return statistics.median(spent[2:])

    shared, whole = passes(True), passes(False)
    same = bool(torch.equal(made[True], made[False]))
    return Row(
        f"{subject.name}: perturbed pass of STG, prefix reused",
        f"{1000 * shared:.1f} ms",
        f"{1000 * whole:.1f} ms in full ({shared / whole:.2f}), same bits: {same}",
        "same bits",
        same,
    )


def _wait(device: Any) -> None:
    """Until an accelerator has done what it was told."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
