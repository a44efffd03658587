"""Labs: work that needs no GPU, in processes of their own beside the cameras of a node, and beside the driver."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import numpy as np
import ray
from ray.exceptions import ActorUnschedulableError, RayActorError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from storage.files import Files
from storage.remote import open_files

from .desk import encode
from .ray_connection import gone

log = logging.getLogger("longtake.ray")
ATONCE = 4
"""Things that a lab does at the same time at most."""
GLANCE = 1.0
"""Seconds between two looks at whether the cluster is still there, while somebody waits for a lab."""
TRIES = 3
"""Labs that may die of a piece of work before it is given up."""
T = TypeVar("T")
R = TypeVar("R")


class Lab:
    """Does what it is given with the store: cheap work of the director's, and the frames of cameras on its node, which
    hand them over in shared memory."""

    def __init__(self, files: str) -> None:
        self._files = open_files(files)

    def encode(self, frames: np.ndarray, tags: dict[str, str]) -> tuple[str, int]:
        """As `desk.encode`: frames `[F, H, W, 3]` uint8 to a stored take. Asked twice, it stores it once."""
        return encode(self._files, frames, tags)

    def do(self, work: Callable[[Files, T], R], thing: T) -> R:
        """What `work`, a function of a module, makes of a thing. Must do no harm when it is done twice."""
        return work(self._files, thing)


def encoded_by(lab: Any, frames: np.ndarray, tags: dict[str, str]) -> tuple[str, int]:
    """Let a lab encode; waits for it. The frames lie in shared memory meanwhile, and in the camera's own."""
    done: tuple[str, int] = ray.get(lab.encode.remote(frames, tags))
    return done


class Labs:
    """One lab a node, started when it is first needed: a `desk.Desk`, which any thread may use. It reserves nothing:
    what it does takes what the node has left.

    lost: says whether the cluster has gone away.
    """

    def __init__(self, files: str, lost: Callable[[], bool] = lambda: False) -> None:
        self._files, self._lost = files, lost
        self._labs: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._closed = False

    def on(self, node_id: str) -> Any:
        """The handle of the node's lab. One that dies is started again, and what it was doing is done again.

        Raises ClusterUnreachable after `close`.
        """
        with self._lock:
            self._check_open()
            if node_id not in self._labs:
                there = NodeAffinitySchedulingStrategy(node_id, soft=False)
                hired = ray.remote(Lab).options(
                    num_cpus=0, max_concurrency=ATONCE, max_restarts=-1, max_task_retries=2, scheduling_strategy=there
                )
                self._labs[node_id] = hired.remote(self._files)
            return self._labs[node_id]

    def each(self, work: Callable[[Files, T], R], things: Sequence[T]) -> list[R]:
        """`work` of each thing, in order, spread over the labs that cameras with GPUs have beside them, else here.

        Raises what `work` does; ClusterUnreachable.
        """
        done: dict[int, R] = {}
        waiting = [(n, 0) for n in reversed(range(len(things)))]
        busy: dict[Any, tuple[int, int, str]] = {}
        while waiting or busy:
            while waiting and (node := self._idle([node for _, _, node in busy.values()])):
                n, tries = waiting.pop()
                busy[self.on(node).do.remote(work, things[n])] = (n, tries, node)
            for ref in self._ready(list(busy)):
                n, tries, node = busy.pop(ref)
                try:
                    done[n] = _got(ref)
                except (RayActorError, ActorUnschedulableError):  # it died, or its node did
                    self._forget(node)
                    if tries + 1 >= TRIES:
                        raise
                    waiting.append((n, tries + 1))
        return [done[n] for n in range(len(things))]

    def home(self, work: Callable[[Files, T], R], thing: T) -> R:
        """`work` of a thing in the lab of this very machine, which sees its folders. Raises as `each` does."""
        ref = self.on(_home()).do.remote(work, thing)
        while not self._ready([ref]):
            pass
        result: R = _got(ref)
        return result

    def leave(self, node_id: str) -> None:
        """End the lab of a node that is to be free, or not to be used; that is gone, perhaps."""
        with self._lock:
            lab = self._labs.pop(node_id, None) if node_id != _home() else None
        if lab is not None:
            with suppress(RayError):
                ray.kill(lab)

    def close(self) -> None:
        """End them all. Who still waits for one is told so: nothing may reach for Ray any more."""
        with self._lock:
            self._closed, labs, self._labs = True, list(self._labs.values()), {}
        for lab in labs:
            ray.kill(lab)

    def _idle(self, busy: Sequence[str]) -> str | None:
        """The node whose lab has least to do; None when all have enough."""
        with self._lock:
            self._check_open()
            nodes = [*self._labs] or [_home()]
        best = min(nodes, key=busy.count)
        return best if busy.count(best) < ATONCE else None

    def _forget(self, node_id: str) -> None:
        with self._lock:
            self._labs.pop(node_id, None)

    def _ready(self, refs: list[Any]) -> list[Any]:
        """Those that are done, after a glance at most."""
        self._check_open()
        ready, _ = ray.wait(refs, num_returns=1, timeout=GLANCE)
        if not ready and self._lost():
            raise gone("nobody answers")
        return list(ready)

    def _check_open(self) -> None:
        if self._closed:
            raise gone("this run has left it")


def _got(ref: Any) -> Any:
    """What a lab has made, or the very error that it has met."""
    try:
        return ray.get(ref)
    except RayTaskError as error:
        raise error.cause from None


def _home() -> str:
    return str(ray.get_runtime_context().get_node_id())
