"""What a production has under way: its films and the runs of clips that are being rendered."""

from __future__ import annotations

import time
from concurrent.futures import Future
from dataclasses import dataclass, field

from cluster.job import Failure, Job
from storage.leases import Lease
from storage.rows import Take

from .observer import FilmResult
from .planned import Plan
from .segments import Segment

TRIES = 3
"""Identical failures that hold a chain."""
MOST_TRIES = 6
"""Failures of any kind that hold a chain within one run."""


@dataclass
class FilmUnderWay:
    """One film. `missing`: keys that have no take yet. `lost`: shot -> why its clips will not come."""

    plan: Plan
    lease: Lease
    production: int = 0
    missing: set[str] = field(default_factory=set)
    cached: int = 0
    rendered: int = 0
    lost: dict[str, str] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    cut: Future[list[str]] | None = None
    mended: int = 0  # times that a damaged file was found while cutting
    result: FilmResult | None = None


@dataclass
class Shooting:
    """A segment on its way through the executor. `attempts`: key -> ledger row, while unfinished."""

    segment: Segment
    number: int
    attempts: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def failed(self, failure: Failure) -> bool:
        """Take note of a failure; whether the chain should be held now."""
        self.failures.append(failure)
        same = sum(f.digest == failure.digest for f in self.failures)
        return same >= TRIES or len(self.failures) >= MOST_TRIES

    def job(self, takes: dict[str, Take]) -> Job:
        """The job that renders what is still missing of the segment, from the last clip that has a take."""
        segment = self.segment
        done = next(n for n, key in enumerate(segment.keys) if key not in takes)
        after = segment.keys[done - 1] if done else segment.after
        return Job(
            f"{segment.name}#{self.number}.{len(self.failures)}.{done}",
            segment.film,
            segment.shot,
            segment.first + done,
            segment.specs[done:],
            takes[after].tail if after else None,
        )
