"""Tells the ledger every few seconds what goes on, so that `longtake watch` can show it from anywhere."""

from __future__ import annotations

import json
import logging
import threading
from typing import Any

from cluster.job import Worker
from storage.errors import StorageError
from storage.ledger import Ledger

from .observer import Quiet
from .planned import Plan
from .tally import Camera, FilmCount, Tally, Work

log = logging.getLogger("longtake.progress")
SCHEMA = "longtake.report.v1"
EVERY = 2.0
"""Seconds between two reports, when there is anything new."""


class Reporter(Quiet):
    """Writes from a thread of its own, so that a slow ledger does not hold up the run."""

    def __init__(self, ledger: Ledger, tally: Tally) -> None:
        self._ledger, self._tally = ledger, tally
        self._told: dict[str, str] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="longtake-report", daemon=True)

    def film_begins(self, plan: Plan, missing: int, cached: int) -> None:
        if missing and not self._thread.is_alive() and not self._stopped.is_set():
            self._thread.start()

    def close(self) -> None:
        """Say the last word, unless the ledger takes too long."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(1.0)

    def _run(self) -> None:
        while not self._stopped.wait(EVERY):
            self._tell()
        self._tell()

    def _tell(self) -> None:
        try:
            new = {film: text for film, text in self._reports().items() if text != self._told.get(film)}
            if new:
                self._ledger.report(new)
            self._told |= new
        except StorageError as error:
            log.debug("the ledger was not told how far the run is: %s", error)

    def _reports(self) -> dict[str, str]:
        with self._tally.lock:
            found = {name: report(self._tally, name) for name in self._tally.films}
        return {name: json.dumps(what, sort_keys=True) for name, what in found.items()}


def report(tally: Tally, name: str) -> dict[str, Any]:
    """What there is to say of one film at this moment."""
    film, ahead, rate = tally.films[name], tally.ahead(name), tally.rate(name)
    work = [w for w in tally.work.values() if w.segment.film == name]
    return {
        "schema": SCHEMA,
        "began": round(film.began, 3),
        "state": film.state,
        "clips": film.clips,
        "cached": film.cached,
        "done": film.done,
        "waiting": len(film.waiting),
        "held": film.held,
        "percent": round(tally.percent(name), 2),
        "frames_per_second": None if rate is None else round(rate, 4),
        "eta_p50": ahead.p50,
        "eta_p90": ahead.p90,
        "camera_seconds_left": ahead.camera_seconds,
        "chains": [_chain(w) for w in work],
        "cameras": [_camera(tally, camera) for camera in tally.cameras.values() if _tells(tally, camera, name)],
        "last": _last(film),
    }


def _tells(tally: Tally, camera: Camera, name: str) -> bool:
    """A camera is told of by the film that it works for; one that waits, by the first film that is not over."""
    if work := tally.work.get(camera.job or ""):
        return work.segment.film == name
    return name == next((n for n, film in tally.films.items() if film.state in ("rendering", "cutting")), None)


def _last(film: FilmCount) -> dict[str, Any] | None:
    return None if film.last is None else {"name": film.last.name, "key": film.last.key, "at": round(film.last.at, 3)}


def _chain(work: Work) -> dict[str, Any]:
    segment = work.segment
    return {
        "shot": segment.shot,
        "first": segment.first,
        "last": segment.first + len(segment.specs) - 1,
        "take": segment.take,
        "doing": work.doing,
        "step": work.step,
        "steps": work.steps,
        "sampled": round(work.sampled, 3),
        "camera": work.camera.worker.name,
        "host": work.camera.worker.host,
        "since": round(work.began, 3),
    }


def _camera(tally: Tally, camera: Camera) -> dict[str, Any]:
    worker: Worker = camera.worker
    work = tally.work.get(camera.job) if camera.job else None
    doing = f"{work.segment.name}: {work.doing}" if work else "waiting"
    if work and work.doing == "sampling":
        doing = f"{work.segment.name}: step {work.step}/{work.steps}"
    return {
        "name": worker.name,
        "host": worker.host,
        "pid": worker.pid,
        "device": worker.device,
        "doing": doing,
        "since": round(camera.since, 3),
        "busy_seconds": round(camera.busy, 3),
    }
