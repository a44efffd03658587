"""What a run has done so far, counted from what it is told: the numbers behind displays, reports and metrics."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from cluster.job import Failure, Worker
from shots.spec import Anchor, ClipSpec
from storage.rows import Take

from .forecast import Cost, Forecast, cost_of, forecast
from .observer import FilmResult, Quiet
from .planned import Plan
from .segments import Segment

PACES = 200
"""Step times that are kept of each kind of clip."""
AHEAD_SECONDS = 1.0
"""Between two forecasts of `ahead`."""
Kind = tuple[str, int, int, int, int]


def kind_of(spec: ClipSpec, nfe: int) -> Kind:
    """What clips that take equally long have in common: model, frames, width, height and network evaluations."""
    return spec.model.digest, spec.frames, spec.width, spec.height, nfe


@dataclass
class Camera:
    """A worker that has been heard of. `job`: the name of the segment that it renders, None while it waits."""

    worker: Worker
    since: float
    job: str | None = None
    busy: float = 0.0


@dataclass
class Work:
    """A segment on a camera. doing: starting, loading a model, sampling or storing. step: of `steps`, of the clips that
    are denoised together; `rounds`: how often the steps began anew, where clips are denoised one after another."""

    segment: Segment
    camera: Camera
    todo: list[str]
    began: float
    doing: str = "starting"
    step: int = 0
    steps: int = 0
    rounds: int = 0
    last: float | None = None  # when the last step was told
    done: int = 0

    @property
    def sampled(self) -> float:
        """Clips' worth of steps that are done, without the clips that are stored already."""
        share = self.step / self.steps if self.steps else 0.0
        alone = isinstance(self.segment.specs[0].recipe.chain, Anchor)
        return max(0.0, (self.rounds + share if alone else share * len(self.todo)) - self.done)


@dataclass(frozen=True)
class Left:
    """A clip that still has to come."""

    spec: ClipSpec
    shot: str


@dataclass(frozen=True)
class Last:
    """The clip that was finished last: `film/shot/number`, its key, and when."""

    name: str
    key: str
    at: float


@dataclass
class FilmCount:
    """A film under way. left: clips that still have to come, by key; waiting: those of them that no camera has yet.
    made, frames: what this run has made. held: clips that will not come. nfe: of every clip of the plan."""

    plan: Plan
    clips: int
    cached: int
    began: float
    heard: bool = False  # whether anything was said of its work yet
    left: dict[str, Left] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)
    held: int = 0
    frames: int = 0
    state: str = "rendering"
    sampling_since: float | None = None
    last: Last | None = None
    nfe: dict[str, int] = field(default_factory=dict)

    @property
    def done(self) -> int:
        """Clips that are there, those of the store among them."""
        return self.cached + len(self.made)


class Tally(Quiet):
    """Counts. Other observers read it; each is told after it. Safe to read from other threads with `lock` held."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self.began = clock()
        self.films: dict[str, FilmCount] = {}
        self.work: dict[str, Work] = {}
        self.cameras: dict[tuple[str, str], Camera] = {}
        self.paces: dict[Kind, deque[float]] = {}  # camera seconds a clip, from the time of its steps
        self.lost: dict[str, float] = {}  # film -> clips' worth of steps that failures have cost
        self.last_camera: dict[str, Camera] = {}  # segment -> the camera that had it last
        self._at_risk: dict[str, float] = {}  # segment -> what a failure cost, unless a checkpoint has kept it
        self._ahead: dict[str | None, tuple[float, Forecast]] = {}

    def film_begins(self, plan: Plan, missing: int, cached: int) -> None:
        with self.lock:
            nfe = {clip.key: clip.nfe for clip in plan.everything}
            self.films[plan.film] = FilmCount(plan, missing + cached, cached, self.clock(), nfe=nfe)

    def job_waits(self, segment: Segment) -> None:
        with self.lock:
            film = self.films[segment.film]
            film.heard = True
            film.left |= {k: Left(s, segment.shot) for k, s in zip(segment.keys, segment.specs, strict=True)}
            film.waiting |= set(segment.keys)

    def job_begins(self, segment: Segment, worker: Worker) -> None:
        with self.lock:
            now, film = self.clock(), self.films[segment.film]
            camera = self.cameras.setdefault((worker.name, worker.host), Camera(worker, now))
            camera.worker, camera.job, camera.since = worker, segment.name, now
            todo = [key for key in segment.keys if key in film.left]
            film.waiting -= set(segment.keys)
            self.work[segment.name] = Work(segment, camera, todo, now)

    def job_loads(self, segment: Segment, model: str) -> None:
        with self.lock:
            if work := self.work.get(segment.name):
                work.doing = f"loading {model}"

    def job_steps(self, segment: Segment, step: int, steps: int) -> None:
        with self.lock:
            work, now = self.work.get(segment.name), self.clock()
            if work is None:  # a late word
                return
            work.doing = "sampling" if step < steps else "storing"
            if step < work.step:
                work.rounds += 1
            if work.last is not None and step == work.step + 1:
                self._pace(work, (now - work.last) * steps)
            if step:  # where the next try begins is what the one before has kept
                self._lose(segment, (step - 1) / steps * len(work.todo))
            work.step, work.steps, work.last = step, steps, now
            film = self.films[segment.film]
            film.sampling_since = film.sampling_since or now

    def clip_done(self, segment: Segment, index: int, take: Take) -> None:
        with self.lock:
            key, work = segment.keys[index], self.work.get(segment.name)
            if work:
                work.done += 1
            last = Last(f"{segment.film}/{segment.shot}/{segment.first + index}", key, self.clock())
            for film in self.films.values():
                if key in film.nfe or film is self.films[segment.film]:
                    film.left.pop(key, None)
                    film.made.add(key)
                    film.last = last
            self.films[segment.film].frames += take.frames

    def job_done(self, segment: Segment, busy: float) -> None:
        with self.lock:
            self._leave(segment, busy)

    def job_failed(self, segment: Segment, failure: Failure, tries: int, held: bool) -> None:
        with self.lock:
            film = self.films[segment.film]
            self._leave(segment, 0.0, failed=True, gone=failure.worker)
            rest = {key for key in segment.keys if key in film.left}
            if held:
                self._lose(segment, 0.0)
                film.held += len(rest)
                for key in rest:
                    del film.left[key]
            else:
                film.waiting |= rest

    def job_leaves(self, segment: Segment, why: str) -> None:
        with self.lock:
            self._leave(segment, 0.0, failed=True, gone=bool(why))
            film = self.films[segment.film]
            film.waiting |= {key for key in segment.keys if key in film.left}

    def film_cuts(self, plan: Plan) -> None:
        with self.lock:
            self.films[plan.film].state = "cutting"

    def film_ends(self, result: FilmResult) -> None:
        with self.lock:
            film = self.films[result.plan.film]
            film.state = result.state
            film.waiting.clear()
            film.left.clear()

    def run_stops(self, why: str) -> None:
        with self.lock:
            self.work.clear()
            for film in self.films.values():
                if film.state in ("rendering", "cutting"):
                    film.state = "stopped"

    def percent(self, name: str | None = None) -> float:
        """How much of a film, or of all, is there: clips that are done, and the steps of those that are being made.

        100 only when nothing is left, the cut included.
        """
        with self.lock:
            films = [f for n, f in self.films.items() if name in (None, n)]
            clips = sum(film.clips for film in films)
            sampled = sum(w.sampled for w in self.work.values() if name in (None, w.segment.film))
            done = sum(film.done for film in films) + sampled
            if films and all(film.state == "done" for film in films):
                return 100.0
            return min(99.9, 100.0 * done / clips) if clips else 0.0

    def rate(self, name: str | None = None) -> float | None:
        """Frames a second since sampling began, of steps done and clips stored; None before."""
        with self.lock:
            films = [f for n, f in self.films.items() if name in (None, n) and f.sampling_since is not None]
            if not films:
                return None
            work = [w for w in self.work.values() if name in (None, w.segment.film)]
            frames = sum(f.frames for f in films) + sum(w.sampled * w.segment.specs[0].frames for w in work)
            seconds = self.clock() - min(f.sampling_since or 0.0 for f in films)
            return frames / seconds if frames and seconds > 0 else None

    def ahead(self, name: str | None = None) -> Forecast:
        """As `forecast`, made anew once a second at most: it looks at every clip that is left."""
        with self.lock:
            now, (made, found) = self.clock(), self._ahead.get(name, (-AHEAD_SECONDS, Forecast()))
            if now - made >= AHEAD_SECONDS:
                found = self.forecast(name)
                self._ahead[name] = now, found
            return found

    def forecast(self, name: str | None = None) -> Forecast:
        """Seconds until the clips are there, by the steps of this run."""
        with self.lock:
            chains: dict[tuple[str, str], list[tuple[float, Cost | None]]] = {}
            costs = {kind: cost_of(list(paces)) for kind, paces in self.paces.items()}
            for film_name, film in self.films.items():
                if name in (None, film_name):
                    if not film.heard and film.done < film.clips and film.state == "rendering":
                        return Forecast()
                    for key, left in film.left.items():
                        cost = costs.get(kind_of(left.spec, film.nfe.get(key, 0)))
                        chains.setdefault((film_name, left.shot), []).append((1.0, cost))
            for work in self.work.values():
                chain = chains.get((work.segment.film, work.segment.shot))
                if chain and work.sampled:
                    chain.append((-work.sampled, chain[0][1]))
            return forecast(list(chains.values()), max(1, len(self.cameras)))

    def _pace(self, work: Work, seconds: float) -> None:
        spec = work.segment.specs[0]
        kind = kind_of(spec, self.films[work.segment.film].nfe.get(work.todo[0], 0) if work.todo else 0)
        together = 1 if isinstance(spec.recipe.chain, Anchor) else max(1, len(work.todo))
        self.paces.setdefault(kind, deque(maxlen=PACES)).append(seconds / together)

    def _leave(self, segment: Segment, busy: float, failed: bool = False, gone: bool = False) -> None:
        """A segment has left its camera. gone: which is not to be counted until it is heard of again."""
        work = self.work.pop(segment.name, None)
        if work is None:
            return
        self.last_camera[segment.name] = work.camera
        if failed:
            self._at_risk[segment.name] = self._at_risk.get(segment.name, 0.0) + work.sampled
        work.camera.busy += busy
        if work.camera.job == segment.name:  # perhaps it still decodes what it had before
            rest = (each.segment.name for each in self.work.values() if each.camera is work.camera)
            work.camera.job, work.camera.since = next(rest, None), self.clock()
        if gone:
            self.cameras.pop((work.camera.worker.name, work.camera.worker.host), None)

    def _lose(self, segment: Segment, kept: float) -> None:
        """What a failure has cost is known now."""
        cost = self._at_risk.pop(segment.name, 0.0) - kept
        if cost > 0:
            self.lost[segment.film] = self.lost.get(segment.film, 0.0) + cost
