"""The clips of one shoot around one real network: captured calls, evaluation of branches, and the bill."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from .backbones.capture import Call
from .branches import Branch
from .denoiser import Prediction, reading_of
from .errors import BadFootage, ModelRefuses
from .levels import Level
from .memory import ONE_BY_ONE
from .model import Model
from .spec import Cfg, ClipSpec, Stg

Task = tuple[int, tuple[Branch, ...]]
"""A clip, and the branches of it that one thread evaluates one after another."""


class Group:
    """Clips as one model sees them: a video model whole, an image model frame by frame (`frames` in one batch).

    nfe: network evaluations of each clip; one of an image model is one pass over all frames of the clip.
    """

    def __init__(
        self,
        specs: Sequence[ClipSpec],
        model: Model,
        stg: Stg | None = None,
        images: Sequence[np.ndarray | None] | None = None,
    ) -> None:
        """stg: prepare for its branch. images: the picture that each clip begins with, uint8 [H, W, 3]."""
        self.specs = tuple(specs)
        self.images = images or [None] * len(self.specs)
        self.model = model
        self.stg = stg
        self.nfe = [0] * len(specs)
        self.seconds = 0.0
        self.skipped: Any = None
        # On one pool thread: text encoders, too, give other bits with other numbers of intra-op threads.
        (self.calls,) = model.enduring(lambda: model.map(self._capture, [model]))
        captured = self.calls[0]["cond"]
        self.shape, self.levels = captured.shape, captured.levels
        self.reading = reading_of(model.card.prediction, self.levels)
        if len(self.levels) != specs[0].sampler.steps + 1:
            raise ModelRefuses(f"model {model.card.id} makes {len(self.levels) - 1} steps of {specs[0].sampler.steps}")

    def _capture(self, model: Model) -> list[dict[Branch, Call]]:
        scale = self._scale()

        def call(spec: ClipSpec, prompt: str, image: np.ndarray | None) -> Call:
            frames = spec.frames if model.card.video else 1
            size = (spec.width, spec.height, frames)
            return model.backbone.capture(prompt, *size, spec.sampler.steps, image=image, scale=scale)

        calls: list[dict[Branch, Call]] = []
        for spec, image in zip(self.specs, self.images, strict=True):
            calls.append({"cond": call(spec, spec.prompt, image)})
            if not model.card.traits.distilled:
                calls[-1]["uncond"] = call(spec, spec.negative_prompt, image)
        return calls

    def _scale(self) -> float | None:
        """Guidance of a distilled model, which takes it as an input."""
        guidance = self.specs[0].recipe.guidance
        return guidance.scale if self.model.card.traits.distilled and isinstance(guidance, Cfg) else None

    def begun(self, noise: torch.Tensor) -> torch.Tensor:
        """The clips' first states, as the model's pipeline makes them of noise [K, C, F, h, w]."""
        return self.model.backbone.begun(noise, [calls["cond"] for calls in self.calls])

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Within: the branch `skip` can be asked. Afterwards the network is what it was."""
        if self.stg is None:
            yield
            return
        from .backbones.skip import Skip, skipping

        networks = list(self.model.backbone.networks.values())
        with skipping(networks, Skip(self.stg.layers, self.stg.mode, self.stg.part)) as self.skipped:
            yield

    def evaluate(self, x: torch.Tensor, level: Level, branches: Sequence[Branch]) -> tuple[Prediction, ...]:
        """Every clip of x [K, C, F, h, w] on every branch; the only place where the network runs."""
        began = time.perf_counter()
        found = self._alone(x, level, branches) if self.model.pool else self._batched(x, level, branches)
        checked = [self._checked(found[branch], x, level) for branch in branches]
        # Only the check waits for an accelerator, which until then has just been told what to do.
        self.seconds += time.perf_counter() - began
        for k in range(len(x)):
            self.nfe[k] += len(branches)
        return tuple(self.reading(outputs, x, level) for outputs in checked)

    def _alone(self, x: torch.Tensor, level: Level, branches: Sequence[Branch]) -> dict[Branch, torch.Tensor]:
        """One sample on one thread; a skipping pass follows its conditional one there, to use what that has left."""
        pair: tuple[Branch, ...] = tuple(b for b in branches if b != "uncond")
        tasks: list[Task] = [
            (k, part) for k in range(len(x)) for part in (pair, ("uncond",)) if set(part) & set(branches)
        ]
        outputs: dict[tuple[int, Branch], torch.Tensor] = {}
        done = self.model.map(lambda task: self._task(x, level, task), tasks)
        for (k, part), made in zip(tasks, done, strict=True):
            outputs.update(zip([(k, b) for b in part], made, strict=True))
        return {b: torch.stack([outputs[k, b] for k in range(len(x))]) for b in branches}

    def _task(self, x: torch.Tensor, level: Level, task: Task) -> list[torch.Tensor]:
        k, branches = task
        # A copy of its own: matrix kernels may treat memory by its alignment, which within a stack depends on k.
        sample = x[k : k + 1].clone()
        found = self._together(sample, level, branches, [k])
        return [found[branch][0] for branch in branches]

    def _batched(self, x: torch.Tensor, level: Level, branches: Sequence[Branch]) -> dict[Branch, torch.Tensor]:
        """As many samples in one call as the device holds: all, else clip by clip and branch by branch."""
        clips = list(range(len(x)))
        if self.model.rung < ONE_BY_ONE:
            try:
                return self._together(x, level, branches, clips)
            except torch.OutOfMemoryError as error:
                problem = str(error)
            self.model.lower(problem)
        alone = [self._singly(x[k : k + 1], level, branches, k) for k in clips]
        return {branch: torch.cat([found[branch] for found in alone]) for branch in branches}

    def _singly(self, x: torch.Tensor, level: Level, branches: Sequence[Branch], k: int) -> dict[Branch, torch.Tensor]:
        pair: tuple[Branch, ...] = tuple(b for b in branches if b != "uncond")
        parts = [part for part in (pair, ("uncond",)) if set(part) & set(branches)]
        return {b: out for part in parts for b, out in self._together(x, level, part, [k]).items()}

    def _together(
        self, x: torch.Tensor, level: Level, branches: Sequence[Branch], clips: list[int]
    ) -> dict[Branch, torch.Tensor]:
        """These clips' branches: the plain ones in one call, then the skipping one, which reuses the conditional's."""
        plain = [branch for branch in branches if branch != "skip"]
        calls = [self.calls[k][branch] for branch in plain for k in clips]
        batch = torch.cat([x] * len(plain)) if len(plain) > 1 else x
        if "skip" not in branches:
            return dict(zip(plain, self._network(batch, level, calls).split(len(clips)), strict=True))
        outputs = self.skipped.conditional(lambda: self._network(batch, level, calls), len(clips), len(calls))
        conditional = [self.calls[k]["cond"] for k in clips]
        perturbed = self.skipped.perturbed(lambda: self._network(x, level, conditional))
        return dict(zip(plain, outputs.split(len(clips)), strict=True)) | {"skip": perturbed}

    def _network(self, x: torch.Tensor, level: Level, calls: list[Call]) -> torch.Tensor:
        """The network's outputs [B, C, F, h, w]; an image model is asked for all frames of a clip in one batch."""
        backbone = self.model.backbone
        if self.model.card.video:
            return backbone.evaluate(x, level, calls)
        b, c, f, h, w = x.shape
        frames = x.transpose(1, 2).reshape(b * f, c, 1, h, w)
        output = backbone.evaluate(frames, level, [call for call in calls for _ in range(f)])
        return output.reshape(b, f, c, h, w).transpose(1, 2).contiguous()

    def _checked(self, outputs: torch.Tensor, x: torch.Tensor, level: Level) -> torch.Tensor:
        if outputs.shape != x.shape:
            raise BadFootage(self._blame(0, level, f"shape {tuple(outputs.shape)} instead of {tuple(x.shape)}"))
        finite = torch.isfinite(outputs).flatten(1).all(1).tolist()
        if not all(finite):
            told = "values that are not finite numbers (NaN or infinity)"
            raise BadFootage(self._blame(finite.index(False), level, told))
        return outputs

    def _blame(self, k: int, level: Level, what: str) -> str:
        steps = self.specs[0].sampler.steps
        return (
            f"clip {self.specs[k].index}, step {level.i + 1} of {steps}: the network of {self.model.card.id}"
            f" returned {what}; another dtype (float32), a smaller guidance scale or another seed may help"
        )
