"""What a production has under way: its films and the runs of clips that are being rendered."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

from cluster.job import Worker
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
MOST_MENDS = 5
"""Times that damaged files of one film are made again in one run."""


@dataclass
class FilmUnderWay:
    """One film. `missing`: keys that have no take yet. `left`: those of them that nobody asked to render now.
    `lost`: shot -> why its clips will not come. `asked`: the plan as the storyboard has it, without what was chosen.
    `hinges`: keys of clips after which the rest may turn out to be there.

    recorded: the ledger has this very production, whole and done, from before. deadline: seconds since the epoch.
    spent: camera seconds before now, of all productions. at_work: job and camera -> when it began. exhausted: why
    nothing more of it is rendered in this run, when its hours are spent.
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
    deadline: float | None = None
    spent: float = 0.0
    at_work: dict[tuple[str, str], float] = field(default_factory=dict)
    exhausted: str = ""
    _clips: tuple[Plan | None, dict[str, ClipSpec], dict[str, str]] = field(default=(None, {}, {}), repr=False)

    @property
    def specs(self) -> dict[str, ClipSpec]:
        """The clips that the film shows, by key."""
        return self._by_key()[1]

    @property
    def shot_of(self) -> dict[str, str]:
        """The shot of each of those clips."""
        return self._by_key()[2]

    def _by_key(self) -> tuple[Plan | None, dict[str, ClipSpec], dict[str, str]]:
        """Made once for each plan."""
        if self._clips[0] is not self.plan:
            clips = self.plan.clips
            self._clips = self.plan, {c.key: c.spec for c in clips}, {c.key: c.slate.shot for c in clips}
        return self._clips

    @property
    def over(self) -> bool:
        """Whether nothing more is to be begun for it."""
        return self.result is not None or bool(self.exhausted)

    def camera_seconds(self, now: float) -> float:
        """What cameras have spent on it, those at work among them; now: monotonic."""
        return self.spent + sum(now - began for began in self.at_work.values())


@dataclass
class Shooting:
    """A segment on its way through the executor. `attempts`: key -> ledger row, while unfinished.

    failures: in a row, without a clip done in between. tries: jobs so far. job: the one that the executor has, '' when
    none. early: that job has no tail yet. worker: the camera that has begun it. memory: bytes that were not enough.
    avoid: a camera that failed. follows: the job that an early one follows. beside: key -> the camera that renders it,
    where several share the job, worker among them.
    dropped: it is stopped for good. elsewhere: another production renders some of it.
    """

    segment: Segment
    number: int
    attempts: dict[str, int] = field(default_factory=dict)
    failures: int = 0
    tries: int = 0
    job: str = ""
    early: bool = False
    follows: str = ""
    worker: Worker | None = None
    beside: dict[str, Worker] = field(default_factory=dict)
    memory: int = 0
    avoid: str = ""
    suspect: bool = False
    dropped: bool = False
    elsewhere: bool = False

    def begin(self, takes: Mapping[str, Take]) -> int:
        """The first clip to render, from 0. Clips that depend on each other both ways are made as a whole."""
        if self.segment.specs[0].together:
            return 0
        return next((n for n, key in enumerate(self.segment.keys) if key not in takes), 0)


class Heart:
    """Renews the claims of films under way, so that nobody takes what is being rendered.

    also: renews what else is claimed.
    """

    def __init__(self, films: Mapping[str, FilmUnderWay], also: Callable[[], object]) -> None:
        self._films, self._also = films, also
        self._stopped = threading.Event()
        self.usurped = False  # some film was taken over and nobody has looked since

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
                    self.usurped |= film.usurped
                except StorageError as error:
                    log.warning("the claim on %s could not be renewed: %s", film.plan.film, error)
            try:
                self._also()
            except StorageError as error:
                log.warning("the claims on clips could not be renewed: %s", error)
