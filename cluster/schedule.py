"""Which waiting job a free camera takes. Pure: no clocks, no Ray, no threads; the same calls give the same answers.

A camera takes, of the jobs that its memory can hold:

1. what the films need before extra takes, and of those the highest priority;
2. films that would miss their deadline otherwise, the earliest first. A deadline presses when half of the time left
   is needed, at the pace so far, for all that is due by then (the demand bound of earliest deadline first,
   Liu and Layland 1973, with a factor of two);
3. the film that was given the least camera time for its share (start-time fair queueing, Goyal et al. 1996: what is
   given counts when it is given, not when it ends, and a film that comes late begins at the least of the others).
   For the sake of a warm model a film may be ahead of that by `SLACK` seconds;
4. a job of the model that the camera has warm, best of all the one that goes on from the clip it has just rendered;
5. the job with the longest way to the end of its chain (the critical path: Graham's list scheduling, 1969);
6. what came first.

Where the longest chain is about as long as all the work shared out evenly, 5 goes before 4: a chain that begins late
would then be what everybody waits for. A decision looks once at each kind of job (model, memory, priority, deadline),
of which there are few, and at the top of heaps: its cost grows with the logarithm of what waits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from .job import Job
from .order import Order

SLACK = 300.0
"""Seconds of camera time that a film may be ahead of the one with the least, to spare a change of model."""
NEARLY = 0.75
"""A chain of the warm model is begun before one of another model that is longer, but not by more than this."""
PRESSING = 2.0
"""A deadline presses when so many times the work that is due by then fits into the time left no more."""


@dataclass(frozen=True)
class Seat:
    """A free camera. warm: digest of the model it has loaded. memory: bytes of its device, 0 where nobody knows.
    chain: key of the clip that it rendered last."""

    name: str
    node: str = ""
    warm: str | None = None
    memory: int = 0
    chain: str | None = None


class _Level(NamedTuple):
    """What always goes first, from the highest down."""

    needed: bool
    priority: int


class _Kind(NamedTuple):
    """Jobs that any camera sees alike."""

    level: _Level
    deadline: float
    model: str
    memory: int
    avoid: str


@dataclass
class _Shelf:
    """The waiting jobs of one kind. films: by the seconds they were given. jobs: of each film, longest path first.
    paths: of all films. work: NFE that wait."""

    films: Order[tuple[float, int]] = field(default_factory=Order)
    jobs: dict[str, Order[tuple[float, int]]] = field(default_factory=dict)
    paths: Order[tuple[float, int]] = field(default_factory=Order)
    work: float = 0.0
    path: float = 0.0


@dataclass
class _Film:
    """number: order of arrival. spent: seconds of cameras for each unit of its share. kinds: where it has jobs."""

    number: int
    spent: float
    share: float = 1.0
    kinds: dict[_Kind, int] = field(default_factory=dict)


class Schedule:
    """The jobs that wait for a camera."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._numbers: dict[str, int] = {}
        self._count = 0
        self._shelves: dict[_Level, dict[_Kind, _Shelf]] = {}
        self._films: dict[str, _Film] = {}
        self._active = Order[tuple[float, int]]()  # films with waiting jobs, by seconds spent
        self._after: dict[str, dict[str, None]] = {}  # key of a clip -> jobs that go on from it
        self._follow: dict[str, dict[str, None]] = {}  # job -> jobs that follow it
        self._given: dict[str, tuple[str, float, float, str]] = {}  # job -> film, seconds expected, NFE, model
        self._paces: dict[str, tuple[float, float]] = {}  # model -> seconds, NFE
        self._seats: set[str] = set()

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        """All that waits, in order of arrival."""
        return iter(list(self._jobs.values()))

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._jobs

    def add(self, job: Job) -> None:
        """Let a job wait. One with the same id is replaced and keeps its place."""
        number = self._numbers.get(job.id)
        self.remove(job.id)
        if number is None:
            self._count += 1
            number = self._count
        self._jobs[job.id], self._numbers[job.id] = job, number
        if _waits_for_leader(job):
            self._follow.setdefault(job.follows or "", {})[job.id] = None
            return
        self._put(job, number)

    def remove(self, job_id: str) -> Job | None:
        """A job that is to wait no more, None when it did not wait."""
        job = self._jobs.pop(job_id, None)
        if job is None:
            return None
        del self._numbers[job_id]
        if _waits_for_leader(job):
            _forget(self._follow, job.follows or "", job_id)
        else:
            self._drop(job)
        return job

    def take(self, seat: Seat, now: float) -> Job | None:
        """The job that a free camera should shoot now, which waits no more; None when none is for it.

        now: seconds since the epoch, for deadlines.
        """
        self._seats.add(seat.name)
        for level in sorted(self._shelves, reverse=True):
            shelves = {kind: shelf for kind, shelf in self._shelves[level].items() if self._holds(seat, kind)}
            if shelves:
                return self._give(self._choose(self._pressed(shelves, now), seat))
        return None

    def followers(self, job_id: str) -> list[Job]:
        """The jobs that may run at the same time as this one, on other cameras: they go on from its last clip."""
        return [self._jobs[each] for each in self._follow.get(job_id, ())]

    def hand_down(self, job_id: str, tail: str | None) -> None:
        """The tail that a job leaves is stored, though the job is not over: what follows it need not wait for that."""
        for job in self.followers(job_id) if tail else ():
            self.add(replace(job, tail=tail))

    def seat_with(self, follower: Job) -> Job:
        """Give a follower a camera beside its leader: it waits no more, and its film is charged."""
        job = self.remove(follower.id)
        assert job is not None
        return self._charge(job)

    def spent(self, film: str, seconds: float, job_id: str = "") -> None:
        """Camera time that a film has used. With the job's id, what was expected of it when it was given counts no
        more, and the pace of its model is learned."""
        _, expected, work, model = self._given.pop(job_id, (film, 0.0, 0.0, ""))
        if work and seconds > 0:
            known = self._paces.get(model, (0.0, 0.0))
            self._paces[model] = known[0] + seconds, known[1] + work
        if film in self._films:
            self._add_to(film, seconds - expected)

    def gone(self, seat: str) -> None:
        """A camera that will take no more jobs: it counts no more where work is shared out."""
        self._seats.discard(seat)

    def _put(self, job: Job, number: int) -> None:
        kind = _kind(job)
        film = self._films.get(job.film)
        if film is None:
            least = self._active.least()
            film = self._films[job.film] = _Film(len(self._films), self._active.rank(least)[0] if least else 0.0)
        film.share = job.rank.share
        shelf = self._shelves.setdefault(kind.level, {}).setdefault(kind, _Shelf())
        shelf.jobs.setdefault(job.film, Order()).put(job.id, (-_path(job), number))
        shelf.paths.put(job.id, (-_path(job), number))
        shelf.work += _work(job)
        shelf.path += _path(job)
        film.kinds[kind] = film.kinds.get(kind, 0) + 1
        shelf.films.put(job.film, (film.spent, film.number))
        self._active.put(job.film, (film.spent, film.number))
        if job.specs[0].previous:
            self._after.setdefault(job.specs[0].previous, {})[job.id] = None

    def _drop(self, job: Job) -> None:
        kind, film = _kind(job), self._films[job.film]
        shelf = self._shelves[kind.level][kind]
        shelf.jobs[job.film].drop(job.id)
        shelf.paths.drop(job.id)
        shelf.work -= _work(job)
        shelf.path -= _path(job)
        film.kinds[kind] -= 1
        if not film.kinds[kind]:
            del film.kinds[kind], shelf.jobs[job.film]
            shelf.films.drop(job.film)
        if not film.kinds:
            self._active.drop(job.film)
        if not shelf.jobs:
            del self._shelves[kind.level][kind]
        if not self._shelves[kind.level]:
            del self._shelves[kind.level]
        if job.specs[0].previous:
            _forget(self._after, job.specs[0].previous, job.id)

    def _holds(self, seat: Seat, kind: _Kind) -> bool:
        if kind.avoid == seat.name and len(self._seats) > 1:
            return False
        return not (kind.memory and seat.memory) or kind.memory < seat.memory

    def _pressed(self, shelves: dict[_Kind, _Shelf], now: float) -> dict[_Kind, _Shelf]:
        """The shelves of the earliest deadline when one presses, else all."""
        due = sorted({kind.deadline for kind in shelves if kind.deadline < float("inf")})
        needed = longest = 0.0
        for deadline in due:
            for kind, shelf in shelves.items():
                if kind.deadline == deadline:
                    pace = self._pace(kind.model)
                    needed += pace * shelf.path / len(self._seats)
                    longest = max(longest, pace * _longest(shelf))
            if now + PRESSING * max(needed, longest) >= deadline:
                return {kind: shelf for kind, shelf in shelves.items() if kind.deadline == due[0]}
        return shelves

    def _choose(self, shelves: dict[_Kind, _Shelf], seat: Seat) -> Job:
        tops = [_top(kind, shelf) for kind, shelf in shelves.items()]
        limit = min(tops).spent[0] + SLACK
        warm = [top for top in tops if top.kind.model == seat.warm and top.spent[0] <= limit]
        job = self._next(shelves, seat, limit) or self._jobs[min(warm or tops).job]
        head = self._head(shelves, seat, limit)
        return head if head and _path(job) + _work(job) < _path(head) else job

    def _head(self, shelves: dict[_Kind, _Shelf], seat: Seat, limit: float) -> Job | None:
        """The job that everybody may have to wait for: the longest chain, when it is about as long as all work shared
        out evenly. One of the warm model will do when its chain is nearly as long."""
        even = sum(shelf.path for shelf in shelves.values()) / len(self._seats)
        longest = max(shelves.values(), key=_longest)
        if 2 * _longest(longest) < even:
            return None
        warm = [shelf for kind, shelf in shelves.items() if kind.model == seat.warm]
        if warm and NEARLY * _longest(longest) <= _longest(near := max(warm, key=_longest)):
            longest = near
        head = self._jobs[longest.paths.least() or ""]
        return head if self._films[head.film].spent <= limit else None

    def _next(self, shelves: dict[_Kind, _Shelf], seat: Seat, limit: float) -> Job | None:
        """The job that goes on from the clip that the camera has just rendered, when its film may have it."""
        for each in self._after.get(seat.chain or "", ()):
            job = self._jobs[each]
            if _kind(job) in shelves and self._films[job.film].spent <= limit:
                return job
        return None

    def _give(self, job: Job) -> Job:
        self.remove(job.id)
        return self._charge(job)

    def _charge(self, job: Job) -> Job:
        model = job.specs[0].model.digest
        expected = self._pace(model) * _work(job)
        self._given[job.id] = job.film, expected, _work(job), model
        if job.film in self._films:
            self._add_to(job.film, expected)
        return job

    def _add_to(self, name: str, seconds: float) -> None:
        film = self._films[name]
        film.spent += seconds / film.share
        for kind in film.kinds:
            self._shelves[kind.level][kind].films.put(name, (film.spent, film.number))
        if film.kinds:
            self._active.put(name, (film.spent, film.number))

    def _pace(self, model: str) -> float:
        """Seconds of a camera for one NFE of a model, as far as is known."""
        seconds, work = self._paces.get(model) or next(iter(self._paces.values()), (1.0, 1.0))
        return seconds / work


class _Top(NamedTuple):
    """The film of a shelf that was given least, and its job with the longest path."""

    spent: tuple[float, int]
    path: tuple[float, int]
    kind: _Kind
    job: str


def _top(kind: _Kind, shelf: _Shelf) -> _Top:
    film = shelf.films.least() or ""
    jobs = shelf.jobs[film]
    job = jobs.least() or ""
    return _Top(shelf.films.rank(film), jobs.rank(job), kind, job)


def _kind(job: Job) -> _Kind:
    rank = job.rank
    deadline = float("inf") if rank.deadline is None else rank.deadline
    return _Kind(_Level(not rank.extra, rank.priority), deadline, job.specs[0].model.digest, job.memory, job.avoid)


def _work(job: Job) -> float:
    return job.rank.work or float(len(job.specs))


def _path(job: Job) -> float:
    return job.rank.path or _work(job)


def _longest(shelf: _Shelf) -> float:
    head = shelf.paths.least()
    return -shelf.paths.rank(head)[0] if head else 0.0


def _waits_for_leader(job: Job) -> bool:
    return job.follows is not None and job.tail is None


def _forget(index: dict[str, dict[str, None]], key: str, job_id: str) -> None:
    index[key].pop(job_id, None)
    if not index[key]:
        del index[key]
