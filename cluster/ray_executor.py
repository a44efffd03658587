"""The executor on Ray: a pool of Camera actors, each with a warm model, and the jobs that wait for one.

An actor is a `Camera` in a process of its own; its events come back as a Ray stream. A worker that dies ends
its job with a transient failure and is replaced; nothing that was stored is lost, because clips and tails are
in the content-addressed store and never only in Ray's object store.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from .bookmark import Every
from .desk import Desk
from .job import ENDINGS, ClipDone, Event, Failure, Job, JobDone, JobFailed, JobStopped
from .ray_connection import Connection, gone
from .ray_labs import Labs
from .ray_pool import RayPool, RaySeat, Terms
from .schedule import Schedule, Seat

log = logging.getLogger("longtake.ray")
AT_ONCE = 64
"""Events that `wait` returns at most, about."""


class OnRay:
    """Camera actors on a Ray cluster: the one at `address`, or one started here and stopped at `close`.

    cameras: how many at most; by default as many as there is work and room for. gpus: that each takes, also a part of
    one; by default one where the cluster has any, else none and a CPU core. Cameras start when there are jobs.
    device: as for `Camera`; `auto`: the GPU where a camera has one. checkpoint_every: as for `Camera`.
    aside: host -> why, of the nodes that the ledger has set aside; asked about once a second.

    Raises, here, with the first question or job, and from `wait`:
        ClusterUnreachable: no Ray at the address, or it went away.
        ClusterMismatch: Ray, Python or longtake have another version there.
        NoCamera: the cluster cannot hold even one camera.
    """

    def __init__(
        self,
        files: str | Path,
        address: str | None = None,
        cameras: int | None = None,
        checkpoint_every: Every = Every(),
        *,
        gpus: float | None = None,
        device: str = "auto",
        aside: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        where = str(files) if "://" in str(files) else str(Path(files).resolve())
        self._schedule = Schedule()
        self._spare: list[Event] = []
        self._stopping = False
        self._terms = Terms(where, cameras, gpus, device, checkpoint_every, aside)
        self._connection = Connection(address)
        self._labs = Labs(where, lambda: self._connection.lost)

    @cached_property
    def _pool(self) -> RayPool:
        """Begun with the first job: who has none may be on a cluster that has no room for a camera."""
        return RayPool(self._terms, self._labs, self._schedule.gone)

    @property
    def _begun(self) -> bool:
        return "_pool" in vars(self)

    def submit(self, job: Job) -> None:
        if any(seat.job and seat.job.id == job.id for seat in self._pool.seats):
            return  # it runs already, beside the job that it follows
        self._schedule.add(job)

    def wait(self, timeout: float) -> Sequence[Event]:
        try:
            return self._wait(timeout)
        except RayError as error:
            raise gone(error) from None

    def withdraw(self, job_id: str) -> None:
        if self._schedule.remove(job_id):
            return
        for seat in self._pool.seats:
            if seat.job and seat.job.id == job_id:
                seat.actor.stop.remote(job_id)

    def most_memory(self) -> int:
        return self._pool.most_memory()

    def desk(self) -> Desk:
        return self._labs

    def cancel(self) -> None:
        self._stopping = True
        if not self._begun:
            return
        for job in list(self._schedule):
            self._schedule.remove(job.id)
            self._spare.append(JobStopped(job.id))
        for seat in self._pool.seats:
            if seat.job:
                seat.actor.stop.remote()

    def close(self) -> None:
        try:
            if not self._connection.lost:  # without a head nobody can be told, and cameras end with their driver
                if self._begun:
                    self._pool.close()
                self._labs.close()
        except RayError as error:
            log.warning("cameras could not be ended: %s", error)
        finally:
            self._connection.close()

    def _wait(self, timeout: float) -> Sequence[Event]:
        events, self._spare = self._spare, []
        self._look_around(events)
        waited = 0.0 if events else timeout
        if not (watched := self._watched()):
            time.sleep(min(waited, 0.05))
        while watched and len(events) < AT_ONCE:
            ready, _ = ray.wait(list(watched), num_returns=1, timeout=waited)
            if not ready:
                break
            ready, _ = ray.wait(list(watched), num_returns=len(watched), timeout=0)
            for ref in ready:
                if (seat := watched[ref]).stream is ref:
                    events.extend(self._hear(seat))
            waited = 0.0
            self._pool.meet()
            self._seat_jobs()
            watched = self._watched()
        return events

    def _look_around(self, events: list[Event]) -> None:
        """Cameras that were hired have come up; nodes have come and gone; jobs wait."""
        if not self._connection.alive() or not self._begun:
            return
        demand = len(self._schedule) + sum(seat.job is not None for seat in self._pool.seats)
        events.extend(self._pool.look(0 if self._stopping else demand))
        self._pool.meet()
        self._seat_jobs()

    def _watched(self) -> dict[Any, RaySeat]:
        """What a busy camera, or one that is coming, will say next."""
        seats = self._pool.seats if self._begun else ()
        those = ((seat.stream if seat.stream is not None else seat.coming, seat) for seat in seats)
        return {ref: seat for ref, seat in those if ref is not None}

    def _hear(self, seat: RaySeat) -> list[Event]:
        """The next event of a busy camera; one that died, or whose node did, is replaced."""
        assert seat.job is not None
        try:
            event: Event = ray.get(next(seat.stream))
        except RayTaskError as error:  # the camera lives
            failure = Failure(type(error.cause).__name__, str(error.cause), trace=str(error))
            return self._end(seat, JobFailed(seat.job.id, failure))
        except (RayError, StopIteration) as error:
            return self._bury(seat, error)
        if isinstance(event, ENDINGS):
            return self._end(seat, event)
        if isinstance(event, ClipDone):
            self._hand_on(seat.job, event)
            seat.chain = event.take.key
            self._pool.trust.worked(seat.node.id)
        return [event]

    def _bury(self, seat: RaySeat, error: BaseException) -> list[Event]:
        """A camera died. Its job failed through no fault of its own, had to leave, or was stopped."""
        assert seat.job is not None
        job = seat.job
        log.warning("%s on %s died", seat.name, seat.node.host)
        log.debug("%s", error)
        told = "the worker died" if isinstance(error, RayActorError | StopIteration) else "what it said was lost"
        message = f"{told} while {seat.name} on {seat.node.host} rendered {job.film} {job.shot}"
        failed = JobFailed(job.id, Failure("WorkerDied", message, log_tail=str(error), worker=True))
        events = self._end(seat, failed)
        if seat in self._pool.seats:
            self._pool.dismiss(seat)
        return events

    def _end(self, seat: RaySeat, event: Event) -> list[Event]:
        """A camera's job has ended: the one place where that happens."""
        assert seat.job is not None
        job, seat.job, seat.stream = seat.job, None, None
        if not isinstance(event, JobDone):
            self._desert(seat, job)
        now = time.monotonic()
        self._schedule.spent(job.film, now - seat.since, job.id)
        seat.since = now
        events: list[Event] = [event]
        if self._stopping and isinstance(event, JobFailed):
            events = [JobStopped(job.id)]
        elif seat.leaving and isinstance(event, JobStopped | JobFailed):
            events = [JobStopped(job.id, seat.leaving)]
        elif isinstance(event, JobFailed):
            events += self._pool.failed(seat, job, event.failure)
        if seat.leaving or seat.lent:
            self._pool.dismiss(seat)
        return events

    def _seat_jobs(self) -> None:
        """Give waiting jobs to free cameras."""
        if self._stopping or not len(self._schedule):
            return
        for seat in [seat for seat in self._pool.seats if seat.free]:
            asked = Seat(seat.name, seat.node.id, seat.warm, seat.memory, seat.chain)
            if job := self._schedule.take(asked, time.time()):
                self._begin(seat, job)
        if any(seat.free for seat in self._pool.seats):
            for seat in [seat for seat in self._pool.seats if seat.job]:
                self._seat_followers(seat)

    def _seat_followers(self, leader: RaySeat) -> None:
        """Cameras that got nothing render what follows a running job, beside it: it hands them what it leaves."""
        leading = leader.job
        for job in self._schedule.followers(leading.id) if leading else ():
            free = [seat for seat in self._pool.seats if seat.free and _holds(seat, job)]
            if free:
                model = job.specs[0].model.digest
                seat = max(free, key=lambda seat: (seat.name != job.avoid, seat.warm == model))
                self._begin(seat, self._schedule.seat_with(job), hears=True)
                leader.actor.lead.remote(job.follows, seat.actor)
                self._seat_followers(seat)

    def _hand_on(self, job: Job, event: ClipDone) -> None:
        """A job is done: whoever follows it finds in the store what may still be on its way, or lost."""
        for seat in self._pool.seats if event.take.key == job.keys[-1] else ():
            if seat.job and seat.job.follows == job.id and seat.job.tail is None:
                seat.actor.hear_tail.remote(job.id, event.take.tail)

    def _desert(self, leader: RaySeat, job: Job) -> None:
        """Tell whoever follows a job that it has ended early."""
        why = f"{leader.name} on {leader.node.host}, which rendered the clips before at the same time, ended early"
        for seat in self._pool.seats:
            if seat.job and seat.job.follows == job.id:
                seat.actor.lose.remote(job.id, why)

    def _begin(self, seat: RaySeat, job: Job, hears: bool = False) -> None:
        """Put a job on a free camera: the one place where that happens."""
        seat.job, seat.warm, seat.since = job, job.specs[0].model.digest, time.monotonic()
        seat.stream = seat.actor.shoot.options(num_returns="streaming").remote(job, hears)


def _holds(seat: RaySeat, job: Job) -> bool:
    return not (job.memory and seat.memory) or job.memory < seat.memory
