"""Segments on the stage: what every word of a camera leads to. `Production` does the same for films."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from functools import partial

from cluster.executor import Executor
from cluster.job import (
    ClipDone,
    Event,
    Failure,
    JobDone,
    JobFailed,
    JobStopped,
    Loading,
    NodeSetAside,
    NodeTakenBack,
    Sampled,
    Started,
    Stepped,
    Worker,
)
from cluster.trust import ASIDE_SECONDS
from storage.errors import LeaseLost
from storage.ledger import Ledger
from storage.owner import Owner
from storage.rows import Take

from .claims import Claims
from .cutting import Cutting
from .dispatch import Dispatch, halved
from .failing import remedy
from .insist import insist
from .observer import Cutter, Quiet
from .planned import Plan
from .stop import Stop
from .underway import FilmUnderWay, Shooting
from .waiting import Waiting

log = logging.getLogger("longtake.production")


class Stage(ABC):
    """Segments under way: submitted, at work, waiting, given up. What an event costs does not depend on how much waits.

    rerun: plan, `shot/clip` -> the command that shows why a clip is held. labs: the executor has a desk for cheap work.
    """

    def __init__(
        self,
        ledger: Ledger,
        executor: Callable[[], Executor],
        cut: Cutter,
        show: Quiet,
        stop: Stop,
        rerun: Callable[[Plan, str], str] | None = None,
        labs: bool = False,
    ) -> None:
        self._ledger, self._cutter, self._show, self._stop = ledger, cut, show, stop
        self._rerun = rerun
        self._films: dict[str, FilmUnderWay] = {}
        self._takes: dict[str, Take] = {}
        self._wanted: dict[str, set[str]] = {}  # key -> films that want it
        self._waiting = Waiting(self._takes)
        self._dispatch = Dispatch(ledger, executor, stop, self._films, self._takes, self._waiting)
        self._cutting = Cutting(cut, show, self._takes, self._dispatch.desk if labs else None)
        self._claims = Claims(ledger)
        self._elsewhere: list[Shooting] = []
        self._usurped = False  # some film was found to be another's and nobody has looked since

    @abstractmethod
    def _cut_off(self, film: FilmUnderWay) -> None:
        """A clip after which the rest may turn out to be there has its take."""

    @abstractmethod
    def _mend(self, film: FilmUnderWay, files: Collection[str]) -> bool:
        """Stored files are gone or altered: their clips have to be rendered again. False when that leads nowhere."""

    def _handle(self, event: Event) -> None:
        match event:
            case NodeSetAside(host=host, reason=reason):
                self._ledger.set_aside(host, reason, ASIDE_SECONDS)
                self._show.node_aside(host, reason)
            case NodeTakenBack(host=host):
                self._ledger.take_back(host)
                self._show.node_back(host)
        shooting = self._dispatch.jobs.get(event.job)
        if shooting is None:  # a late word from a job that has ended
            return
        segment = shooting.segment
        match event:
            case Started(worker=worker, keys=keys):
                self._started(shooting, worker, keys)
            case Loading(model=model) if shooting.attempts:  # else its beginning was not shown
                self._show.job_loads(segment, model)
            case Stepped(step=step, steps=steps) if shooting.attempts:
                self._show.job_steps(segment, step, steps)
            case Sampled():  # its camera's time is the next job's from now on
                self._off_camera(event.job, self._films[segment.film])
            case ClipDone():
                self._clip_done(shooting, event)
            case JobDone(busy=busy):
                self._dispatch.learn(segment, shooting.worker, event)
                self._job_over(event.job)
                self._show.job_done(segment, busy)
                if any(key not in self._takes for key in segment.keys):
                    self._again(shooting)
            case JobFailed():
                failed = shooting.beside.get(event.keys[0]) if event.keys else None
                self._job_failed(shooting, event, failed or shooting.worker)
            case JobStopped(elsewhere=why):
                self._job_over(event.job)
                self._interrupt(shooting, why)
                self._show.job_leaves(segment, why)
                self._again(shooting)

    def _started(self, shooting: Shooting, worker: Worker, part: Collection[str] = ()) -> None:
        """A camera has begun a job, or a part of one that several share."""
        film, first = self._films[shooting.segment.film], shooting.worker is None
        film.at_work[shooting.job, worker.name] = time.monotonic()
        keys = [key for key in shooting.segment.keys if key not in self._takes]
        if first:
            shooting.worker = worker
            shooting.elsewhere = not self._claims.claim(shooting.job, keys)
        if shooting.elsewhere:
            self._dispatch.withdraw(shooting)
            return
        keys = [key for key in keys if key in part] if part else keys
        shooting.beside |= dict.fromkeys(part, worker)
        owner = Owner(worker.host, "", worker.pid, 0)
        begin = partial(self._ledger.begin_attempts, film.production, keys, worker.device, worker.name, owner)
        try:
            numbers = insist(begin)
        except LeaseLost:  # this film's trouble, and no other's
            film.usurped = self._usurped = True
            return
        shooting.attempts |= dict(zip(keys, numbers, strict=True))
        if first:
            self._show.job_begins(shooting.segment, worker)
            self._dispatch.lead(shooting)

    def _clip_done(self, shooting: Shooting, event: ClipDone) -> None:
        key = event.take.key
        if (attempt := shooting.attempts.pop(key, None)) is None:
            return  # made once more beside others that were missing, or by another production
        take = insist(partial(self._ledger.finish_attempt, attempt, event.take))
        shooting.failures = 0
        hinged = self._arrived(key, take, rendered=True)
        self._show.clip_done(shooting.segment, shooting.segment.keys.index(key), take)
        for film in hinged:
            self._cut_off(film)

    def _arrived(self, key: str, take: Take, rendered: bool) -> list[FilmUnderWay]:
        """A clip has its take; the films whose plan has a hinge there."""
        self._takes[key] = take
        self._waiting.arrived(key)
        films = [self._films[name] for name in self._wanted.pop(key, ())]
        for film in films:
            if key in film.missing:
                film.missing.discard(key)
                film.rendered += rendered
                film.cached += not rendered
                self._cutting.ready(film)
        return [film for film in films if key in film.hinges and not film.over]

    def _job_over(self, job: str) -> None:
        """A job has ended, in whichever way."""
        shooting = self._dispatch.ended(job)
        self._claims.release(job)
        if shooting is None:
            return
        self._off_camera(job, self._films[shooting.segment.film])
        shooting.worker, shooting.beside = None, {}

    @staticmethod
    def _off_camera(job: str, film: FilmUnderWay) -> None:
        for at_work in [each for each in film.at_work if each[0] == job]:
            film.spent += time.monotonic() - film.at_work.pop(at_work)

    def _again(self, shooting: Shooting, until: float = 0.0) -> None:
        """A segment that has left its camera goes on, unless nobody wants it any more."""
        if shooting.elsewhere:
            self._elsewhere.append(shooting)
        elif self._stop.asked is None and not shooting.dropped:
            self._waiting.add(shooting, until)

    def _job_failed(self, shooting: Shooting, event: JobFailed, worker: Worker | None) -> None:
        segment, film, failure = shooting.segment, self._films[shooting.segment.film], event.failure
        self._job_over(event.job)
        self._fail_attempts(shooting, failure, event.keys)
        if failure.file and self._mend(film, {failure.file, *self._cutter.damaged(film.plan, self._takes)}):
            self._show.job_failed(segment, failure, 1, False)
            self._again(shooting)
            return
        shooting.failures += 1
        first = next(iter(event.keys), segment.keys[shooting.begin(self._takes)])
        past = self._ledger.failures([first]).get(first, [])  # of earlier runs, too
        half, memory = halved(shooting, self._takes), worker.memory if worker else 0
        found = remedy(failure, past, shooting.failures, half > 0, memory, self._dispatch.most_memory())
        over = found.kind in ("hold", "leave")
        self._show.job_failed(segment, failure, shooting.failures, over)
        if over:
            why = found.why
            if found.kind == "hold":
                slate = f"{segment.shot}/{segment.first + segment.keys.index(first)}"
                why += f"; to see it fail: {self._rerun(film.plan, slate)}" if self._rerun else ""
                self._ledger.hold(
                    segment.film, segment.shot, first, why, (past[-1].failure_digest if past else None) or ""
                )
            self._give_up(shooting, why)
        elif found.kind == "halves":
            for part in self._dispatch.halves(shooting, half):
                self._waiting.add(part)
        else:
            shooting.memory = memory if found.kind == "larger" else shooting.memory
            shooting.avoid = worker.name if worker and found.pause else ""
            self._again(shooting, time.monotonic() + found.pause if found.pause else 0.0)

    def _fail_attempts(self, shooting: Shooting, failure: Failure, part: Collection[str] = ()) -> None:
        """part: of several cameras that shared the job, what the one that failed rendered; the others had to stop."""
        for key, number in shooting.attempts.items():
            if not part or key in part:
                self._ledger.fail_attempt(number, failure.error, failure.message, failure.trace, failure.log_tail)
            else:
                self._ledger.interrupt_attempt(number, f"clips of this shot failed elsewhere: {failure.message}")
        shooting.attempts = {}

    def _interrupt(self, shooting: Shooting, why: str = "") -> None:
        for number in shooting.attempts.values():
            self._ledger.interrupt_attempt(number, why)
        shooting.attempts = {}

    def _give_up(self, shooting: Shooting, why: str) -> None:
        """Every film that wanted these clips, and those that wait for them, goes on without them."""
        for gone in self._waiting.lost(shooting):
            gone.dropped = self._dispatch.withdraw(gone) or gone.dropped
            self._lost(gone, why if gone is shooting else "the clip before it could not be rendered")

    def _lost(self, shooting: Shooting, why: str) -> None:
        keys = [key for key in shooting.segment.keys if key not in self._takes]
        for film in {name: self._films[name] for key in keys for name in self._wanted.get(key, ())}.values():
            lost = film.missing.intersection(keys)
            shown = {film.shot_of[key] for key in lost if key in film.shot_of}
            film.missing -= {key for key in lost if key not in film.shot_of}  # takes that the film does not show
            for shot in film.plan.shots:
                if shot.id in shown:
                    film.lost.setdefault(shot.id, why)
            self._cutting.ready(film)

    def _look_elsewhere(self) -> None:
        """Clips that another production was rendering: its takes will do, and what it leaves is ours again."""
        those, self._elsewhere = self._elsewhere, []
        for shooting in those:
            keys = [key for key in shooting.segment.keys if key not in self._takes]
            takes, free = self._claims.look(keys)
            hinged = [film for key, take in takes.items() for film in self._arrived(key, take, rendered=False)]
            shooting.elsewhere = not free
            if not free or len(takes) < len(keys):
                self._again(shooting)
            for film in hinged:
                self._cut_off(film)
