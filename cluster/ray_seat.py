"""A camera's place on a Ray cluster: what every camera of a run is, and what one is doing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .bookmark import Every
from .darkroom import DecodeBeside
from .job import Job, Worker
from .ray_nodes import Node


@dataclass(frozen=True)
class Terms:
    """What a camera is. cameras: how many at most, None for as many as there is room for. gpus: that each takes, None
    for one where there are any. device: as for `Camera`; `auto` is `cuda` where a camera has GPUs, else `cpu`.
    every: what a crash may cost. aside: host -> why, of the nodes that the ledger has set aside. decode_beside: as for
    `Camera`. rung: where a job begins on the memory ladder, on a device of so many bytes."""

    files: str
    cameras: int | None = None
    gpus: float | None = None
    device: str = "auto"
    every: Every = field(default_factory=Every)
    aside: Callable[[], Mapping[str, str]] = dict
    decode_beside: DecodeBeside = "auto"
    rung: Callable[[Job, int], int] = lambda job, memory: job.rung


@dataclass
class RaySeat:
    """A camera actor and what it is doing. coming: its first word, until it has been heard. worker: who it is, then.
    leaving: why it gets no more jobs; empty while it does. lent: it goes to another run after its job. since: when it
    was hired, or had its last job. dark: jobs that it decodes beside that one, by id, each with its stream. done: share
    of the steps of its job that are made."""

    name: str
    node: Node
    actor: Any
    coming: Any = None
    worker: Worker | None = None
    memory: int = 0
    warm: str | None = None
    chain: str | None = None
    job: Job | None = None
    stream: Any = None
    leaving: str = ""
    lent: bool = False
    since: float = field(default_factory=time.monotonic)
    dark: dict[str, tuple[Job, Any]] = field(default_factory=dict)
    done: float = 0.0

    @property
    def free(self) -> bool:
        """May it be given a job now?"""
        return self.worker is not None and self.job is None and not self.leaving and not self.lent

    @property
    def jobs(self) -> list[Job]:
        """All that it has: the one that it samples comes last."""
        return [job for job, _ in self.dark.values()] + ([self.job] if self.job else [])

    def holds(self, job: Job) -> bool:
        """Has it more memory than was too little for the job?"""
        return not (job.memory and self.memory) or job.memory < self.memory
