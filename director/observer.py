"""What a production tells those who watch it, what it needs of the one who cuts, and how a film ended."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from cluster.desk import Desk
from cluster.job import Failure, Worker
from storage.rows import Take

from .planned import Plan
from .segments import Segment

log = logging.getLogger("longtake.progress")
State = Literal["done", "partial", "failed", "spent"]


class Cutter(Protocol):
    """Makes the finished files of a film from its takes; `Finish` is one."""

    def __call__(
        self, plan: Plan, production: int, takes: dict[str, Take], ask: Callable[[], Desk | None]
    ) -> list[str]: ...
    def damaged(self, plan: Plan, takes: dict[str, Take]) -> list[str]: ...


@dataclass
class FilmResult:
    """How one film ended; "spent": its hours of cameras are. files: the finished films; none when clips are missing."""

    plan: Plan
    state: State
    rendered: int
    cached: int
    files: list[str] = field(default_factory=list)
    message: str = ""
    seconds: float = 0.0


class Quiet:
    """An observer: what those who watch are told. This one does nothing with it; others say only what they care for."""

    def film_begins(self, plan: Plan, missing: int, cached: int) -> None: ...
    def job_waits(self, segment: Segment) -> None: ...
    def job_begins(self, segment: Segment, worker: Worker) -> None: ...
    def job_loads(self, segment: Segment, model: str) -> None: ...
    def job_steps(self, segment: Segment, step: int, steps: int) -> None: ...
    def clip_done(self, segment: Segment, index: int, take: Take) -> None: ...
    def job_done(self, segment: Segment, busy: float) -> None: ...
    def job_failed(self, segment: Segment, failure: Failure, tries: int, held: bool) -> None: ...
    def film_cuts(self, plan: Plan) -> None: ...
    def film_ends(self, result: FilmResult) -> None: ...

    def job_leaves(self, segment: Segment, why: str) -> None:
        """The segment has left its camera and has not failed: it goes on elsewhere, or the run stops."""

    def node_aside(self, host: str, reason: str) -> None:
        """A node gets no more jobs."""

    def node_back(self, host: str) -> None:
        """A node that was set aside gets jobs again."""

    def run_stops(self, why: str) -> None:
        """The run ends before its films do: a signal, or an error."""

    def close(self) -> None:
        """The run is over. Always called, and last."""


class Observers(Quiet):
    """Many observers as one, told in order. One that fails is left out from then on: nothing that only watches may
    end a render."""

    def __init__(self, those: Iterable[Quiet]) -> None:
        self._those = list(those)

    def film_begins(self, plan: Plan, missing: int, cached: int) -> None:
        self._tell("film_begins", plan, missing, cached)

    def job_waits(self, segment: Segment) -> None:
        self._tell("job_waits", segment)

    def job_begins(self, segment: Segment, worker: Worker) -> None:
        self._tell("job_begins", segment, worker)

    def job_loads(self, segment: Segment, model: str) -> None:
        self._tell("job_loads", segment, model)

    def job_steps(self, segment: Segment, step: int, steps: int) -> None:
        self._tell("job_steps", segment, step, steps)

    def clip_done(self, segment: Segment, index: int, take: Take) -> None:
        self._tell("clip_done", segment, index, take)

    def job_done(self, segment: Segment, busy: float) -> None:
        self._tell("job_done", segment, busy)

    def job_failed(self, segment: Segment, failure: Failure, tries: int, held: bool) -> None:
        self._tell("job_failed", segment, failure, tries, held)

    def film_cuts(self, plan: Plan) -> None:
        self._tell("film_cuts", plan)

    def film_ends(self, result: FilmResult) -> None:
        self._tell("film_ends", result)

    def job_leaves(self, segment: Segment, why: str) -> None:
        self._tell("job_leaves", segment, why)

    def node_aside(self, host: str, reason: str) -> None:
        self._tell("node_aside", host, reason)

    def node_back(self, host: str) -> None:
        self._tell("node_back", host)

    def run_stops(self, why: str) -> None:
        self._tell("run_stops", why)

    def close(self) -> None:
        self._tell("close")

    def _tell(self, word: str, *what: Any) -> None:
        for each in list(self._those):
            try:
                getattr(each, word)(*what)
            except Exception:
                name = type(each).__name__
                log.warning("%s failed at %s; going on without it", name, word, exc_info=True)
                self._those.remove(each)
                with contextlib.suppress(Exception):
                    each.close()
