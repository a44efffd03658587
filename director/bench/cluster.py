"""Many cameras: how well the schedule keeps them busy, and what it costs.

In most rows the cameras are simulated, with step times recorded on this project's own model; the schedule, the
segments, what waits for what, and (for the cost of a clip) the run loop and the ledger are the real ones. The last rows
(`cameras`) are of real cameras on a local Ray.
"""

from __future__ import annotations

import multiprocessing
import random
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cluster.desk import Desk
from storage.ledger import Ledger
from storage.rows import Take

from ..observer import FilmResult, Quiet
from ..planned import Plan
from ..production import Production
from ..stop import Stop
from ..survey import Survey, SurveyedClip
from . import Result, Row
from .cameras import rows as cameras_rows
from .simulated import NFE, Simulated, Times, drive, film

LOCKSTEP = 8
LENGTHS = (1, 2, 4, 8, 24, 64)
"""Clips of the chains of mixed films."""


@dataclass(frozen=True)
class Outcome:
    """efficiency: share of the cameras' time inside networks. bound: seconds that no schedule can beat."""

    efficiency: float
    makespan: float
    bound: float
    jobs: int
    loads: int


def run_films(plans: Sequence[Plan], cameras: int, times: Times = Times(), together: bool = False) -> Outcome:
    """Films on a simulated cluster, through the real segments, waiting room and schedule."""
    with tempfile.TemporaryDirectory() as folder, Ledger.open(Path(folder) / "ledger.sqlite") as ledger:
        cluster = Simulated(cameras, times, together=together)
        jobs = drive(plans, cluster, ledger, LOCKSTEP)
    lengths = [len(shot.clips) for plan in plans for shot in plan.shots]
    bound = max(sum(map(_seconds(times), lengths)) / cameras, _seconds(times)(max(lengths))) + times.load
    return Outcome(cluster.work / cameras / cluster.now, cluster.now, bound, jobs, cluster.loads)


def _seconds(times: Times) -> Callable[[int], float]:
    """Seconds that one camera needs for a chain of so many clips."""
    return lambda clips: clips * NFE * times.nfe + -(-clips // LOCKSTEP) * times.job


def mixed(films: int, chains: int, seed: int = 1) -> list[Plan]:
    """Films of chains of many lengths, for two models."""
    chance = random.Random(seed)
    return [film(f"f{n}", [chance.choice(LENGTHS) for _ in range(chains)], "ab"[n % 2]) for n in range(films)]


class _NoCut:
    """Films that are finished when their clips are."""

    def __call__(
        self, plan: Plan, production: int, takes: dict[str, Take], ask: Callable[[], Desk | None]
    ) -> list[str]:
        return []

    def damaged(self, plan: Plan, takes: dict[str, Take]) -> list[str]:
        return []


def unseen(plan: Plan) -> Survey:
    """A film of which nothing has been rendered."""
    return Survey(plan, tuple(SurveyedClip(clip, "render") for clip in plan.everything), {}, {}, None, None)


def run_loop(plans: Sequence[Plan], cluster: Simulated, folder: Path) -> tuple[list[FilmResult], float]:
    """The real run loop with a real SQLite ledger on a simulated cluster; how films ended, and seconds."""
    with Ledger.open(folder / "ledger.sqlite") as ledger:
        production = Production(ledger, lambda: cluster, _NoCut(), Quiet(), Stop(), LOCKSTEP)
        began = time.perf_counter()
        results = production.run(plans, unseen)
        return results, time.perf_counter() - began


def measure(quick: bool) -> Result:
    """Efficiency and makespan on 8, 64 and 512 cameras, the cost of a clip, and 100,000 clips."""
    rows = []
    for cameras in (8, 64) if quick else (8, 64, 512):
        rows += _pool(cameras)
    rows += [*_split(), *_cost(500 if quick else 4000), *_alone(_many, 10_000 if quick else 100_000)]
    rows += cameras_rows(quick)
    notes = [f"step times of the pocket model on one CPU core: {Times()}", f"groups of {LOCKSTEP} clips"]
    return Result("cluster", rows, notes)


def _pool(cameras: int) -> list[Row]:
    even = run_films([film("even", [LOCKSTEP * 2] * (24 * cameras))], cameras)
    # Enough work that the longest chain is not all there is, and not so much that any order would do.
    found = run_films(mixed(8, cameras), cameras, Times(spread=0.0))
    over = found.makespan / found.bound
    return [
        Row(
            f"{cameras} cameras, 24 chains a camera: share of their time inside networks",
            f"{even.efficiency:.3f}",
            "1.000",
            ">= 0.95",
            even.efficiency >= 0.95,
        ),
        Row(
            f"{cameras} cameras, 8 mixed films, 2 models: time against the critical-path bound",
            f"{over:.3f}",
            f"{found.jobs} jobs, {found.loads} models loaded",
            "<= 1.10",
            over <= 1.10,
        ),
    ]


def _split() -> list[Row]:
    """One long shot and idle cameras: its groups begin beside each other."""
    alone, beside = (run_films([film("one", [64])], 8, Times(spread=0.0), together) for together in (False, True))
    return [
        Row(
            "one chain of 64 clips, 8 cameras: its groups at the same time",
            f"{beside.makespan:.1f} s",
            f"{alone.makespan:.1f} s one after another",
            "report",
        )
    ]


def _cost(clips: int) -> list[Row]:
    plans = [film(f"f{n}", [10] * (clips // 40)) for n in range(4)]
    with tempfile.TemporaryDirectory() as folder:
        results, seconds = run_loop(plans, Simulated(64), Path(folder))
    assert all(result.state == "done" for result in results)
    each = 1e3 * seconds / clips
    what = f"run loop, schedule and SQLite ledger: time a clip, {clips} clips on 64 cameras"
    return [Row(what, f"{each:.2f} ms", "", "< 10 ms", each < 10)]


def _alone(work: Callable[[int], list[Row]], clips: int) -> list[Row]:
    """In a process of its own, whose memory has held nothing yet."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(work, clips).result()


def _many(clips: int) -> list[Row]:
    plans = [film(f"f{n}", [10] * (clips // 100)) for n in range(10)]
    before, began = _memory(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, Ledger.open(Path(folder) / "ledger.sqlite") as ledger:
        cluster = Simulated(512)
        drive(plans, cluster, ledger, LOCKSTEP)
    seconds, grown = time.perf_counter() - began, _memory() - before
    what = f"{clips} clips on 512 cameras, {cluster.most_waiting} jobs waiting at most"
    return [
        Row(f"{what}: time a clip", f"{1e3 * seconds / clips:.3f} ms", "", "< 10 ms", seconds / clips < 0.01),
        Row(f"{what}: memory a clip", f"{grown / clips:.1f} KiB", "", "report"),
    ]


def _memory() -> float:
    """The most memory that this process has had, in KiB."""
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
