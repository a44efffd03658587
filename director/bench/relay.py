"""A chain split over cameras that run at the same time, against the same chain on one of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from cluster.executor import Executor
from cluster.job import ENDINGS, ClipDone, Job, JobFailed, JobStopped

from ..errors import UsageError
from .lockstep import chain

PATIENCE = 600.0
"""Seconds after which a job that has not ended will not."""


def at_once(executor: Executor, cameras: int = 2, clips: int = 8, steps: int = 20) -> tuple[float, float]:
    """Seconds of a chain of pocket clips as one group on one camera, and as a group on each of `cameras`.

    executor: one with that many cameras. Their processes and models are warm before the clock starts.
    """
    _finish(executor, [Job(f"warm-{n}", "bench", "warm", 1, tuple(chain(1, 1, n))) for n in range(cameras)])
    alone = _finish(executor, [Job("alone", "bench", "alone", 1, tuple(chain(clips, steps, 100)))])
    specs, size = tuple(chain(clips, steps, 200)), -(-clips // cameras)
    groups: list[Job] = []
    for first in range(0, clips, size):
        before = groups[-1].id if groups else None
        groups.append(Job(f"group-{first}", "bench", "split", first + 1, specs[first : first + size], follows=before))
    return alone, _finish(executor, groups)


def _finish(executor: Executor, jobs: Sequence[Job]) -> float:
    """Seconds until all of them are done."""
    began = time.perf_counter()
    left = {job.id: job for job in jobs}
    for job in jobs:
        executor.submit(job)
    while left:
        for event in executor.wait(0.2):
            if isinstance(event, ClipDone):  # whoever could not begin beside the one before begins after it
                for job in [job for job in left.values() if job.specs[0].previous == event.take.key]:
                    executor.submit(replace(job, tail=event.take.tail))
            if isinstance(event, ENDINGS):
                del left[event.job]
            if isinstance(event, JobFailed | JobStopped):
                raise UsageError(f"the benchmark's job {event.job} ended with {event}; run it again on an idle machine")
        if time.perf_counter() - began > PATIENCE:
            raise UsageError(f"{', '.join(left)} did not end in {PATIENCE:.0f} s; run it again on an idle machine")
    return time.perf_counter() - began
