"""The run loop: render what is missing, remember everything, cut each film as soon as its clips are there.

Stop it at any moment and run it again: a clip is either in the ledger with its files on disk, or it is
rendered again. The loop itself never touches pixels; it hands jobs to an executor and writes down what the
executor says.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from cluster.executor import Executor
from cluster.job import ClipDone, Event, Failure, JobDone, JobFailed, JobStopped, Loading, Started, Stepped
from shots.errors import ShotsError
from shots.spec import canonical
from storage.errors import FileDamaged, FileMissing, StorageError
from storage.ledger import Ledger
from storage.owner import Owner
from storage.rows import Take
from storage.states import ProductionState

from .errors import DirectorError
from .observer import Cutter, FilmResult, Observer
from .planned import Plan
from .segments import LOCKSTEP, segments
from .stop import Stop, Stopped
from .survey import Survey
from .underway import MOST_TRIES, FilmUnderWay, Shooting

log = logging.getLogger("longtake.production")
GRACE = 3.0
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
        self._heart = threading.Event()

    def run(self, plans: Sequence[Plan], surveys: Sequence[Survey], retry_held: bool = False) -> list[FilmResult]:
        """Render and cut all films.

        Raises:
            FilmBusy: another production is rendering one of them.
            Stopped: a signal came; the ledger says what is finished.
        """
        try:
            for plan, survey in zip(plans, surveys, strict=True):
                self._begin(plan, survey, retry_held)
            self._stop.patiently()
            threading.Thread(target=self._beat, name="longtake-lease", daemon=True).start()
            self._queue()
            self._loop()
            return [self._finish(film) for film in self._films.values()]
        except BaseException:
            self._abandon()
            raise
        finally:
            self._heart.set()
            self._close()

    # ---- beginning ----------------------------------------------------------------------------------

    def _begin(self, plan: Plan, survey: Survey, retry_held: bool) -> None:
        lease = self._ledger.claim_film(plan.film)
        film = FilmUnderWay(plan, lease)
        self._films[plan.film] = film
        if retry_held:
            self._ledger.release_holds(plan.film)
        film.production = self._ledger.start_production(
            plan.film,
            plan.title,
            str(plan.storyboard),
            plan.storyboard_digest,
            canonical(plan.to_dict()),
            survey.slate_rows(),
            lease,
        )
        for key, what in survey.damaged.items():
            self._ledger.drop_take(key, what)
        self._takes |= survey.takes
        film.missing = {clip.key for clip in plan.clips if clip.key not in survey.takes}
        film.cached = len(plan.clips) - sum(clip.key in film.missing for clip in plan.clips)
        self._show.film_begins(plan, len(film.missing), film.cached)

    def _queue(self) -> None:
        """Put all missing runs that are not under way yet into the queue; those of held chains are given up."""
        have = {key: take.tail is not None for key, take in self._takes.items()}
        under_way = (*self._waiting, *self._shooting.values())
        have |= {key: True for shooting in under_way for key in shooting.segment.keys}
        held = {name: self._ledger.holds(name) for name in self._films}
        for segment in segments([film.plan for film in self._films.values()], have, self._lockstep):
            hold = next((h for h in held[segment.film] if h.chain_key in segment.keys), None)
            shooting = Shooting(segment, next(self._numbers))
            if hold:
                self._give_up(shooting, f"held: {hold.reason}")
            else:
                self._waiting.append(shooting)
                self._show.job_waits(segment)

    # ---- the loop -----------------------------------------------------------------------------------

    def _loop(self) -> None:
        while True:
            self._submit_ready()
            self._cut_ready()
            if (
                not self._waiting
                and not self._shooting
                and all(f.cut is None or f.cut.done() for f in self._films.values())
            ):
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
        for shooting in list(self._waiting):
            after = shooting.segment.after
            if after is not None and after not in self._takes:
                if not self._will_come(after):
                    self._waiting.remove(shooting)
                    self._give_up(shooting, "the clip before it could not be rendered")
                continue
            self._waiting.remove(shooting)
            self._submit(shooting)

    def _will_come(self, key: str) -> bool:
        """Whether some segment that waits or runs will make this clip."""
        return any(key in s.segment.keys for s in (*self._waiting, *self._shooting.values()))

    def _submit(self, shooting: Shooting) -> None:
        if self._executor is None:
            with self._stop.at_once():  # a cluster may take its time to answer
                self._executor = self._make_executor()
        job = shooting.job(self._takes)
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
                numbers = self._ledger.begin_attempts(production, keys, worker.device, worker.name, owner)
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
        take = self._ledger.finish_attempt(shooting.attempts.pop(key), event.take)
        self._takes[key] = take
        shooting.failures.clear()
        for film in self._films.values():
            if key in film.missing:
                film.missing.discard(key)
                film.rendered += 1
        self._show.clip_done(shooting.segment, shooting.segment.keys.index(key), take)

    def _forget(self, file: str) -> bool:
        """A stored file is gone or altered: its clip has to be rendered again. False when nothing needs the file."""
        uses = self._ledger.drop_file(file, "damaged")
        keys = {use.key for use in uses if use.kind != "print"}
        log.warning("%s is damaged; needed by %s", file, uses)
        for key in keys & self._takes.keys():
            del self._takes[key]
        for film in self._films.values():
            film.missing |= {clip.key for clip in film.plan.clips} & keys
        return bool(uses)

    def _job_failed(self, shooting: Shooting, failure: Failure) -> None:
        for number in shooting.attempts.values():
            self._ledger.fail_attempt(number, failure.error, failure.message, failure.trace, failure.log_tail)
        shooting.attempts = {}
        if failure.file and self._forget(failure.file):  # the tail it starts from is damaged
            self._show.job_failed(shooting.segment, failure, 1, False)
            self._queue()
            return
        held = shooting.failed(failure)
        self._show.job_failed(shooting.segment, failure, len(shooting.failures), held)
        if held:
            segment = shooting.segment
            reason = f"{failure.error}: {failure.message}"
            self._ledger.hold(segment.film, segment.shot, segment.keys[0], reason, failure.digest)
            self._give_up(shooting, reason)
        else:
            self._waiting.append(shooting)

    def _give_up(self, shooting: Shooting, why: str) -> None:
        """Every film that wanted these clips goes on without them."""
        keys = set(shooting.segment.keys)
        for film in self._films.values():
            for shot in film.plan.shots:
                if keys & film.missing & {clip.key for clip in shot.clips}:
                    film.lost.setdefault(shot.id, why)

    # ---- the end ------------------------------------------------------------------------------------

    def _cut_ready(self) -> None:
        for film in self._films.values():
            if film.cut is not None and film.cut.done() and film.mended < MOST_TRIES:
                error = film.cut.exception()
                if isinstance(error, FileDamaged | FileMissing) and self._forget(error.id):
                    for file in self._cut.damaged(film.plan, self._takes):  # one seldom comes alone
                        self._forget(file)
                    film.cut, film.mended = None, film.mended + 1
                    self._queue()
            if film.cut is None and not film.missing:
                self._show.film_cuts(film.plan)
                film.cut = self._scissors.submit(self._cut, film.plan, film.production, dict(self._takes))

    def _finish(self, film: FilmUnderWay) -> FilmResult:
        state: Literal["done", "partial", "failed"] = "done" if film.cut else "partial"
        message = "; ".join(f"shot {shot}: {why}" for shot, why in film.lost.items())
        files: list[str] = []
        try:
            files = film.cut.result() if film.cut else []
        except (DirectorError, StorageError, ShotsError, OSError) as error:  # the other films go on
            log.debug("cutting %s failed", film.plan.film, exc_info=True)
            state, message = "failed", f"all clips are rendered, but the film could not be cut: {error}"
        film.result = FilmResult(
            film.plan, state, film.rendered, film.cached, files, message, time.monotonic() - film.began
        )
        self._ledger.end_production(film.production, ProductionState(state), message)
        self._show.film_ends(film.result)
        return film.result

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
        try:
            for shooting in self._shooting.values():
                self._interrupt(shooting)
            for film in self._films.values():
                if film.result is None and film.production:
                    self._ledger.end_production(film.production, ProductionState.INTERRUPTED)
        except StorageError as error:
            log.warning("the ledger could not be told that the run ended early: %s", error)

    def _close(self) -> None:
        self._scissors.shutdown(wait=self._stop.asked is None, cancel_futures=True)
        if self._executor:
            self._executor.close()
        for film in self._films.values():
            try:
                film.lease.release()
            except StorageError as error:
                log.warning("the claim on %s could not be released: %s", film.plan.film, error)

    def _beat(self) -> None:
        """Renew the claims, so that nobody takes a film that is being rendered."""
        while not self._heart.wait(5.0):
            for film in self._films.values():
                try:
                    film.lease.renew()
                except StorageError as error:
                    log.warning("the claim on %s could not be renewed: %s", film.plan.film, error)
