"""The run loop: render what is missing, remember everything, cut each film as soon as its clips are there.

Stop it at any moment and run it again: a clip is either in the ledger with its files on disk, or it is rendered
again. The loop itself never touches pixels; it hands jobs to an executor and writes down what the executor says.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Literal

from cluster.executor import Executor
from cluster.job import ClipDone, Event, Failure, JobDone, JobFailed, JobStopped, Loading, Started, Stepped
from storage.errors import FileDamaged, FileMissing, StorageError
from storage.ledger import Ledger
from storage.owner import Owner
from storage.rows import Take
from storage.states import ProductionState

from .ancestry import ancestry
from .entry import cut_off, enter, record
from .insist import insist
from .observer import Cutter, FilmResult, Observer
from .planned import Plan
from .segments import LOCKSTEP, segments
from .stop import Stop, Stopped
from .survey import Survey
from .underway import MOST_MENDS, MOST_TRIES, TRIES, FilmUnderWay, Heart, Shooting

log = logging.getLogger("longtake.production")
GRACE = 2.0
"""Seconds that cameras get to stop between two steps."""
TICK = 0.2


class Production:
    """Renders films together: their clips share the cameras and a clip that two films need is rendered once.

    cut: called in a thread beside the loop, once for each film.
    """

    def __init__(
        self,
        ledger: Ledger,
        executor: Callable[[], Executor],
        cut: Cutter,
        show: Observer,
        stop: Stop,
        lockstep: int = LOCKSTEP,
    ) -> None:
        self._ledger, self._cut, self._show, self._stop = ledger, cut, show, stop
        self._make_executor = executor
        self._executor: Executor | None = None
        self._lockstep = lockstep
        self._films: dict[str, FilmUnderWay] = {}
        self._takes: dict[str, Take] = {}
        self._waiting: list[Shooting] = []
        self._shooting: dict[str, Shooting] = {}
        self._numbers = itertools.count()
        self._scissors = ThreadPoolExecutor(1, thread_name_prefix="longtake-cut")
        self._heart = Heart(self._films)

    def run(
        self, plans: Sequence[Plan], survey: Callable[[Plan], Survey], retry_held: bool = False
    ) -> list[FilmResult]:
        """Render and cut all films. Each is claimed first and surveyed then, so that nothing is rendered twice.

        Raises:
            FilmBusy: another production is rendering one of them.
            Stopped: a signal came; the ledger says what is finished.
        """
        self._survey = survey
        try:
            for plan in plans:
                self._begin(plan, survey, retry_held)
            self._stop.patiently()
            self._heart.start()
            self._queue()
            self._loop()
            return [self._end(film) for film in self._films.values()]
        except BaseException:
            self._abandon()
            raise
        finally:
            self._heart.stop()
            self._close()

    def _begin(self, plan: Plan, survey: Callable[[Plan], Survey], retry_held: bool) -> None:
        lease = self._ledger.claim_film(plan.film)
        film = self._films[plan.film] = FilmUnderWay(plan, lease, plan)
        if retry_held:
            self._ledger.release_holds(plan.film)
        found = survey(plan)
        enter(self._ledger, film, found)
        self._takes |= found.takes
        self._show.film_begins(film.plan, len(found.wanted), film.cached)

    def _queue(self) -> None:
        """Put all missing runs that are not under way yet into the queue; those of held chains are given up."""
        under_way = {key for shooting in (*self._waiting, *self._shooting.values()) for key in shooting.segment.keys}
        held = {hold.chain_key: hold.reason for hold in self._ledger.holds()}
        films = [film for film in self._films.values() if film.result is None]
        wanted = {key for film in films for key in film.missing - film.left}
        left = {key for film in films for key in film.left} - wanted
        have = under_way | self._takes.keys() | left
        hinges = {key for film in films for key in film.hinges}
        for segment in segments([film.plan for film in films], have, self._lockstep, hinges):
            shooting = Shooting(segment, next(self._numbers))
            if reason := next((held[key] for key in segment.keys if key in held), None):
                self._give_up(shooting, f"held: {reason}")
            else:
                self._waiting.append(shooting)
                self._show.job_waits(segment)

    def _loop(self) -> None:
        while True:
            self._leave_usurped()
            self._submit_ready()
            self._cut_ready()
            cutting = any(film.cut is not None and film.result is None for film in self._films.values())
            if not self._waiting and not self._shooting and not cutting:
                return
            if self._stop.asked is not None:
                self._wind_down()
                raise Stopped(self._stop.asked)
            if self._executor:
                for event in self._executor.wait(TICK):
                    self._handle(event)
            else:
                time.sleep(TICK / 10)

    def _submit_ready(self) -> None:
        coming = {key for shooting in (*self._waiting, *self._shooting.values()) for key in shooting.segment.keys}
        for shooting in list(self._waiting):
            after = shooting.segment.after
            if after is None or after in self._takes:
                self._waiting.remove(shooting)
                self._submit(shooting)
            elif after not in coming:
                self._waiting.remove(shooting)
                self._give_up(shooting, "the clip before it could not be rendered")

    def _submit(self, shooting: Shooting) -> None:
        if self._executor is None:
            with self._stop.at_once():  # a cluster may take its time to answer
                self._executor = self._make_executor()
        job = shooting.job(self._takes, partial(ancestry, self._ledger, self._films[shooting.segment.film].plan))
        self._shooting[job.id] = shooting
        self._executor.submit(job)

    def _handle(self, event: Event) -> None:
        shooting = self._shooting.get(event.job)
        if shooting is None:  # a late word from a job that has ended
            return
        segment = shooting.segment
        match event:
            case Started(worker=worker):
                keys = [key for key in segment.keys if key not in self._takes]
                owner = Owner(worker.host, "", worker.pid, 0)
                production = self._films[segment.film].production
                numbers = insist(
                    lambda: self._ledger.begin_attempts(production, keys, worker.device, worker.name, owner)
                )
                shooting.attempts = dict(zip(keys, numbers, strict=True))
                self._show.job_begins(segment, worker)
            case Loading(model=model):
                self._show.job_loads(segment, model)
            case Stepped(step=step, steps=steps):
                self._show.job_steps(segment, step, steps)
            case ClipDone():
                self._clip_done(shooting, event)
            case JobDone(busy=busy):
                del self._shooting[event.job]
                self._show.job_done(segment, busy)
            case JobFailed(failure=failure):
                del self._shooting[event.job]
                self._job_failed(shooting, failure)
            case JobStopped():
                del self._shooting[event.job]
                self._interrupt(shooting)

    def _clip_done(self, shooting: Shooting, event: ClipDone) -> None:
        key = event.take.key
        if (attempt := shooting.attempts.pop(key, None)) is None:
            return  # made once more beside others that were missing
        take = insist(partial(self._ledger.finish_attempt, attempt, event.take))
        self._takes[key] = take
        shooting.failures = 0
        for film in self._films.values():
            if key in film.missing:
                film.missing.discard(key)
                film.rendered += 1
        self._show.clip_done(shooting.segment, shooting.segment.keys.index(key), take)
        for film in [f for f in self._films.values() if key in f.hinges and f.result is None]:
            self._cut_off(film)

    def _cut_off(self, film: FilmUnderWay) -> None:
        """A clip that was rendered again may have left the tail that was there before: then what follows stays."""
        found = self._survey(film.asked)
        if cut_off(self._ledger, film, found):
            self._takes |= found.takes
            self._waiting = [s for s in self._waiting if s.segment.film != film.plan.film]
            self._queue()

    def _mend(self, film: FilmUnderWay, files: Sequence[str]) -> bool:
        """Stored files are gone or altered: their clips have to be rendered again. False when that leads nowhere."""
        uses = [use for file in files for use in self._ledger.drop_file(file, "damaged")]
        if not uses or film.mended >= MOST_MENDS:
            return False
        film.mended += 1
        keys = {use.key for use in uses if use.kind != "print"}
        log.warning("%d stored files are damaged; %d clips are rendered again", len(files), len(keys))
        for key in keys & self._takes.keys():
            del self._takes[key]
        for other in self._films.values():
            if other.result is None:
                other.missing |= {clip.key for clip in other.plan.clips} & keys
                if other.missing and other.recorded:
                    record(self._ledger, other, self._survey(other.asked))
        self._queue()
        return True

    def _job_failed(self, shooting: Shooting, failure: Failure) -> None:
        segment = shooting.segment
        digest = ""
        for number in shooting.attempts.values():
            digest = self._ledger.fail_attempt(number, failure.error, failure.message, failure.trace, failure.log_tail)
        shooting.attempts = {}
        if failure.file:  # the tail it starts from; one damaged file seldom comes alone
            film = self._films[segment.film]
            if self._mend(film, list({failure.file, *self._cut.damaged(film.plan, self._takes)})):
                self._show.job_failed(segment, failure, 1, False)
                return
        shooting.failures += 1
        first = next(key for key in segment.keys if key not in self._takes)
        past = self._ledger.failures([first]).get(first, [])  # of earlier runs, too
        same = shooting.failures if failure.machine else sum(a.failure_digest == digest for a in past)
        over = same >= TRIES or shooting.failures >= MOST_TRIES
        self._show.job_failed(segment, failure, shooting.failures, over)
        if not over:
            self._waiting.append(shooting)
            return
        reason = f"{failure.error}: {failure.message}"
        if not failure.machine:
            self._ledger.hold(segment.film, segment.shot, first, reason, digest)
        self._give_up(shooting, reason)

    def _give_up(self, shooting: Shooting, why: str) -> None:
        """Every film that wanted these clips goes on without them."""
        keys = set(shooting.segment.keys)
        for film in self._films.values():
            film.missing -= keys - {clip.key for clip in film.plan.clips}  # other takes, which the film does not show
            for shot in film.plan.shots:
                if keys & film.missing & {clip.key for clip in shot.clips}:
                    film.lost.setdefault(shot.id, why)

    def _cut_ready(self) -> None:
        """Start cuts whose clips are all there, and end films whose cut is done: each as early as can be."""
        for film in self._films.values():
            if film.result is not None:
                continue
            if film.cut is not None and film.cut.done():
                error = film.cut.exception()
                if isinstance(error, FileDamaged | FileMissing):  # one seldom comes alone
                    film.cut = None
                    damaged = self._cut.damaged(film.plan, self._takes)
                    if self._mend(film, list({error.id, *damaged})):
                        continue
                self._end(film, error)
            elif film.cut is None and not film.missing:
                self._show.film_cuts(film.plan)
                film.cut = self._scissors.submit(self._cut, film.plan, film.production, dict(self._takes))

    def _end(self, film: FilmUnderWay, error: BaseException | None = None) -> FilmResult:
        """Write down how a film ended and let it go; the others are not touched by it."""
        if film.result is not None:
            return film.result
        state: Literal["done", "partial", "failed"] = "done" if film.cut else "partial"
        message = "; ".join(f"shot {shot}: {why}" for shot, why in film.lost.items())
        if error is not None:
            log.debug("cutting %s failed", film.plan.film, exc_info=error)
            state, message = "failed", f"all clips are rendered, but the film could not be cut: {error or repr(error)}"
        files = film.cut.result() if film.cut and state == "done" else []
        seconds = time.monotonic() - film.began
        film.result = FilmResult(film.plan, state, film.rendered, film.cached, files, message, seconds)
        if state == "done" and self._ledger.holds(film.plan.film):
            self._ledger.release_holds(film.plan.film)
        if not film.recorded:
            self._ledger.end_production(film.production, ProductionState(state), message)
        self._release(film)
        self._show.film_ends(film.result)
        return film.result

    def _leave_usurped(self) -> None:
        """Another process has taken a film over, because this one was silent for too long: it is not ours any more."""
        for film in self._films.values():
            if film.usurped and film.result is None:
                what = "another process has taken this film over; longtake status says which"
                seconds = time.monotonic() - film.began
                film.result = FilmResult(film.plan, "failed", film.rendered, film.cached, [], what, seconds)
                film.missing.clear()
                self._waiting = [s for s in self._waiting if s.segment.film != film.plan.film]
                self._show.film_ends(film.result)

    def _wind_down(self) -> None:
        """Let cameras stop between two steps; keep the clips that still arrive."""
        if self._executor is None:
            return
        self._executor.cancel()
        deadline = time.monotonic() + GRACE
        while self._shooting and time.monotonic() < deadline:
            for event in self._executor.wait(TICK):
                self._handle(event)

    def _interrupt(self, shooting: Shooting) -> None:
        for number in shooting.attempts.values():
            self._ledger.interrupt_attempt(number)
        shooting.attempts = {}

    def _abandon(self) -> None:
        """Something ended the run early: leave the ledger saying so. Must not hide the first error."""
        for shooting in self._shooting.values():
            self._told(partial(self._interrupt, shooting))
        for film in self._films.values():
            if film.result is None and film.production and not film.recorded:
                self._told(partial(self._ledger.end_production, film.production, ProductionState.INTERRUPTED))

    def _told(self, call: Callable[[], object]) -> None:
        try:
            call()
        except StorageError as error:
            log.warning("the ledger could not be told that the run ended early: %s", error)

    def _close(self) -> None:
        self._scissors.shutdown(wait=self._stop.asked is None, cancel_futures=True)
        try:
            if self._executor:
                self._executor.close()
        finally:
            for film in self._films.values():
                self._release(film)

    def _release(self, film: FilmUnderWay) -> None:
        film.released = True
        self._told(film.lease.release)
