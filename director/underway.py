"""What a production has under way: its films and the runs of clips that are being rendered."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

from cluster.job import Job
from shots.spec import ClipSpec
from storage.errors import LeaseLost, StorageError
from storage.leases import Lease
from storage.rows import Take

from .observer import FilmResult
from .planned import Plan
from .segments import Segment

log = logging.getLogger("longtake.production")
BEAT = 5.0
"""Seconds between two renewals of a claim."""
TRIES = 3
"""Identical failures that hold a chain."""
MOST_TRIES = 6
"""Failures of any kind, after which a run does without the chain."""
MOST_MENDS = 5
"""Times that damaged files of one film are made again in one run."""


@dataclass
class FilmUnderWay:
    """One film. `missing`: keys that have no take yet. `left`: those of them that nobody asked to render now.
    `lost`: shot -> why its clips will not come. `asked`: the plan as the storyboard has it, without what was chosen.
    `hinges`: keys of clips after which the rest may turn out to be there.

    recorded: the ledger has this very production, whole and done, from before.
    """

    plan: Plan
    lease: Lease
    asked: Plan
    production: int = 0
    recorded: bool = False
    missing: set[str] = field(default_factory=set)
    left: frozenset[str] = frozenset()
    hinges: frozenset[str] = frozenset()
    cached: int = 0
    rendered: int = 0
    lost: dict[str, str] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    cut: Future[list[str]] | None = None
    mended: int = 0  # times that damaged files were found
    released: bool = False
    usurped: bool = False  # another process has taken the film over
    result: FilmResult | None = None


@dataclass
class Shooting:
    """A segment on its way through the executor. `attempts`: key -> ledger row, while unfinished."""

    segment: Segment
    number: int
    attempts: dict[str, int] = field(default_factory=dict)
    failures: int = 0

    def job(self, takes: dict[str, Take], chain: Callable[[str], tuple[ClipSpec, ...]]) -> Job:
        """The job that renders what is still missing of the segment, from the last clip that has a take.

        chain: the specs of the clips up to one, from the first of its chain on.
        """
        segment = self.segment
        done = next(n for n, key in enumerate(segment.keys) if key not in takes)
        if segment.specs[0].together:  # clips that depend on each other both ways are made again as a whole
            done = 0
        after = segment.keys[done - 1] if done else segment.after
        return Job(
            f"{segment.name}#{self.number}.{self.failures}.{done}",
            segment.film,
            segment.shot,
            segment.first + done,
            segment.specs[done:],
            takes[after].tail if after else None,
            chain(after) if after else (),
        )


class Heart:
    """Renews the claims of films under way, so that nobody takes a film that is being rendered."""

    def __init__(self, films: Mapping[str, FilmUnderWay]) -> None:
        self._films = films
        self._stopped = threading.Event()

    def start(self) -> None:
        """Beat in a thread until `stop`."""
        threading.Thread(target=self._beat, name="longtake-heart", daemon=True).start()

    def stop(self) -> None:
        """Beat no more."""
        self._stopped.set()

    def _beat(self) -> None:
        while not self._stopped.wait(BEAT):
            for film in list(self._films.values()):
                try:
                    if not film.released:
                        film.lease.renew()
                except LeaseLost:
                    film.usurped = not film.released
                except StorageError as error:
                    log.warning("the claim on %s could not be renewed: %s", film.plan.film, error)
