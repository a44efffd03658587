"""A six-clip chain in lockstep against the same chain one clip after another; and what the chain costs at all."""

from __future__ import annotations

import statistics
import time

from shots.models import describe
from shots.spec import ClipSpec, Recipe, Sampler

from . import Result, Row


def chain(clips: int, steps: int) -> list[ClipSpec]:
    """Consecutive clips of one pocket chain."""
    ref = describe("pocket").ref()
    specs: list[ClipSpec] = []
    for index in range(clips):
        before = specs[-1].key if specs else None
        prompt = "a red boat floating over the sea by day"
        specs.append(ClipSpec(ref, 64, 64, 8, prompt, "", 5, index, Sampler(steps=steps), Recipe(), before))
    return specs


def measure(quick: bool) -> Result:
    """Both ways alternate, so that a busy machine disturbs them alike; the median of the pairs counts."""
    from shots.shoot import Footage, load, shoot

    specs = chain(6, 5 if quick else 25)
    model = load(describe("pocket"))
    list(shoot(specs[:1], model))  # warm: captures, thread pools, memory
    ratios, together, apart, equal = [], [], [], True
    for _ in range(2 if quick else 5):
        began = time.perf_counter()
        group = list(shoot(specs, model))
        middle = time.perf_counter()
        tail, single = None, list[Footage]()
        for spec in specs:
            single += shoot([spec], model, tail)
            tail = single[-1].tail
        ended = time.perf_counter()
        together.append(middle - began)
        apart.append(ended - middle)
        ratios.append(apart[-1] / together[-1])
        equal &= all((a.frames == b.frames).all() for a, b in zip(group, single, strict=True))
    model.close()
    rows = [
        Row(
            "six clips in lockstep",
            f"{statistics.median(together):.2f} s",
            f"{statistics.median(apart):.2f} s one after another, {statistics.median(ratios):.2f} times as long",
            "report",
        ),
        Row("same frames", str(equal), "", "True", equal),
    ]
    return Result("lockstep", rows, [f"{specs[0].sampler.steps} steps, CFG, pocket model, {model.threads} threads"])
