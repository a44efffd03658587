"""What to train, how long and how much at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from . import networks
from .checkpoints import Budget

MINUTES = {"vae": 9.0, "image": 16.0, "video": 65.0, "together": 50.0, "teacher": 32.0}
"""Default budgets on one CPU core: those of the shipped weights."""


@dataclass(frozen=True)
class Plan:
    """The defaults are those of the shipped weights.

    image_share: share of the steps of stage `together` that see single frames. smooth: weight of the second
    difference over frames in its loss and the teacher's.
    """

    out: Path
    weights: Path = networks.ALL_WEIGHTS
    minutes: float | None = None
    steps: int | None = None
    vae_batch: int = 24
    image_batch: int = 64
    clip_batch: int = 8
    bank_clips: int = 8000
    phase_share: float = 0.15
    image_share: float = 0.3
    smooth: float = 0.15
    seed: int = 0

    def budget(self, stage: str) -> Budget:
        return Budget(self.minutes or MINUTES[stage], self.steps)
