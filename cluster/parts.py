"""One job of windows on several cameras at once: how it is divided, and what their events are of the whole. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

from shots.spec import Windows

from .job import ENDINGS, ClipDone, Event, Job, JobDone, JobFailed, JobStopped, Loading, Part, Started, Stepped


def most_cameras(job: Job) -> int:
    """How many cameras can share a job: one for each `lockstep` of its windows. Drafts end in the middle of sampling,
    which parts cannot do, and without an overlap they would not hear of each other."""
    chain = job.specs[0].recipe.chain
    if not isinstance(chain, Windows) or not chain.overlap or job.specs[0].sampler.stop_after:
        return 1
    if not job.lockstep or job.part:
        return 1
    return -(-len(job.specs) // job.lockstep)


def cameras_for(job: Job, free: int) -> int:
    """Of so many cameras, the fewest on which the largest part is as small as it would be on all of them."""
    size = -(-len(job.specs) // min(free, most_cameras(job)))
    return -(-len(job.specs) // size)


def divided(job: Job, count: int) -> tuple[Job, ...]:
    """The job in so many parts, the first clips first, as even as can be."""
    size, more = divmod(len(job.specs), count)
    ends = accumulate([size + (n < more) for n in range(count)], initial=0)
    starts = job.starts if len(job.starts) == len(job.specs) else ()
    parts: list[Job] = []
    for n, (begin, end) in enumerate(pairwise(ends)):
        part, first, specs = Part(job.id, job.specs, n, count), job.first + begin, job.specs[begin:end]
        parts.append(replace(job, id=part.id(n), first=first, specs=specs, starts=starts[begin:end], part=part))
    return tuple(parts)


class Shared:
    """A job that several cameras render. seconds: of cameras, so far."""

    def __init__(self, job: Job, count: int) -> None:
        self.job = job
        self.parts = divided(job, count)
        self.seconds = 0.0
        self._steps: dict[str, int] = {}
        self._told = -1
        self._endings: dict[str, Event] = {}

    @property
    def over(self) -> bool:
        """Have all parts ended?"""
        return len(self._endings) == len(self.parts)

    def told(self, part: Job, event: Event) -> Sequence[Event]:
        """What the event of a part is of the whole job. The job has made a step when all parts have, and it ends with
        the last of them."""
        job = self.job.id
        match event:
            case Started():
                return [replace(event, job=job, keys=part.keys)]
            case Loading():
                return [replace(event, job=job)]
            case Stepped(step=step):
                self._steps[part.id] = step
                least = min(self._steps.get(each.id, -1) for each in self.parts)
                if least <= self._told:
                    return []
                self._told = least
                return [replace(event, job=job, step=least)]
            case ClipDone(index=index):
                return [replace(event, job=job, index=index + part.first - self.job.first)]
        if isinstance(event, ENDINGS):
            self._endings[part.id] = event
            return [self._ending()] if self.over else []
        return [event]

    def _ending(self) -> Event:
        """The first failure is what the job failed of; those that had to stop for it say nothing more."""
        job, keys = self.job.id, {part.id: part.keys for part in self.parts}
        ended = list(self._endings.values())
        for event in ended:
            if isinstance(event, JobFailed):
                return JobFailed(job, event.failure, keys[event.job])
        stopped = [event for event in ended if isinstance(event, JobStopped)]
        if stopped:
            return JobStopped(job, next((event.elsewhere for event in stopped if event.elsewhere), ""))
        done = [event for event in ended if isinstance(event, JobDone)]
        busy, wall, rung = (sum(e.busy for e in done), max(e.wall for e in done), max(e.rung for e in done))
        return JobDone(job, busy, wall, rung)
