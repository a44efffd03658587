"""The executor on Ray: a pool of Camera actors, each with a warm model, and the jobs that wait for one.

An actor is a `Camera` in a process of its own; its events come back as a Ray stream. A worker that dies ends
its job with a transient failure and is replaced; nothing that was stored is lost, because clips and tails are
in the content-addressed store and never only in Ray's object store.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from .bookmark import Every
from .darkroom import DecodeBeside
from .desk import Desk
from .job import ENDINGS, ClipDone, Event, Failure, Job, JobDone, JobFailed, JobStopped, Sampled, Stepped
from .parts import most_cameras
from .ray_connection import Connection, gone
from .ray_labs import Labs
from .ray_parts import RayParts
from .ray_pool import RayPool
from .ray_seat import RaySeat, Terms
from .schedule import Schedule, Seat

log = logging.getLogger("longtake.ray")
AT_ONCE = 64
"""Events that `wait` returns at most, about."""


class OnRay:
    """Camera actors on a Ray cluster: the one at `address`, or one started here and stopped at `close`.

    cameras: how many at most; by default as many as there is work and room for. gpus: that each takes, also a part of
    one; by default one where the cluster has any, else none and a CPU core. Cameras start when there are jobs.
    device: as for `Camera`; `auto`: the GPU where a camera has one. checkpoint_every: as for `Camera`.
    aside: host -> why, of the nodes that the ledger has set aside; asked about once a second. decode_beside: as for
    `Camera`. rung: a job, bytes of the device of the camera that gets it -> where it begins on the memory ladder.

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
        decode_beside: DecodeBeside = "auto",
        rung: Callable[[Job, int], int] = lambda job, memory: job.rung,
    ) -> None:
        where = str(files) if "://" in str(files) else str(Path(files).resolve())
        self._schedule = Schedule()
        self._spare: list[Event] = []
        self._stopping = False
        self._terms = Terms(where, cameras, gpus, device, checkpoint_every, aside, decode_beside, rung)
        self._connection = Connection(address)
        self._labs = Labs(where, lambda: self._connection.lost)

    @cached_property
    def _pool(self) -> RayPool:
        """Begun with the first job: who has none may be on a cluster that has no room for a camera."""
        return RayPool(self._terms, self._labs, self._schedule.gone)

    @cached_property
    def _parts(self) -> RayParts:
        # A job moves of its own accord only where that cannot cost a step: a store elsewhere may be out of reach.
        moves = "://" not in self._terms.files
        return RayParts(self._pool, self._schedule, self._begin_part, self._terms.cameras, moves)

    @property
    def _begun(self) -> bool:
        return "_pool" in vars(self)

    def submit(self, job: Job) -> None:
        if job.id in self._parts or any(each.id == job.id for seat in self._pool.seats for each in seat.jobs):
            return  # it runs already, beside the job that it follows
        if not self._parts.submit(job):
            self._schedule.add(job)

    def wait(self, timeout: float) -> Sequence[Event]:
        try:
            return self._wait(timeout)
        except RayError as error:
            raise gone(error) from None

    def withdraw(self, job_id: str) -> None:
        if self._schedule.remove(job_id) or self._parts.withdraw(job_id):
            return
        for seat in self._pool.seats:
            for job in [each for each in seat.jobs if each.whole == job_id]:
                self._parts.stops(job_id)
                seat.actor.stop.remote(job.id)

    def most_memory(self) -> int:
        return self._pool.most_memory()

    def desk(self) -> Desk:
        return self._labs

    def cancel(self) -> None:
        self._stopping = True
        if not self._begun:
            return
        for job in [*self._schedule, *self._parts.cancel()]:
            self._schedule.remove(job.id)
            self._spare.append(JobStopped(job.id))
        for seat in self._pool.seats:
            if seat.jobs:
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
                if (job := _of(watched[ref], ref)) is not None:
                    events.extend(self._hear(watched[ref], job, ref))
            waited = 0.0
            self._pool.meet()
            self._seat_jobs()
            watched = self._watched()
        return events

    def _look_around(self, events: list[Event]) -> None:
        """Cameras that were hired have come up; nodes have come and gone; jobs wait."""
        if not self._connection.alive() or not self._begun:
            return
        demand = len(self._schedule) + self._parts.demand + sum(seat.job is not None for seat in self._pool.seats)
        events.extend(self._pool.look(0 if self._stopping else demand))
        self._pool.meet()
        self._seat_jobs()

    def _watched(self) -> dict[Any, RaySeat]:
        """What a busy camera, or one that is coming, will say next."""
        seats = self._pool.seats if self._begun else ()
        those = [(ref, seat) for seat in seats for ref in (seat.stream, seat.coming)]
        those += [(ref, seat) for seat in seats for _, ref in seat.dark.values()]
        return {ref: seat for ref, seat in those if ref is not None}

    def _hear(self, seat: RaySeat, job: Job, stream: Any) -> list[Event]:
        """The next event of a job on a camera; one that died, or whose node did, is replaced."""
        try:
            event: Event = ray.get(next(stream))
        except RayTaskError as error:  # the camera lives
            failure = Failure(type(error.cause).__name__, str(error.cause), trace=str(error))
            return self._end(seat, job, JobFailed(job.id, failure))
        except (RayError, StopIteration) as error:
            return self._bury(seat, error)
        if isinstance(event, ENDINGS):
            return self._end(seat, job, event)
        if isinstance(event, Sampled):
            self._sampled(seat, job, event)
        if isinstance(event, ClipDone):
            if event.take.key == job.keys[-1]:
                self._hand_on(job, event.take.tail)
            seat.chain = event.take.key
            self._pool.trust.worked(seat.node.id)
        if isinstance(event, Stepped):
            seat.done = event.step / event.steps
        return self._parts.told(job, event)

    def _sampled(self, seat: RaySeat, job: Job, event: Sampled) -> None:
        """A camera has sampled a job and decodes it beside the next, for which it is free; that may be what follows."""
        self._schedule.hand_down(job.id, event.tail)
        self._hand_on(job, event.tail)
        seat.dark[job.id] = job, seat.stream
        seat.job, seat.stream, seat.chain = None, None, job.keys[-1]
        self._spent(seat, job)

    def _bury(self, seat: RaySeat, error: BaseException) -> list[Event]:
        """A camera died. Its jobs failed through no fault of their own, had to leave, or were stopped."""
        log.warning("%s on %s died", seat.name, seat.node.host)
        log.debug("%s", error)
        told = "the worker died" if isinstance(error, RayActorError | StopIteration) else "what it said was lost"
        events: list[Event] = []
        for job in seat.jobs:
            message = f"{told} while {seat.name} on {seat.node.host} rendered {job.film} {job.shot}"
            failed = JobFailed(job.id, Failure("WorkerDied", message, log_tail=str(error), worker=True))
            events += self._end(seat, job, failed, job is seat.jobs[-1])  # one death is one failure of its node
        if seat in self._pool.seats:
            self._pool.dismiss(seat)
        return events

    def _end(self, seat: RaySeat, job: Job, event: Event, counts: bool = True) -> list[Event]:
        """A camera's job has ended: the one place where that happens. counts: a failure is one of its node, too."""
        if seat.dark.pop(job.id, None) is None:
            seat.job, seat.stream = None, None
            self._spent(seat, job)
        if not isinstance(event, JobDone):
            self._desert(seat, job)
        events: list[Event] = [event]
        if self._stopping and isinstance(event, JobFailed):
            events = [JobStopped(job.id)]
        elif seat.leaving and isinstance(event, JobStopped | JobFailed):
            events = [JobStopped(job.id, seat.leaving)]
        elif isinstance(event, JobFailed) and counts:
            events += self._pool.failed(seat, job, event.failure)
        events[:1] = self._parts.told(job, events[0])
        if (seat.leaving or seat.lent) and not seat.jobs:
            self._pool.dismiss(seat)
        return events

    def _spent(self, seat: RaySeat, job: Job) -> None:
        """A camera has nothing to sample any more."""
        now = time.monotonic()
        self._parts.ended(seat, job, now - seat.since)
        seat.since = now

    def _seat_jobs(self) -> None:
        """Give waiting jobs to free cameras."""
        if self._stopping or not any(seat.free for seat in self._pool.seats):
            return
        self._parts.let_in()
        idle: list[RaySeat] = []
        wide: list[tuple[RaySeat, Job]] = []
        for seat in [seat for seat in self._pool.seats if seat.free] if len(self._schedule) else ():
            asked = Seat(seat.name, seat.node.id, seat.warm, seat.memory, seat.chain)
            job = self._schedule.take(asked, time.time())
            if job is None:
                idle.append(seat)
            elif most_cameras(job) > 1:
                wide.append((seat, job))
            else:
                self._begin(seat, job)
        for seat, job in wide:
            if not self._parts.begin(seat, job, idle):
                self._begin(seat, job)
        for seat in [seat for seat in self._pool.seats if seat.job] if len(self._schedule) and idle else ():
            self._seat_followers(seat)
        if not len(self._schedule) and not len(self._parts):
            self._parts.widen()

    def _seat_followers(self, leader: RaySeat) -> None:
        """Cameras that got nothing render what follows a running job, beside it: it hands them what it leaves."""
        leading = leader.job
        for job in self._schedule.followers(leading.id) if leading else ():
            free = [seat for seat in self._pool.seats if seat.free and seat.holds(job)]
            if free:
                model = job.specs[0].model.digest
                seat = max(free, key=lambda seat: (seat.name != job.avoid, seat.warm == model))
                self._begin(seat, self._schedule.seat_with(job), hears=True)
                leader.actor.lead.remote(job.follows, seat.actor)
                self._seat_followers(seat)

    def _hand_on(self, job: Job, tail: str | None) -> None:
        """A job's tail is stored: whoever follows it finds there what may still be on its way, or lost."""
        for seat in self._pool.seats if tail else ():
            if seat.job and seat.job.follows == job.id and seat.job.tail is None:
                seat.actor.hear_tail.remote(job.id, tail)

    def _desert(self, leader: RaySeat, job: Job) -> None:
        """Tell whoever follows a job that it has ended early."""
        why = f"{leader.name} on {leader.node.host}, which rendered the clips before at the same time, ended early"
        for seat in self._pool.seats:
            if seat.job and seat.job.follows == job.id:
                seat.actor.lose.remote(job.id, why)

    def _begin(self, seat: RaySeat, job: Job, hears: bool = False, left: Any = None, right: Any = None) -> None:
        """Put a job on a free camera: the one place where that happens."""
        device = seat.worker.memory if seat.worker else 0  # all of it, by which a rung is remembered
        job = replace(job, rung=self._terms.rung(job, device))
        seat.job, seat.warm, seat.since, seat.done = job, job.specs[0].model.digest, time.monotonic(), 0.0
        seat.stream = seat.actor.shoot.options(num_returns="streaming").remote(job, hears, left, right)

    def _begin_part(self, seat: RaySeat, part: Job, left: Any, right: Any) -> None:
        self._begin(seat, part, False, left, right)


def _of(seat: RaySeat, stream: Any) -> Job | None:
    """Whose stream it is; None for what is no stream, or the stream of a job that has ended."""
    return next((job for job, each in [*seat.dark.values(), (seat.job, seat.stream)] if each is stream), None)
