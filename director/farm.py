"""Progress for programs, on standard output: one JSON object a line, or the lines that Open Job Description asks for.

`--progress json`, schema `longtake.progress.v1`. Every line has

    schema, event, time (UTC, ISO 8601), percent (0 to 100, of all films of the run), frames_per_second (or null),
    eta_p50, eta_p90 (seconds until all clips are there; null where unknown)

and, by its event,

    film_begun      film, title, clips, cached
    chain_begun     film, shot, first, last, take, worker, host, device
    model_loading   film, shot, first, last, model
    step            film, shot, first, last, step, steps (at most one a second of each chain, and always the last)
    clip_done       film, shot, clip, frames, seconds, done, clips
    chain_done      film, shot, first, last, busy_seconds
    chain_failed    film, shot, first, last, error, message, tries, held
    chain_left      film, shot, first, last, why
    node_aside      host, reason
    node_back       host
    film_cutting    film, frames
    film_ended      film, state (done, partial, failed, spent), rendered, cached, files, message, seconds
    run_stopped     why
    run_ended       states (film -> state)

Fields may be added in this version, never taken away. `--progress openjd` prints `openjd_progress: 42.0`,
`openjd_status: ...` and `openjd_fail: ...`.
"""

from __future__ import annotations

import json
import time
from typing import IO, Any

from cluster.job import Failure, Worker
from cluster.secrets import hidden
from storage.rows import Take

from .observer import FilmResult, Quiet
from .planned import Plan
from .segments import Segment
from .tally import Tally

SCHEMA = "longtake.progress.v1"
STEP_SECONDS = 1.0
"""Between two lines about the steps of a chain."""


class JsonLines(Quiet):
    """A JSON object a line."""

    def __init__(self, out: IO[str], tally: Tally) -> None:
        self._out, self._tally = out, tally
        self._told: dict[str, float] = {}

    def film_begins(self, plan: Plan, missing: int, cached: int) -> None:
        self._say("film_begun", film=plan.film, title=plan.title, clips=missing + cached, cached=cached)

    def job_begins(self, segment: Segment, worker: Worker) -> None:
        self._told.pop(segment.name, None)
        who = {"worker": worker.name, "host": worker.host, "device": worker.device}
        self._say("chain_begun", **_place(segment), take=segment.take, **who)

    def job_loads(self, segment: Segment, model: str) -> None:
        self._say("model_loading", **_place(segment), model=model)

    def job_steps(self, segment: Segment, step: int, steps: int) -> None:
        now = self._tally.clock()
        if step == steps or now - self._told.get(segment.name, 0.0) >= STEP_SECONDS:
            self._told[segment.name] = now
            self._say("step", **_place(segment), step=step, steps=steps)

    def clip_done(self, segment: Segment, index: int, take: Take) -> None:
        film = self._tally.films[segment.film]
        self._say(
            "clip_done",
            film=segment.film,
            shot=segment.shot,
            clip=segment.first + index,
            frames=take.frames,
            seconds=take.seconds.get("total"),
            done=film.done,
            clips=film.clips,
        )

    def job_done(self, segment: Segment, busy: float) -> None:
        self._say("chain_done", **_place(segment), busy_seconds=round(busy, 3))

    def job_failed(self, segment: Segment, failure: Failure, tries: int, held: bool) -> None:
        what = {"error": failure.error, "message": hidden(failure.message), "tries": tries, "held": held}
        self._say("chain_failed", **_place(segment), **what)

    def job_leaves(self, segment: Segment, why: str) -> None:
        self._say("chain_left", **_place(segment), why=why)

    def node_aside(self, host: str, reason: str) -> None:
        self._say("node_aside", host=host, reason=reason)

    def node_back(self, host: str) -> None:
        self._say("node_back", host=host)

    def film_cuts(self, plan: Plan) -> None:
        self._say("film_cutting", film=plan.film, frames=plan.frames)

    def film_ends(self, result: FilmResult) -> None:
        counts = {"rendered": result.rendered, "cached": result.cached, "seconds": round(result.seconds, 3)}
        what = {"state": result.state, "files": result.files, "message": hidden(result.message)}
        self._say("film_ended", film=result.plan.film, **what, **counts)

    def run_stops(self, why: str) -> None:
        self._say("run_stopped", why=hidden(why))

    def close(self) -> None:
        self._say("run_ended", states={name: film.state for name, film in self._tally.films.items()})

    def _say(self, event: str, **what: Any) -> None:
        ahead, rate = self._tally.ahead(), self._tally.rate()
        line = {"schema": SCHEMA, "event": event, "time": utc(self._tally.clock())}
        numbers = {
            "percent": round(self._tally.percent(), 1),
            "frames_per_second": None if rate is None else round(rate, 3),
            "eta_p50": None if ahead.p50 is None else round(ahead.p50, 1),
            "eta_p90": None if ahead.p90 is None else round(ahead.p90, 1),
        }
        self._out.write(json.dumps(line | what | numbers, ensure_ascii=False) + "\n")
        self._out.flush()


class OpenJd(Quiet):
    """What a worker agent of Open Job Description reads out of a task's output."""

    def __init__(self, out: IO[str], tally: Tally) -> None:
        self._out, self._tally = out, tally
        self._percent = -1.0
        self._status = ""

    def film_begins(self, plan: Plan, missing: int, cached: int) -> None:
        self._tell(f"{plan.film}: {missing} clips to render, {cached} from the store")

    def job_loads(self, segment: Segment, model: str) -> None:
        self._tell(f"{segment.name}: loading {model}")

    def job_steps(self, segment: Segment, step: int, steps: int) -> None:
        if step:
            self._tell(f"{segment.name}: rendering")

    def clip_done(self, segment: Segment, index: int, take: Take) -> None:
        self._tell(f"{segment.film}/{segment.shot}/{segment.first + index}: done")

    def job_failed(self, segment: Segment, failure: Failure, tries: int, held: bool) -> None:
        what = "held" if held else f"try {tries} failed"
        self._tell(f"{segment.name}: {what}: {failure.error}: {failure.message}")

    def film_cuts(self, plan: Plan) -> None:
        self._tell(f"{plan.film}: cutting {plan.frames} frames")

    def film_ends(self, result: FilmResult) -> None:
        self._tell(f"{result.plan.film}: {result.state}")
        if result.state != "done":
            self._line("fail", f"{result.plan.film}: {result.state}: {result.message}")

    def run_stops(self, why: str) -> None:
        self._line("fail", f"stopped: {why}")

    def _tell(self, status: str) -> None:
        percent = round(self._tally.percent(), 1)
        if percent != self._percent:
            self._percent = percent
            self._line("progress", f"{percent}")
        if status != self._status:
            self._status = status
            self._line("status", status)

    def _line(self, kind: str, text: str) -> None:
        self._out.write(f"openjd_{kind}: {' '.join(hidden(text).split())}\n")
        self._out.flush()


def utc(moment: float) -> str:
    """`2026-11-21T14:30:05.250Z`."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment))
    return f"{whole}.{int(moment % 1 * 1000):03d}Z"


def _place(segment: Segment) -> dict[str, Any]:
    last = segment.first + len(segment.specs) - 1
    return {"film": segment.film, "shot": segment.shot, "first": segment.first, "last": last}
