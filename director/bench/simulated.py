"""A cluster that renders nothing: cameras with a clock of their own, fed by the real `Schedule`.

It is an `Executor`, so the real run loop drives it as well. Time is the cluster's own: `wait` jumps to whatever
happens next, so that a night on 512 cameras takes seconds.
"""

from __future__ import annotations

import hashlib
import heapq
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from cluster.job import ClipDone, Event, Failure, Job, JobDone, JobFailed, JobStopped, Started, Worker
from cluster.schedule import Schedule, Seat
from director.dispatch import Dispatch
from director.planned import Plan, PlannedClip, PlannedShot, Slate
from director.segments import segments
from director.stop import Stop
from director.underway import FilmUnderWay
from director.waiting import Waiting
from shots.spec import ClipSpec, ModelRef, Recipe, Sampler
from storage.leases import Lease
from storage.ledger import Ledger
from storage.owner import Owner
from storage.rows import Take, TakeRow

NFE = 50
"""Of a clip: 25 steps with guidance, as the pocket model renders by default."""


@dataclass(frozen=True)
class Times:
    """What things take, in seconds: recorded with twelve clips of the pocket model in a camera of one CPU thread, on
    the machine that docs/performance.md names.

    nfe: one network evaluation. spread: standard deviation of a job's pace, as a share of it. load: a model into a
    camera. job: what a job costs beside the network, to read the tail and to decode and store the last clip.
    """

    nfe: float = 0.055
    spread: float = 0.13
    load: float = 3.3
    job: float = 0.115


@dataclass
class _Camera:
    seat: Seat
    job: Job | None = None
    since: float = 0.0
    until: float = 0.0
    loaded: str | None = None


class Simulated:
    """Cameras that only take their time. together: a job may run beside the one that it follows. memory: bytes of each
    camera's device, for as many as are named. mishap: job -> how it fails on a device of so many bytes.

    now: seconds since the beginning. work: seconds that cameras were inside networks. loads: models loaded.
    """

    def __init__(
        self,
        cameras: int,
        times: Times = Times(),
        seed: int = 1,
        together: bool = False,
        memory: Sequence[int] = (),
        mishap: Callable[[Job, int], Failure | None] = lambda job, memory: None,
    ) -> None:
        self._times, self._together, self._mishap = times, together, mishap
        self._chance = random.Random(seed)
        self._schedule = Schedule()
        sizes = [*memory, *[0] * (cameras - len(memory))]
        self._most = max(sizes)
        self._free = [_Camera(Seat(f"camera-{n + 1}", f"node-{n // 8}", None, sizes[n])) for n in range(cameras)][::-1]
        self._busy: list[tuple[float, int, _Camera]] = []
        self._at_work: dict[str, _Camera] = {}
        self._spare: list[Event] = []
        self._count = 0
        self.now = self.work = 0.0
        self.loads = 0
        self.most_waiting = 0

    def submit(self, job: Job) -> None:
        if job.id not in self._at_work:
            self._schedule.add(job)
            self.most_waiting = max(self.most_waiting, len(self._schedule))

    def withdraw(self, job_id: str) -> None:
        if self._schedule.remove(job_id) is None and job_id in self._at_work:
            self._stop(self._at_work[job_id])

    def most_memory(self) -> int:
        return self._most

    def desk(self) -> None:
        return None

    def wait(self, timeout: float) -> Sequence[Event]:
        self._seat_all()
        events, self._spare = self._spare, []
        if not events and self._busy:
            events = self._advance()
        elif not events:
            time.sleep(min(timeout, 0.01))  # somebody waits for the real clock
        return events

    def cancel(self) -> None:
        for job in self._schedule:
            self._schedule.remove(job.id)
            self._spare.append(JobStopped(job.id))
        for camera in list(self._at_work.values()):
            self._stop(camera)

    def close(self) -> None:
        self._at_work.clear()

    def _seat_all(self) -> None:
        kept: list[_Camera] = []
        while self._free:
            camera = self._free.pop()
            job = self._schedule.take(camera.seat, self.now) or self._follower()
            if job is None:
                kept.append(camera)
                if not len(self._schedule):
                    break
                continue
            self._begin(camera, job)
        self._free += reversed(kept)

    def _follower(self) -> Job | None:
        if self._together:
            for job_id in self._at_work:
                for follower in self._schedule.followers(job_id):
                    return self._schedule.seat_with(follower)
        return None

    def _begin(self, camera: _Camera, job: Job) -> None:
        pace = self._times.nfe * max(0.5, self._chance.gauss(1.0, self._times.spread))
        network = job.rank.work * pace
        loading = self._times.load if camera.seat.warm != job.specs[0].model.digest else 0.0
        self.loads += bool(loading)
        self.work += network
        camera.job, camera.since = job, self.now
        camera.until = self.now + loading + network + self._times.job
        leader = self._at_work.get(job.follows or "")
        if leader is not None:  # a step behind the clips before it
            camera.until = max(camera.until, leader.until + network / job.specs[0].sampler.steps)
        self._at_work[job.id] = camera
        self._count += 1
        heapq.heappush(self._busy, (camera.until, self._count, camera))
        self._spare.append(Started(job.id, _worker(camera.seat)))

    def _advance(self) -> list[Event]:
        self.now, _, camera = heapq.heappop(self._busy)
        job = camera.job
        if job is None or job.id not in self._at_work:
            return []
        self._let_go(camera, job)
        if failure := self._mishap(job, camera.seat.memory):
            for other in [each for each in self._at_work.values() if each.job and each.job.follows == job.id]:
                self._stop(other, "the clips before it failed")
            return [JobFailed(job.id, failure)]
        done: list[Event] = [ClipDone(job.id, n, made(spec, key)) for n, (spec, key) in enumerate(_keyed(job))]
        return [*done, JobDone(job.id, job.rank.work * self._times.nfe, self.now - camera.since)]

    def _stop(self, camera: _Camera, why: str = "") -> None:
        assert camera.job is not None
        self._spare.append(JobStopped(camera.job.id, why))
        self._busy = [each for each in self._busy if each[2] is not camera]
        heapq.heapify(self._busy)
        self._let_go(camera, camera.job)

    def _let_go(self, camera: _Camera, job: Job) -> None:
        del self._at_work[job.id]
        camera.job = None
        camera.seat = replace(camera.seat, warm=job.specs[0].model.digest, chain=job.keys[-1])
        self._schedule.spent(job.film, self.now - camera.since, job.id)
        self._free.append(camera)


def _worker(seat: Seat) -> Worker:
    return Worker(seat.name, seat.node, 1, "simulated", "bench", memory=seat.memory)


def _keyed(job: Job) -> Iterator[tuple[ClipSpec, str]]:
    return zip(job.specs, job.keys, strict=True)


def made(spec: ClipSpec, key: str) -> TakeRow:
    """The row of a clip that nobody rendered."""
    file = hashlib.sha256(key.encode()).hexdigest()
    return TakeRow(
        key, file, file, file, spec.frames, spec.width, spec.height, file, NFE, {"total": 1.0}, 1, "bench", {},
        spec.model.digest,
    )  # fmt: skip


def film(name: str, chains: Sequence[int], model: str = "a", steps: int = 25) -> Plan:
    """A film with a shot for each number: a chain of so many clips. model: names its digest."""
    reference = ModelRef("pocket", f"sha256:{model}", "animatediff")
    shots = []
    for number, length in enumerate(chains):
        clips, previous, prompt = [], None, f"{name} {number}"
        for index in range(length):
            spec = ClipSpec(reference, 64, 64, 8, prompt, "", 1, index, Sampler(steps=steps), Recipe(), previous)
            previous = spec.key
            clips.append(PlannedClip(Slate(name, f"s{number}", index + 1), spec, previous, 0, 8, 2 * steps))
        shots.append(PlannedShot(f"s{number}", tuple(clips), 8 * length))
    return Plan(name, name, Fraction(8), (64, 64), 1, tuple(shots), (), 8 * sum(chains))


def drive(plans: Sequence[Plan], cluster: Simulated, ledger: Ledger, lockstep: int = 8) -> int:
    """Render all films as the run loop does, without its bookkeeping: segments, what waits for what, ranks, schedule.

    Returns the number of jobs.
    """
    takes: dict[str, Take] = {}
    waiting = Waiting(takes)
    films = {plan.film: FilmUnderWay(plan, Lease(ledger, plan.film, 0, Owner.here(), 1.0), plan) for plan in plans}
    dispatch = Dispatch(ledger, lambda: cluster, Stop(), films, takes, waiting)
    for segment in segments(plans, (), lockstep):
        waiting.add(dispatch.shooting(segment))
    jobs = 0
    while waiting or dispatch.jobs:
        for shooting in waiting.ready(cluster.now):
            dispatch.submit(shooting)
        for event in cluster.wait(0.0):
            shooting = dispatch.jobs[event.job]
            match event:
                case Started(worker=worker):
                    shooting.worker = worker
                    dispatch.lead(shooting)
                case ClipDone(take=row):
                    takes[row.key] = TAKE
                    waiting.arrived(row.key)
                case JobDone():
                    dispatch.ended(event.job)
                    jobs += 1
    return jobs


TAKE = Take("", "v", "l", "t", 8, 64, 64, "", NFE, {}, 1, "bench")
