"""Real cameras on a local Ray, with one core each: independent chains, one chain on two cameras, a camera that dies."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cluster.executor import Executor
from cluster.job import ENDINGS, ClipDone, Job, JobDone, Started
from cluster.notice import seconds_to_notice
from shots.models import describe
from shots.spec import ClipSpec, Recipe, Sampler

from . import Row

CLIPS = 2
"""Clips of a job."""


def rows(quick: bool) -> list[Row]:
    """Each pool has its models loaded before the clock starts."""
    from cluster.ray_executor import OnRay

    steps = 6 if quick else 25
    with tempfile.TemporaryDirectory() as folder:
        one = OnRay(Path(folder) / "one", cameras=1, device="cpu")
        try:
            alone, alone_chain = _independent(one, 1, steps), _chained(one, 1, steps)
        finally:
            one.close()
        two = OnRay(Path(folder) / "two", cameras=2, device="cpu")
        try:
            both, both_chain = _independent(two, 2, steps), _chained(two, 2, steps)
            dead = seconds_to_notice(two, Job("dies", "f", "s", 1, chain(CLIPS, 400, 99)))
        finally:
            two.close()
    share = alone / both / 2
    return [
        Row("4 independent chains on 2 cameras: time", f"{both:.1f} s", f"{alone:.1f} s on one", "report"),
        Row("4 independent chains on 2 cameras: efficiency", f"{share:.2f}", "1.00", "report"),
        Row("one chain in 2 groups on 2 cameras: time", f"{both_chain:.1f} s", f"{alone_chain:.1f} s on one", "report"),
        Row("a camera is killed: time until its job fails", f"{dead:.2f} s", "", "report"),
    ]


def chain(clips: int, steps: int, seed: int) -> tuple[ClipSpec, ...]:
    """A chain of the pocket model."""
    model, specs = describe("pocket").ref(), list[ClipSpec]()
    for index in range(clips):
        before = specs[-1].key if specs else None
        prompt = "a red boat floating over the sea by day"
        specs.append(ClipSpec(model, 64, 64, 8, prompt, "", seed, index, Sampler(steps=steps), Recipe(), before))
    return tuple(specs)


def _warm(executor: Executor, cameras: int) -> None:
    """Short jobs until every camera has begun one: they start one after another, and the first could do all."""
    seen, count, left = set[str](), 0, set[str]()
    while len(seen) < cameras or left:
        while len(seen) < cameras and len(left) < cameras:
            count += 1
            left.add(f"warm{count}")
            executor.submit(Job(f"warm{count}", "f", "s", 1, chain(1, 4, 1000 + count)))
        for event in executor.wait(1.0):
            if isinstance(event, Started):
                seen.add(event.worker.name)
            elif isinstance(event, ENDINGS):
                left.discard(event.job)


def _independent(executor: Executor, cameras: int, steps: int) -> float:
    _warm(executor, cameras)
    return _finish(executor, [Job(f"i{n}", "f", "s", 1, chain(CLIPS, steps, 10 + n)) for n in range(4)])


def _chained(executor: Executor, cameras: int, steps: int) -> float:
    """Two groups of one chain: the second hears the first where there is a camera for it, else it follows."""
    specs = chain(2 * CLIPS, steps, 50)
    first = Job("first", "f", "s", 1, specs[:CLIPS])
    second = Job("second", "f", "s", 1 + CLIPS, specs[CLIPS:], chain=specs[:CLIPS], follows="first")
    return _finish(executor, [first, second])


def _finish(executor: Executor, jobs: Sequence[Job]) -> float:
    """Seconds until all jobs are done; one that follows is submitted again when its tail is there, as the run loop
    does. Raises RuntimeError when one fails."""
    by_last = {job.specs[0].previous: job for job in jobs if job.follows}
    began, left = time.perf_counter(), {job.id for job in jobs}
    for job in jobs:
        executor.submit(job)
    while left:
        for event in executor.wait(1.0):
            if isinstance(event, ClipDone) and (follower := by_last.get(event.take.key)):
                executor.submit(replace(follower, tail=event.take.tail, follows=None))
            elif isinstance(event, JobDone):
                left.discard(event.job)
            elif isinstance(event, ENDINGS):
                raise RuntimeError(f"the benchmark's job {event.job} did not end well: {event}")
    return time.perf_counter() - began
