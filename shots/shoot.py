"""Clip specs in, footage out: the one place where methods are put in order.

Order of a step: VidRD's copies, guidance around the network, the sampler's line. The first
noise is the prior's, then the chain's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import torch
from safetensors.torch import save

from .backbones.capture import Call
from .chain import Copies, Tail, check_chain, first_noise
from .denoiser import Prediction, reading_of
from .errors import BadFootage, ModelRefuses, SpecError
from .guidance import Branch, guided_by
from .levels import Level
from .model import Model, load, one_thread
from .price import predicted_nfe
from .priors import draw
from .sampling import ddim
from .spec import ClipSpec, VidRD, canonical

__all__ = ["Footage", "Model", "Tail", "load", "predicted_nfe", "shoot"]

OnStep = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Footage:
    """One clip, made.

    latents [C, F, h, w] float32 on the CPU; frames [F, H, W, 3] uint8; nfe: network evaluations, counted; seconds:
    this clip's share of the wall time of its group inside the "network" and the "vae", and of all ("total").
    """

    spec: ClipSpec
    latents: torch.Tensor
    frames: np.ndarray
    tail: Tail | None
    nfe: int
    seconds: dict[str, float]

    def latents_bytes(self) -> bytes:
        """The latents as a safetensors file with the clip's key; equal footage gives equal bytes."""
        # One metadata entry, as in a tail: the library writes several in an order that changes from run to run.
        about = canonical(["Latents", 1, self.spec.key])
        return save({"latents": self.latents.contiguous()}, {"longtake": about})


def shoot(
    specs: Sequence[ClipSpec], model: Model, tail: Tail | None = None, on_step: OnStep | None = None
) -> Iterator[Footage]:
    """Denoise consecutive clips of one chain in lockstep, then decode and yield them one by one.

    tail: what the clip before the first one left, None at the start of a chain. on_step(done, steps) is called after
    every step and may raise (Interrupted) to stop.

    Raises, before anything runs:
        SpecError: the clips do not belong together, or not to the tail. ModelRefuses: not this model's size or frames.
    While running:
        BadFootage: the network or the VAE returned something that is not a picture.
    """
    specs = tuple(specs)
    check_chain(specs, tail)
    _check_model(specs[0], model)
    return _shoot(specs, model, tail, on_step)


def _check_model(spec: ClipSpec, model: Model) -> None:
    card = model.card
    if (spec.model.digest, spec.model.dtype) != (card.digest, card.dtype):
        raise SpecError(
            f"clip {spec.index} is for model {spec.model.digest} in {spec.model.dtype}, but {card.id} is loaded,"
            f" which is {card.digest} in {card.dtype}; load the model that the clip names"
        )
    card.check_frames(spec.frames)
    card.check_size(spec.width, spec.height)
    card.check_steps(spec.sampler.steps)


def _shoot(specs: tuple[ClipSpec, ...], model: Model, tail: Tail | None, on_step: OnStep | None) -> Iterator[Footage]:
    began = time.perf_counter()
    group = _Group(specs, model)
    latents, tails = _denoise(group, tail, on_step)
    denoised = time.perf_counter() - began
    for start in range(0, len(specs), model.threads):
        wave = range(start, min(start + model.threads, len(specs)))
        began = time.perf_counter()
        pictures = model.map(_decode, [specs[k] for k in wave], repeat(model, len(wave)), [latents[k] for k in wave])
        decoding = (time.perf_counter() - began) / len(wave)
        for k, frames in zip(wave, pictures, strict=True):
            seconds = {
                "network": group.network_seconds / len(specs),
                "vae": decoding,
                "total": denoised / len(specs) + decoding,
            }
            yield Footage(specs[k], latents[k], frames, tails[k], group.nfe[k], seconds)


def _denoise(
    group: _Group, tail: Tail | None, on_step: OnStep | None
) -> tuple[list[torch.Tensor], Sequence[Tail | None]]:
    """Final latents and tails of the group's clips, on the CPU."""
    specs, first = group.specs, group.specs[0]
    chain = first.recipe.chain
    _check_tail_fits(tail, group.shape)
    noise = first_noise(specs, [draw(spec, group.shape) for spec in specs], tail)
    copies = Copies(chain, first.frames, len(specs), first.sampler.steps, tail) if isinstance(chain, VidRD) else None
    with torch.inference_mode(), one_thread():
        x = ddim(
            noise.to(group.model.device),
            group.levels,
            guided_by(first.recipe.guidance, group.evaluate),
            (copies,) if copies else (),
            on_step,
        )
    # Copied outside inference mode: whoever gets these may change them in place.
    latents = [clip.to("cpu", copy=True) for clip in x]
    return latents, copies.tails(specs, noise) if copies else [None] * len(specs)


def _check_tail_fits(tail: Tail | None, shape: tuple[int, int, int, int]) -> None:
    if tail is not None and tuple(tail.noise.shape) != shape:
        raise SpecError(
            f"the tail's noise is {tuple(tail.noise.shape)}, but this clip's is {shape};"
            " clips of one chain have one size"
        )


class _Group:
    """The clips of one shoot around the real network: captured calls, evaluation, and the bill."""

    def __init__(self, specs: tuple[ClipSpec, ...], model: Model) -> None:
        self.specs = specs
        self.model = model
        self.nfe = [0] * len(specs)
        self.network_seconds = 0.0
        # On one pool thread: text encoders, too, give other bits with other numbers of intra-op threads.
        (self.calls,) = model.map(self._capture, [model])
        captured = self.calls[0]["cond"]
        self.shape, self.levels = captured.shape, captured.levels
        self.reading = reading_of(model.card.prediction, self.levels)
        if len(self.levels) != specs[0].sampler.steps + 1:
            raise ModelRefuses(f"model {model.card.id} makes {len(self.levels) - 1} steps of {specs[0].sampler.steps}")

    def _capture(self, model: Model) -> list[dict[Branch, Call]]:
        def call(spec: ClipSpec, prompt: str) -> Call:
            return model.backbone.capture(prompt, spec.width, spec.height, spec.frames, spec.sampler.steps)

        return [{"cond": call(s, s.prompt), "uncond": call(s, s.negative_prompt)} for s in self.specs]

    def evaluate(self, x: torch.Tensor, level: Level, branches: Sequence[Branch]) -> tuple[Prediction, ...]:
        """Every clip of x [K, C, F, h, w] on every branch; the only place where the network runs."""
        began = time.perf_counter()
        asked = [(k, branch) for branch in branches for k in range(len(x))]
        outputs = self._outputs(x, level, asked)
        self.network_seconds += time.perf_counter() - began
        for (k, _), output in zip(asked, outputs, strict=True):
            self.nfe[k] += 1
            self._check(output, k, level)
        stacked = torch.stack(outputs).unflatten(0, (len(branches), len(x)))
        return tuple(self.reading(output, x, level) for output in stacked)

    def _outputs(self, x: torch.Tensor, level: Level, asked: list[tuple[int, Branch]]) -> list[torch.Tensor]:
        calls = [self.calls[k][branch] for k, branch in asked]
        if self.model.pool is None:
            return list(self.model.backbone.evaluate(x[[k for k, _ in asked]], level, calls))

        def one(k: int, call: Call) -> torch.Tensor:
            # A copy of its own: matrix kernels may treat memory by its alignment, which within a stack depends on k.
            return self.model.backbone.evaluate(x[k : k + 1].clone(), level, [call])[0]

        return self.model.map(one, [k for k, _ in asked], calls)

    def _check(self, output: torch.Tensor, k: int, level: Level) -> None:
        if tuple(output.shape) != self.shape:
            raise BadFootage(self._blame(k, level, f"shape {tuple(output.shape)} instead of {self.shape}"))
        if not torch.isfinite(output).all():
            raise BadFootage(self._blame(k, level, "values that are not finite numbers (NaN or infinity)"))

    def _blame(self, k: int, level: Level, what: str) -> str:
        steps = self.specs[0].sampler.steps
        return (
            f"clip {self.specs[k].index}, step {level.i + 1} of {steps}: the network of {self.model.card.id}"
            f" returned {what}; another dtype (float32), a smaller guidance scale or another seed may help"
        )


def _decode(spec: ClipSpec, model: Model, latents: torch.Tensor) -> np.ndarray:
    try:
        frames = model.backbone.decode(latents.to(model.device))
    except ValueError as error:
        raise BadFootage(f"clip {spec.index}, decoding: {error}; another dtype (float32) may help") from None
    if frames.shape != (spec.frames, spec.height, spec.width, 3):
        raise BadFootage(
            f"clip {spec.index}, decoding: the VAE of {model.card.id} made {frames.shape} instead of"
            f" {(spec.frames, spec.height, spec.width, 3)}"
        )
    return frames
