"""The run loop: render what is missing, remember everything, cut each film as soon as its clips are there.

Stop it at any moment and run it again: a clip is either in the ledger with its files on disk, or it is rendered
again. The loop itself never touches pixels; it hands jobs to an executor and writes down what the executor says. What
an event costs does not depend on how much waits.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial

from cluster.executor import Executor
from cluster.job import Sending
from storage.errors import StorageError
from storage.ledger import Ledger
from storage.states import ProductionState

from .deadline import due
from .entry import cut_off, enter, record
from .hours import exhausted, left_to_do
from .observer import Cutter, FilmResult, Quiet, State
from .planned import Plan
from .segments import LOCKSTEP, segments
from .stage import Stage
from .stop import Stop, Stopped
from .survey import Survey
from .underway import MOST_MENDS, FilmUnderWay, Heart

log = logging.getLogger("longtake.production")
SENDING = 10.0
"""Seconds more for a camera that sends its checkpoint to a store elsewhere."""
TICK = 0.2
LOOK = 1.0
"""Seconds between two looks at hours that are spent and at clips that others render."""
LOSSES = 3
"""Times that a clip was at work when its process died, after which it comes last. It is not held: that somebody killed
the process looks the same, and whoever does that to three runs still wants the film."""


class Production(Stage):
    """Renders films together: their clips share the cameras and a clip that two films need is rendered once.

    cut: called in a thread beside the loop, once for each film. rerun: plan, `shot/clip` -> the command that shows why
    a clip is held. labs: what the cut decodes and encodes is done where the executor says, and not by this process.
    """

    def __init__(
        self,
        ledger: Ledger,
        executor: Callable[[], Executor],
        cut: Cutter,
        show: Quiet,
        stop: Stop,
        lockstep: int = LOCKSTEP,
        rerun: Callable[[Plan, str], str] | None = None,
        labs: bool = False,
    ) -> None:
        super().__init__(ledger, executor, cut, show, stop, rerun, labs)
        self._lockstep = lockstep
        self._suspects: set[str] = set()
        self._heart = Heart(self._films, self._claims.renew)
        self._next_look = 0.0

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
        if plan.terms.deadline:
            film.deadline = due(plan.terms.deadline, time.time())
        if plan.terms.gpu_hours:
            film.spent = self._ledger.camera_seconds(plan.film)
            film.exhausted = exhausted(film)
        died = self._ledger.losses(film.missing - film.left)
        self._suspects |= {key for key, attempts in died.items() if len(attempts) >= LOSSES}
        self._show.film_begins(film.plan, len(found.wanted), film.cached)

    def _queue(self) -> None:
        """Put all missing runs that are not under way yet into the queue; those of held chains are given up."""
        held = {hold.chain_key: hold.reason for hold in self._ledger.holds()}
        films = [film for film in self._films.values() if not film.over]
        for film in films:
            for key in film.missing | film.hinges:
                self._wanted.setdefault(key, set()).add(film.plan.film)
            self._cutting.ready(film)
        wanted = {key for film in films for key in film.missing - film.left}
        left = {key for film in films for key in film.left} - wanted
        have = self._waiting.coming | self._takes.keys() | left
        hinges = {key for film in films for key in film.hinges}
        for segment in segments([film.plan for film in films], have, self._lockstep, hinges):
            shooting = self._dispatch.shooting(segment, segment.keys[0] in self._suspects)
            if reason := next((held[key] for key in segment.keys if key in held), None):
                self._give_up(shooting, f"held: {reason}")
            else:
                self._waiting.add(shooting)
                self._show.job_waits(segment)
        for shooting in self._waiting.orphans():
            self._give_up(shooting, "the clip before it could not be rendered")

    def _loop(self) -> None:
        while True:
            self._look_around()
            for shooting in self._waiting.ready(time.monotonic()):
                self._dispatch.submit(shooting)
            for film, error in self._cutting.turn():
                if not (error and self._mended(film, error)):
                    self._end(film, error)
            if not (self._waiting or self._dispatch.jobs or self._elsewhere or self._cutting):
                return
            if self._stop.asked is not None:
                self._wind_down()
                raise Stopped(self._stop.asked)
            if self._dispatch.executor:
                for event in self._dispatch.executor.wait(TICK):
                    self._handle(event)
            else:
                time.sleep(TICK / 10)

    def _look_around(self) -> None:
        """What no event tells: films taken over, hours spent, clips that others have finished, followers that wait."""
        if self._heart.usurped or self._usurped:
            self._heart.usurped = self._usurped = False
            self._leave_usurped()
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK
        self._look_elsewhere()
        self._dispatch.rejoin()
        for film in self._films.values():
            if film.result is None and film.plan.terms.gpu_hours:
                self._look_at_hours(film)

    def _cut_off(self, film: FilmUnderWay) -> None:
        """A clip that was rendered again may have left the tail that was there before: then what follows stays."""
        found = self._survey(film.asked)
        if cut_off(self._ledger, film, found):
            self._takes.update(found.takes)
            self._waiting.leave(film.plan.film)
            self._queue()

    def _mended(self, film: FilmUnderWay, error: BaseException) -> bool:
        damaged = self._cutting.damaged(film, error)
        return bool(damaged) and self._mend(film, damaged)

    def _mend(self, film: FilmUnderWay, files: Collection[str]) -> bool:
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

    def _leave_usurped(self) -> None:
        """Another process has taken a film over, because this one was silent for too long: it is not ours any more."""
        for film in self._films.values():
            if film.usurped and film.result is None:
                what = "another process has taken this film over; longtake status says which"
                film.result = self._result(film, "failed", [], what)
                film.missing.clear()
                self._leave(film)
                self._show.film_ends(film.result)

    def _look_at_hours(self, film: FilmUnderWay) -> None:
        """Stop what is under way of a film whose hours are spent, and end it as soon as its cameras have let go."""
        if not film.exhausted and (why := exhausted(film)):
            film.exhausted = why
            log.warning("%s: %s; its cameras stop between two steps", film.plan.film, why)
            self._leave(film)
        mine = [each for each in self._dispatch.jobs.values() if each.segment.film == film.plan.film]
        # Without missing clips it is cut: the last one was still being decoded when the hours were over.
        if film.exhausted and film.missing and not any(each.worker for each in mine) and film.cut is None:
            self._end(film)

    def _leave(self, film: FilmUnderWay) -> None:
        """Render no more of a film. What others want of it becomes theirs."""
        for shooting in self._waiting.leave(film.plan.film):
            self._dispatch.withdraw(shooting)
        for shooting in [each for each in self._dispatch.jobs.values() if each.segment.film == film.plan.film]:
            shooting.dropped = self._dispatch.withdraw(shooting)
            self._waiting.forget(shooting)
        self._elsewhere = [each for each in self._elsewhere if each.segment.film != film.plan.film]
        self._queue()

    def _result(self, film: FilmUnderWay, state: State, files: list[str], message: str) -> FilmResult:
        seconds = time.monotonic() - film.began
        return FilmResult(film.plan, state, film.rendered, film.cached, files, message, seconds)

    def _end(self, film: FilmUnderWay, error: BaseException | None = None) -> FilmResult:
        """Write down how a film ended and let it go; the others are not touched by it."""
        if film.result is not None:
            return film.result
        state: State = "done" if film.cut else "spent" if film.exhausted else "partial"
        message = "; ".join(f"shot {shot}: {why}" for shot, why in film.lost.items())
        if state == "spent":
            message = "; ".join(part for part in (f"{film.exhausted}. {left_to_do(film)}", message) if part)
        if error is not None:
            log.debug("cutting %s failed", film.plan.film, exc_info=error)
            state, message = "failed", f"all clips are rendered, but the film could not be cut: {error or repr(error)}"
        film.result = self._result(film, state, film.cut.result() if film.cut and state == "done" else [], message)
        if state == "done" and self._ledger.holds(film.plan.film):
            self._ledger.release_holds(film.plan.film)
        if not film.recorded:
            recorded = ProductionState.PARTIAL if state == "spent" else ProductionState(state)
            self._ledger.end_production(film.production, recorded, message)
        self._release(film)
        self._show.film_ends(film.result)
        return film.result

    def _wind_down(self) -> None:
        """Let cameras stop between two steps; keep the clips that still arrive."""
        if self._dispatch.executor is None:
            return
        self._dispatch.executor.cancel()
        deadline = time.monotonic() + self._stop.grace
        while self._dispatch.jobs and time.monotonic() < deadline:
            for event in self._dispatch.executor.wait(TICK):
                self._handle(event)
                if isinstance(event, Sending):
                    deadline = max(deadline, time.monotonic() + SENDING)

    def _abandon(self) -> None:
        """Something ended the run early: leave the ledger saying so. Must not hide the first error."""
        for shooting in self._dispatch.jobs.values():
            self._told(partial(self._interrupt, shooting))
        for film in self._films.values():
            if film.result is None and film.production and not film.recorded:
                self._told(partial(self._ledger.end_production, film.production, ProductionState.INTERRUPTED))

    def _told(self, call: Callable[[], object]) -> None:
        try:
            call()
        except StorageError as error:
            log.warning("the ledger could not be told or asked: %s", error)

    def _close(self) -> None:
        self._cutting.close(wait=self._stop.asked is None)
        try:
            if self._dispatch.executor:
                self._dispatch.executor.close()
        finally:
            for job in list(self._dispatch.jobs):
                self._told(partial(self._claims.release, job))
            for film in self._films.values():
                self._release(film)

    def _release(self, film: FilmUnderWay) -> None:
        film.released = True
        self._told(film.lease.release)
