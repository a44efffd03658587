"""What a production tells those who watch it, what it needs of the one who cuts, and how a film ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from cluster.job import Failure, Worker
from storage.rows import Take

from .planned import Plan
from .segments import Segment


class Observer(Protocol):
    """What a display wants to know."""

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


class Cutter(Protocol):
    """Makes the finished files of a film from its takes; `Finish` is one."""

    def __call__(self, plan: Plan, production: int, takes: dict[str, Take]) -> list[str]: ...
    def damaged(self, plan: Plan, takes: dict[str, Take]) -> list[str]: ...


@dataclass
class FilmResult:
    """How one film ended. `files` are the finished films; empty when clips are missing."""

    plan: Plan
    state: Literal["done", "partial", "failed"]
    rendered: int
    cached: int
    files: list[str] = field(default_factory=list)
    message: str = ""
    seconds: float = 0.0
