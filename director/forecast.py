"""How long it will take, from how long it took: medians and ninetieth percentiles, or None where nothing is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

LEAST = 3
"""Measurements without which nothing is said of the slow ones."""


@dataclass(frozen=True)
class Cost:
    """Camera seconds of a clip: half of all took at most `p50`, nine of ten at most `p90` (None: too few to say)."""

    p50: float
    p90: float | None = None


@dataclass(frozen=True)
class Forecast:
    """Seconds until the clips are there (p50, p90), and the camera seconds that they take; None where unknown."""

    p50: float | None = None
    p90: float | None = None
    camera_seconds: float | None = None


def cost_of(samples: Sequence[float]) -> Cost | None:
    """The cost of a clip of which there are these measurements; None without any.

    The percentile is the smallest measurement that nine of ten do not exceed (nearest rank).
    """
    if not samples:
        return None
    ranked = sorted(samples)
    return Cost(median(ranked), ranked[-(-9 * len(ranked) // 10) - 1] if len(ranked) >= LEAST else None)


def forecast(chains: Sequence[Sequence[tuple[float, Cost | None]]], cameras: int) -> Forecast:
    """When chains of clips are done on so many cameras that share them.

    chains: for each, how many clips of which cost. A chain is rendered by one camera at a time, so the end is no
    earlier than that of the longest chain, nor than all work divided by the cameras. p90 takes every clip at its
    p90: what slows one clip down, a busy machine, slows the others down with it.
    """
    work = [[(count, cost) for count, cost in chain] for chain in chains]
    if any(cost is None for chain in work for _, cost in chain):
        return Forecast()
    p50 = [max(0.0, sum(n * c.p50 for n, c in chain if c)) for chain in work]
    if any(cost.p90 is None for chain in work for _, cost in chain if cost):
        p90 = None
    else:
        p90 = _ends([max(0.0, sum(n * (c.p90 or 0.0) for n, c in chain if c)) for chain in work], cameras)
    return Forecast(_ends(p50, cameras), p90, sum(p50))


def _ends(chains: Sequence[float], cameras: int) -> float:
    return max(max(chains, default=0.0), sum(chains) / max(1, cameras))
