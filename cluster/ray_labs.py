"""Labs: work that needs no GPU, in processes of their own beside the cameras of a node."""

from __future__ import annotations

from typing import Any

import numpy as np
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from storage.remote import open_files

from .desk import encode
from .ray_nodes import Node

ATONCE = 4
"""Clips that a lab encodes at the same time at most."""


class Lab:
    """Encodes and stores the frames of cameras on its node, which hand them over in shared memory."""

    def __init__(self, files: str) -> None:
        self._files = open_files(files)

    def encode(self, frames: np.ndarray, tags: dict[str, str]) -> tuple[str, int]:
        """As `desk.encode`: frames `[F, H, W, 3]` uint8 to a stored take. Asked twice, it stores it once."""
        return encode(self._files, frames, tags)


def encoded_by(lab: Any, frames: np.ndarray, tags: dict[str, str]) -> tuple[str, int]:
    """Let a lab encode; waits for it. The frames lie in shared memory meanwhile, and in the camera's own."""
    done: tuple[str, int] = ray.get(lab.encode.remote(frames, tags))
    return done


class Labs:
    """One lab a node, started when the first camera is. It reserves nothing: encoding takes what the node has left."""

    def __init__(self, files: str) -> None:
        self._files = files
        self._labs: dict[str, Any] = {}

    def on(self, node: Node) -> Any:
        """The handle of the node's lab. One that dies is started again, and what it was doing is done again."""
        if node.id not in self._labs:
            there = NodeAffinitySchedulingStrategy(node.id, soft=False)
            hired = ray.remote(Lab).options(
                num_cpus=0, max_concurrency=ATONCE, max_restarts=-1, max_task_retries=2, scheduling_strategy=there
            )
            self._labs[node.id] = hired.remote(self._files)
        return self._labs[node.id]

    def close(self) -> None:
        """End them all."""
        for lab in self._labs.values():
            ray.kill(lab)
        self._labs.clear()
