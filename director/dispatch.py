"""Segments on their way to cameras: jobs with their rank, followers beside their leaders, what is taken back."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

from cluster.desk import Desk
from cluster.executor import Executor
from cluster.job import Job, JobDone, Rank, Worker
from shots.spec import ClipSpec, VidRD
from storage.errors import StorageError
from storage.ledger import Ledger
from storage.rows import Take

from .ancestry import ancestry
from .drafts import begun
from .segments import Segment
from .stop import Stop
from .underway import FilmUnderWay, Shooting
from .waiting import Waiting

AHEAD = 8
"""Groups of a chain that are offered beside the one that can begin, for cameras that can hear each other."""
CLIPS = 1000
"""More than anybody denoises together."""
GIB = 2**30
_Alike = tuple[str, str]


class Dispatch:
    """The executor, made when the first job is ready, and the jobs that it has."""

    def __init__(
        self,
        ledger: Ledger,
        make: Callable[[], Executor],
        stop: Stop,
        films: Mapping[str, FilmUnderWay],
        takes: Mapping[str, Take],
        waiting: Waiting,
    ) -> None:
        self._ledger, self._make, self._stop = ledger, make, stop
        self._films, self._takes, self._waiting = films, takes, waiting
        self._numbers = itertools.count()
        self._most: dict[_Alike, int] = {}  # clips that fit into a camera's memory together
        self._rungs: dict[_Alike, int] = {}
        self._apart: dict[_Alike, bool] = {}
        self._begun = False
        self.executor: Executor | None = None
        self.jobs: dict[str, Shooting] = {}

    def desk(self) -> Desk | None:
        """Where work that needs no camera is done; a cluster is joined for it, and no camera hired."""
        if self.executor is None:
            with self._stop.at_once():
                self._hired()
        return self._hired().desk()

    def shooting(self, segment: Segment, suspect: bool = False) -> Shooting:
        """A segment to be rendered. suspect: after everything else."""
        return Shooting(segment, next(self._numbers), suspect=suspect)

    def submit(self, shooting: Shooting) -> None:
        """Hand over a segment whose tail is there, and those that go on from it."""
        if not self._begun:
            with self._stop.at_once():  # a cluster may take its time to answer
                self._hired().most_memory()
                self._begun = True
        most = self._most_of(shooting.segment)
        divisible = shooting.worker is None and not shooting.segment.specs[0].together
        if most < len(shooting.segment.keys) and divisible:
            self.withdraw(shooting)  # it may have been offered before anybody knew
            for part in self.parts(shooting, most):
                self._waiting.add(part)
            return
        shooting.early = False
        if not shooting.worker:  # else it was begun beside the one that it follows
            self._hand_over(shooting, None)
        self.lead(shooting)

    def lead(self, leader: Shooting) -> None:
        """Offer what goes on from a job, in case that there are cameras to begin it at the same time."""
        for _ in range(AHEAD):
            follower = self._follower(leader.segment)
            if follower is None or not leader.job:
                return
            if not follower.worker and follower.follows != leader.job:
                follower.early = True
                self._hand_over(follower, leader.job)
            leader = follower

    def rejoin(self) -> None:
        """Offer once more what goes on from jobs at work: a group that had to leave its camera can follow again, and so
        can those after it. A camera that leads tells whoever follows it late everything so far."""
        for leader in [each for each in self.jobs.values() if each.worker]:
            self.lead(leader)

    def parts(self, shooting: Shooting, most: int) -> list[Shooting]:
        """What is missing of a segment in groups of at most so many clips."""
        segment, begin = shooting.segment, shooting.begin(self._takes)
        ends = range(begin, len(segment.keys), most)
        cut = [segment.part(n, min(n + most, len(segment.keys))) for n in ends]
        return [Shooting(each, next(self._numbers), suspect=shooting.suspect) for each in cut]

    def halves(self, shooting: Shooting, most: int) -> list[Shooting]:
        """As `parts`, for want of memory: groups like it will be no larger, in later runs neither."""
        alike, memory = _alike(shooting.segment.specs[0]), self.most_memory()
        self._most[alike] = most
        if memory:
            self._ledger.remember_rung(alike[0], _device(memory), _together(alike), CLIPS - min(most, CLIPS))
        return self.parts(shooting, most)

    def ended(self, job_id: str) -> Shooting | None:
        """A job that has ended; None when it was not ours any more."""
        shooting = self.jobs.pop(job_id, None)
        if shooting is not None:
            if shooting.early:
                self._waiting.unblock(shooting)
            shooting.job, shooting.follows, shooting.early = "", "", False
        return shooting

    def withdraw(self, shooting: Shooting) -> bool:
        """Do without a segment's job; whether a camera has begun it and will say how it ended."""
        if not shooting.job or self.executor is None:
            return False
        self.executor.withdraw(shooting.job)
        if shooting.worker is None:
            del self.jobs[shooting.job]
            shooting.job, shooting.follows, shooting.early = "", "", False
        return shooting.worker is not None

    def most_memory(self) -> int:
        """Bytes of the largest device there is, 0 where nobody knows."""
        return self.executor.most_memory() if self.executor else 0

    def learn(self, segment: Segment, worker: Worker | None, event: JobDone) -> None:
        """How far down the memory ladder a job had to go is where the next one like it begins, in later runs too."""
        alike = _alike(segment.specs[0])
        if worker is None:
            return
        if event.rung > self._rungs.get(alike, 0):
            self._rungs[alike] = event.rung
            self._ledger.remember_rung(alike[0], _device(worker.memory), alike[1], event.rung)
        if event.apart and not self._apart.get(alike, False):
            self._apart[alike] = True
            self._ledger.remember_rung(alike[0], _device(worker.memory), _beside(alike), 1)

    def _hired(self) -> Executor:
        self.executor = self.executor or self._make()
        return self.executor

    def _hand_over(self, shooting: Shooting, follows: str | None) -> None:
        if not shooting.job:
            shooting.tries += 1
            shooting.job = f"{shooting.segment.name}#{shooting.number}.{shooting.tries}"
            self.jobs[shooting.job] = shooting
        shooting.follows = follows or ""
        assert self.executor is not None
        self.executor.submit(self._job(shooting, follows))

    def _follower(self, segment: Segment) -> Shooting | None:
        """Who may begin before this segment has ended: clips that copy noise, and need no decoded picture."""
        if segment.hinge or not isinstance(segment.specs[0].recipe.chain, VidRD):
            return None
        those = self._waiting.after(segment.keys[-1])
        if not those or self._films[those[0].segment.film].over:
            return None
        return those[0] if len(those[0].segment.keys) <= self._most_of(those[0].segment) else None

    def _job(self, shooting: Shooting, follows: str | None) -> Job:
        """What is still missing of a segment, from the last clip that has a take."""
        segment, begin = shooting.segment, shooting.begin(self._takes)
        film = self._films[segment.film]
        after = segment.keys[begin - 1] if begin else segment.after
        job = Job(
            shooting.job,
            segment.film,
            segment.shot,
            segment.first + begin,
            segment.specs[begin:],
            self._takes[after].tail if after and after in self._takes else None,
            ancestry(self._ledger, film.plan, after, film.specs) if after else (),
            follows,
            self._rank(film, shooting, begin),
            self._rung(segment.specs[0]),
            shooting.memory,
            shooting.avoid,
            apart=self._is_apart(segment.specs[0]),
            lockstep=segment.lockstep,
        )
        return begun(self._ledger, job)

    def _rank(self, film: FilmUnderWay, shooting: Shooting, begin: int) -> Rank:
        segment, terms = shooting.segment, film.plan.terms
        work = float(sum(segment.nfe[begin:]))
        extra = segment.extra or shooting.suspect
        return Rank(terms.priority, film.deadline, work, work + segment.beyond, terms.share, extra)

    def _most_of(self, segment: Segment) -> int:
        """Clips of a segment that a camera can render together, as far as is known."""
        alike = _alike(segment.specs[0])
        if alike not in self._most and (memory := self.most_memory()):
            fewer = self._ledger.rung(alike[0], _device(memory), _together(alike))
            self._most[alike] = CLIPS - fewer
        return min(self._most.get(alike, CLIPS), len(segment.keys))

    def _rung(self, spec: ClipSpec) -> int:
        alike = _alike(spec)
        if alike not in self._rungs:
            memory = self.most_memory()
            self._rungs[alike] = self._ledger.rung(alike[0], _device(memory), alike[1]) if memory else 0
        return self._rungs[alike]

    def _is_apart(self, spec: ClipSpec) -> bool:
        alike = _alike(spec)
        if alike not in self._apart and (memory := self.most_memory()):
            self._apart[alike] = self._ledger.rung(alike[0], _device(memory), _beside(alike)) > 0
        return self._apart.get(alike, False)


def halved(shooting: Shooting, takes: Mapping[str, Take]) -> int:
    """Clips of each half of what is missing of a segment; 0 when it cannot be divided."""
    left = len(shooting.segment.keys) - shooting.begin(takes)
    return 0 if shooting.segment.specs[0].together else left // 2


def remembered(ledger: Ledger, job: Job, memory: int) -> int:
    """Where a job begins on the memory ladder, on a camera of so many bytes: as the director said, who may not have
    known the cameras yet, or where the ledger knows such clips to end on such a device."""
    alike = _alike(job.specs[0])
    try:
        return max(job.rung, ledger.rung(alike[0], _device(memory), alike[1])) if memory else job.rung
    except StorageError:  # then it finds out by itself
        return job.rung


def _alike(spec: ClipSpec) -> _Alike:
    """Model and size: what decides how much memory a clip takes."""
    return spec.model.digest, f"{spec.frames}x{spec.width}x{spec.height}"


def _beside(alike: _Alike) -> str:
    """Under which size it is remembered whether such clips cannot be decoded beside the sampling of others: a half rung
    of the ladder, above its first."""
    return f"{alike[1]} beside"


def _together(alike: _Alike) -> str:
    """Under which size it is remembered how many such clips do not fit together: by how many fewer than `CLIPS`, since
    the ledger keeps the largest number."""
    return f"{alike[1]} together"


def _device(memory: int) -> str:
    """Devices by what counts for the memory ladder. A rung is remembered for the largest: others find theirs."""
    return f"{round(memory / GIB)} GiB"
