"""An observer that counts for Prometheus what the one who runs everything knows: clips, queue, retries, lost work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.job import Failure, Worker
from cluster.metrics import CameraMeter, Meter, RayMeter, ServedMeter
from storage.rows import Take

from .errors import UsageError
from .observer import FilmResult, Quiet
from .planned import Plan
from .segments import Segment
from .tally import Tally

EVERY = 1.0
"""Seconds between two looks at all films while only steps are made."""


@dataclass(frozen=True)
class Metering:
    """A meter; `cameras`: what cameras count is counted here, because they do not do so themselves."""

    meter: Meter
    cameras: CameraMeter | None = None


def meters(on: str, port: int | None) -> list[Metering]:
    """Where numbers go: on Ray into its metrics, whose cameras count for themselves; to a port where one is given.

    Raises:
        UsageError: the port is taken.
    """
    found = [Metering(RayMeter())] if on == "ray" else []
    if port is not None:
        try:
            served = ServedMeter(port)
        except OSError as error:
            raise UsageError(f"--metrics {port}: {error.strerror or error}; choose another port") from None
        found.append(Metering(served, CameraMeter(served)))
    return found


class Metered(Quiet):
    """Told after the tally, whose numbers it hands on."""

    def __init__(self, tally: Tally, meters: Sequence[Metering]) -> None:
        self._tally, self._meters = tally, list(meters)
        self._looked = -EVERY
        self._lost: dict[str, float] = {}
        self._aside: set[str] = set()

    def film_begins(self, plan: Plan, missing: int, cached: int) -> None:
        self._look()

    def job_waits(self, segment: Segment) -> None:
        if self._tally.clock() - self._looked >= EVERY:
            self._look()

    def job_begins(self, segment: Segment, worker: Worker) -> None:
        self._look()

    def job_steps(self, segment: Segment, step: int, steps: int) -> None:
        work, model = self._tally.work.get(segment.name), segment.specs[0].model.id
        for each in self._meters:
            if each.cameras and work:
                worker = work.camera.worker
                each.cameras.stepped(segment.name, step, model, worker.name, worker.host)
        if self._tally.clock() - self._looked >= EVERY:
            self._look()

    def clip_done(self, segment: Segment, index: int, take: Take) -> None:
        for each in self._meters:
            if each.cameras:
                each.cameras.clip(take.nfe, take.frames, segment.specs[index].model.id)
        self._look()

    def job_done(self, segment: Segment, busy: float) -> None:
        self._ended(segment, busy)

    def job_failed(self, segment: Segment, failure: Failure, tries: int, held: bool) -> None:
        if not held:
            for each in self._meters:
                each.meter.add("longtake_retries", film=segment.film, error=failure.error)
        self._ended(segment, 0.0)

    def job_leaves(self, segment: Segment, why: str) -> None:
        self._ended(segment, 0.0)

    def node_aside(self, host: str, reason: str) -> None:
        self._aside.add(host)
        self._look()

    def node_back(self, host: str) -> None:
        self._aside.discard(host)
        self._look()

    def film_cuts(self, plan: Plan) -> None:
        self._look()

    def film_ends(self, result: FilmResult) -> None:
        for each in self._meters:
            each.meter.add("longtake_films_ended", state=result.state)
        self._look()

    def close(self) -> None:
        self._look()
        for each in self._meters:
            each.meter.close()

    def _ended(self, segment: Segment, busy: float) -> None:
        camera = self._tally.last_camera.get(segment.name)
        for each in self._meters:
            if each.cameras and camera:
                each.cameras.ended(segment.name, busy, camera.worker.name, camera.worker.host)
        self._look()

    def _look(self) -> None:
        """All gauges, from the tally."""
        tally = self._tally
        self._looked = tally.clock()
        with tally.lock:
            clips = {name: _clips(tally, name) for name in tally.films}
            progress = {name: tally.percent(name) / 100 for name in tally.films}
            busy = sum(camera.job is not None for camera in tally.cameras.values())
            waiting, lost = len(tally.cameras) - busy, dict(tally.lost)
        queue = sum(counts["waiting"] for counts in clips.values())
        for meter in (each.meter for each in self._meters):
            for name, counts in clips.items():
                meter.set("longtake_film_progress", progress[name], film=name)
                for state, count in counts.items():
                    meter.set("longtake_clips", count, film=name, state=state)
                meter.add("longtake_lost_clips", lost.get(name, 0.0) - self._lost.get(name, 0.0), film=name)
            meter.set("longtake_queue_length", queue)
            meter.set("longtake_nodes_aside", len(self._aside))
            meter.set("longtake_cameras", busy, state="busy")
            meter.set("longtake_cameras", waiting, state="waiting")
        self._lost = lost


def _clips(tally: Tally, name: str) -> dict[str, int]:
    film = tally.films[name]
    waiting = len(film.waiting)
    rendering = len(film.left) - waiting
    return {"done": film.done, "rendering": max(0, rendering), "waiting": waiting, "held": film.held}
