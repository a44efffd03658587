"""Jobs of windows on a pool of cameras: those that wait until several are there, and those that several render.

All clips of such a job depend on each other both ways, so its parts run at the same time or not at all, and a camera
cannot join late. What comes too late for that is done over: a job that has most of its steps before it stops with a
checkpoint when cameras have nothing else to do, and goes on from there on more of them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import ray

from .beside import ON_ITS_WAY
from .job import ENDINGS, Event, Job, JobDone, JobStopped
from .parts import Shared, cameras_for, most_cameras
from .ray_pool import RayPool
from .ray_seat import RaySeat
from .schedule import Schedule

log = logging.getLogger("longtake.ray")
PATIENCE = 30.0
"""Seconds that a job waits until all cameras that could share it have come up."""
EARLY = 0.5
"""A job that has made this share of its steps is left where it is."""
WIDER = "more cameras are free to render its clips at the same time"

Begin = Callable[[RaySeat, Job, Any, Any], None]
"""(seat, part, left, right): puts it on a free camera; who renders the clips before and after it."""


class RayParts:
    """The jobs of windows that more than one camera could render.

    cameras: how many there are at most. moves: a camera finds what another has kept, wherever it is.
    """

    def __init__(self, pool: RayPool, schedule: Schedule, begin: Begin, cameras: int | None, moves: bool) -> None:
        self._pool, self._schedule, self._begin = pool, schedule, begin
        self._cameras, self._moves = cameras, moves
        self._apart: dict[str, tuple[Job, float]] = {}  # that wait for cameras to come up, since when
        self._shared: dict[str, _Sharing] = {}  # that several render
        self._stopping: dict[str, str] = {}  # that run and were asked to stop -> why they go on elsewhere, or ''

    def __len__(self) -> int:
        """How many wait."""
        return len(self._apart)

    def __contains__(self, job_id: str) -> bool:
        """Do several cameras render it?"""
        return job_id in self._shared

    @property
    def demand(self) -> int:
        """Cameras that those that wait could do with, and those that began on too few, beyond what they have."""
        lacking: dict[str, int] = {}
        for seat in self._pool.seats if self._moves else ():
            job = self._whole(seat)
            if job is not None and job.id not in self._stopping and seat.done < EARLY:
                lacking[job.id] = max(0, cameras_for(job, most_cameras(job)) - len(self._at_work(job)))
        return sum(most_cameras(job) for job, _ in self._apart.values()) + sum(lacking.values())

    def submit(self, job: Job) -> bool:
        """Let a job wait for cameras; false when one will do, or there is but one."""
        if self._cameras == 1 or most_cameras(job) == 1:
            return False
        self._apart[job.id] = job, time.monotonic()
        return True

    def withdraw(self, job_id: str) -> bool:
        """Whether it waited, which it does no more."""
        return self._apart.pop(job_id, None) is not None

    def stops(self, job_id: str) -> None:
        """Its cameras were asked to stop, for good."""
        self._stopping[job_id] = ""

    def cancel(self) -> list[Job]:
        """All that waited, which none of them does any more."""
        waiting, self._apart = [job for job, _ in self._apart.values()], {}
        return waiting

    def let_in(self) -> None:
        """Those that need not wait for cameras any more are scheduled: all are there, or no more are coming."""
        free, now = sum(seat.free for seat in self._pool.seats), time.monotonic()
        coming = self._pool.growing or any(seat.coming is not None for seat in self._pool.seats)
        anybody = any(seat.worker for seat in self._pool.seats)
        for job, since in list(self._apart.values()):
            if not anybody:  # patience begins with the first camera
                self._apart[job.id] = job, now
                continue
            settled = self._pool.looked > since and not coming
            if settled or free >= most_cameras(job) or now - since > PATIENCE:
                del self._apart[job.id]
                self._schedule.add(job)

    def begin(self, seat: RaySeat, job: Job, idle: list[RaySeat]) -> bool:
        """Begin a job on this camera and, at the same time, on those that got nothing; false when there are none."""
        model = job.specs[0].model.digest
        others = [each for each in idle if each.holds(job) and not each.dark]  # or all would wait for its decoder
        others.sort(key=lambda each: (each.name == job.avoid, each.warm != model))
        seats = [seat, *others][: cameras_for(job, 1 + len(others))]
        if len(seats) == 1:
            return False
        idle[:] = [each for each in idle if all(each is not other for other in seats)]
        sharing = self._shared[job.id] = _Sharing(job, [each.actor for each in seats])
        log.info("%s %s: %d clips at once on %d cameras", job.film, job.shot, len(job.specs), len(seats))
        actors = [None, *sharing.actors, None]
        for n, (each, part) in enumerate(zip(seats, sharing.parts, strict=True)):
            self._begin(each, part, actors[n], actors[n + 2])
        return True

    def widen(self) -> None:
        """Cameras have nothing to do: a job that more of them could render stops, to go on on more."""
        idle = [seat for seat in self._pool.seats if seat.free and not seat.dark]
        for seat in [seat for seat in self._pool.seats if seat.job] if idle and self._moves else ():
            job = self._whole(seat)
            if job is None or job.id in self._stopping or seat.done >= EARLY:
                continue
            at_work = self._at_work(job)
            more = cameras_for(job, len(at_work) + sum(each.holds(job) for each in idle)) > len(at_work)
            if more and len(at_work) == self._begun(job) and not any(each.leaving or each.lent for each in at_work):
                self._stopping[job.id] = WIDER
                for each in at_work:
                    each.actor.stop.remote(each.job.id if each.job else "")
                return

    def told(self, job: Job, event: Event) -> list[Event]:
        """What an event of a camera's job tells: of a part, what it is of the whole."""
        sharing = self._shared.get(job.whole)
        events = list(sharing.told(job, event)) if sharing else [event]
        if sharing and sharing.over:
            del self._shared[job.whole]
            self._schedule.spent(job.film, sharing.seconds, job.whole)
            if isinstance(events[-1], JobDone):
                sharing.forget()
        return [self._goes_on(each) for each in events]

    def ended(self, seat: RaySeat, job: Job, seconds: float) -> None:
        """A camera's job has ended. Parts beside it go on for as long as they know what they need, which is to the end
        when it was done."""
        sharing = self._shared.get(job.whole)
        if sharing is None:
            self._schedule.spent(job.film, seconds, job.id)
            return
        sharing.seconds += seconds
        why = f"{seat.name} on {seat.node.host}, which rendered clips of this shot at the same time, ended early"
        for other in self._pool.seats:
            if other.job and other.job.part and job.id in (other.job.part.left, other.job.part.right):
                other.actor.lose.remote(job.id, why)

    def _at_work(self, job: Job) -> list[RaySeat]:
        return [each for each in self._pool.seats if each.job and each.job.whole == job.id]

    def _whole(self, seat: RaySeat) -> Job | None:
        """The job that a camera renders, alone or with others, when more could share it."""
        sharing = self._shared.get(seat.job.whole) if seat.job else None
        job = sharing.job if sharing else seat.job
        return job if job and most_cameras(job) > 1 else None

    def _begun(self, job: Job) -> int:
        """Cameras that began it; none of its parts has ended when as many are at work."""
        return len(self._shared[job.id].parts) if job.id in self._shared else 1

    def _goes_on(self, event: Event) -> Event:
        if not isinstance(event, ENDINGS):
            return event
        why = self._stopping.pop(event.job, "")
        return replace(event, elsewhere=why) if isinstance(event, JobStopped) and not event.elsewhere else event


class _Sharing(Shared):
    """A job that several cameras render, and their actors, the first clips first."""

    def __init__(self, job: Job, actors: list[Any]) -> None:
        super().__init__(job, len(actors))
        self.actors = actors

    def forget(self) -> None:
        """It is done: away with the checkpoints of its parts. A camera that is gone by now leaves its own."""
        gone = [actor.forget.remote(self.job.keys) for actor in self.actors]
        ray.wait(gone, num_returns=len(gone), timeout=ON_ITS_WAY)
