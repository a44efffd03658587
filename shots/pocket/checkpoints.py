"""A training loop that can be stopped at any moment and resumed: weights, averages, optimizer, random states, time.

Everything is stored as safetensors and JSON; nothing is pickled. A checkpoint is two files, each replaced atomically,
and the JSON is written last: a kill between the two makes the resumed run repeat some steps, never lose the checkpoint.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from .networks import save_weights


@dataclass(frozen=True)
class Budget:
    """When a stage ends: after so many minutes of training or so many steps, whichever comes first."""

    minutes: float
    steps: int | None = None

    def spent(self, seconds: float, step: int) -> float:
        """The share of the budget used, 0..1; the learning rate follows it, so the decay always ends on time."""
        by_steps = step / self.steps if self.steps else 0.0
        return min(1.0, max(seconds / (60 * self.minutes), by_steps))


@dataclass
class Training:
    """One stage's training state. `groups` are AdamW parameter groups; each group's `lr` is its peak rate.

    snapshots: how many averaged weights are kept on the way (at-<step>.safetensors), for a curve of quality.
    """

    folder: Path
    module: torch.nn.Module
    groups: list[dict[str, Any]]
    budget: Budget
    hold: float = 0.5
    floor: float = 0.02
    decay: float = 0.998
    save_every: float = 90.0
    snapshots: int = 5
    step: int = 0
    seconds: float = 0.0
    seed: int = 0
    history: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        torch.manual_seed(self.seed)
        self.optimizer = torch.optim.AdamW(self.groups, betas=(0.9, 0.98), weight_decay=1e-3)
        self.peaks = [group["lr"] for group in self.optimizer.param_groups]
        self.average = {name: tensor.detach().clone() for name, tensor in self.module.state_dict().items()}
        if (self.folder / "state.json").exists():
            self.load()

    @property
    def spent(self) -> float:
        return self.budget.spent(self.seconds, self.step)

    def rate(self) -> float:
        """The learning rate as a share of its peak: 50 steps of warm-up, constant, then a cosine down to the floor."""
        fall = max(0.0, (self.spent - self.hold) / (1 - self.hold))
        cosine = self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * fall))
        return cosine * min(1.0, (self.step + 1) / 50)

    def load(self) -> None:
        """Continue from the checkpoint in the folder."""
        state = json.loads((self.folder / "state.json").read_text(encoding="utf-8"))
        tensors = load_file(self.folder / "state.safetensors")
        self.module.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
        self.average = {k[8:]: v for k, v in tensors.items() if k.startswith("average.")}
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("adam."):
                _, index, name = key.split(".")
                moments.setdefault(int(index), {})[name] = value
        self.optimizer.load_state_dict({"state": moments, "param_groups": self.optimizer.state_dict()["param_groups"]})
        torch.set_rng_state(tensors["torch_rng"])
        self.rng.bit_generator.state = state["numpy_rng"]
        self.step, self.seconds, self.history = state["step"], state["seconds"], state["history"]

    def save(self) -> None:
        """Write the checkpoint."""
        tensors = {f"model.{k}": v for k, v in self.module.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{name}": value for name, value in moments.items()}
        tensors["torch_rng"] = torch.get_rng_state()
        save_weights(self.folder / "state.safetensors", {k: v.clone() for k, v in tensors.items()})
        save_weights(self.folder / "average.safetensors", self.average)
        taken = len(list(self.folder.glob("at-*.safetensors")))
        if taken < self.snapshots and self.spent >= (taken + 1) / (self.snapshots + 1):
            save_weights(self.folder / f"at-{self.step}.safetensors", self.average)
        state: dict[str, Any] = {"step": self.step, "seconds": round(self.seconds, 1), "spent": self.spent}
        state |= {"history": self.history, "numpy_rng": self.rng.bit_generator.state}
        partial = self.folder / "state.json.partial"
        partial.write_text(json.dumps(state), encoding="utf-8")
        partial.replace(self.folder / "state.json")

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        names = [name for name, tensor in self.average.items() if tensor.is_floating_point()]
        current = self.module.state_dict()
        torch._foreach_lerp_([self.average[n] for n in names], [current[n].detach() for n in names], 1 - decay)

    def run(self, loss_of: Callable[[], torch.Tensor], probe: Callable[[], dict[str, float]] | None = None) -> None:
        """Train until the budget is spent, printing a progress line at every checkpoint."""
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        began, saved, losses = time.monotonic() - self.seconds, self.seconds, []
        while self.spent < 1:
            for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
                group["lr"] = peak * self.rate()
            loss = loss_of()
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            self.optimizer.step()
            self.step += 1
            self._update_average()
            losses.append(float(loss.detach()))
            self.seconds = time.monotonic() - began
            if self.seconds - saved >= self.save_every or self.spent >= 1:
                entry = {"step": self.step, "seconds": round(self.seconds, 1), "loss": round(float(np.mean(losses)), 5)}
                entry |= {name: round(value, 4) for name, value in (probe() if probe else {}).items()}
                self.history.append(entry)
                line = " ".join(f"{name} {value}" for name, value in entry.items())
                print(f"{self.folder.name} {self.spent:5.1%} {line}", flush=True)
                self.save()
                saved, losses = self.seconds, []
