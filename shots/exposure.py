"""Clips that are sampled and not decoded yet, and what becomes of them: the network has done its part, the VAE has not.

Between the two anybody may step in: what the next clip needs (`tails`) is known here, so the next may be sampled while
these are decoded (`cluster.darkroom`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import torch
from safetensors.torch import save

from .anchor import LastPicture
from .chain import Tail
from .checkpoint import Checkpoint
from .errors import BadFootage
from .model import Model
from .spec import Anchor, ClipSpec, ModelRef, canonical


@dataclass(frozen=True, eq=False)
class Footage:
    """One clip, made.

    latents [C, F, h, w] float32 on the CPU; frames [F, H, W, 3] uint8; nfe: network evaluations, counted; seconds:
    this clip's share of the wall time of its group inside the "network" and the "vae", and of all ("total"). state: of
    a draft, where it stands after its last step, for whoever goes on with it.
    """

    spec: ClipSpec
    latents: torch.Tensor
    frames: np.ndarray
    tail: Tail | LastPicture | None
    nfe: int
    seconds: dict[str, float]
    state: Checkpoint | None = None


def latents_bytes(spec: ClipSpec, latents: torch.Tensor) -> bytes:
    """Latents [C, F, h, w] of a clip as a safetensors file with its key."""
    # One metadata entry, as in a tail: the library writes several in an order that changes from run to run.
    about = canonical(["Latents", 1, spec.key])
    return save({"latents": latents.contiguous()}, {"longtake": about})


@dataclass(eq=False)
class Exposure:
    """Clips that were denoised together. `develop` decodes them.

    latents: of each clip [C, F, h, w] float32, on the CPU, where nobody writes to them any more. tails: what each
    leaves to the next, as far as sampling tells; a clip that is anchored leaves a picture, which only decoding gives.
    nfe: network evaluations of each. states: of drafts, where each stands. network, sampling: seconds of each clip's
    share inside networks, and in all. picture: what the last clip that was developed leaves, where it is anchored.
    """

    specs: tuple[ClipSpec, ...]
    model: Model
    latents: Sequence[torch.Tensor]
    tails: Sequence[Tail | None]
    nfe: Sequence[int]
    states: Sequence[Checkpoint | None]
    network: float
    sampling: float
    picture: LastPicture | None = None

    def __post_init__(self) -> None:
        self._next = 0  # the first clip that is not developed yet
        self._ready = self.model.mark()

    def develop(self, beside: bool = False) -> Iterator[Footage]:
        """Decode the clips and yield them one by one; asked again, after a failure perhaps, it goes on with the rest.

        beside: others use the device meanwhile. Then it is not looked for ways to do with less memory.

        Raises:
            BadFootage: the VAE returned something that is not a picture. torch.OutOfMemoryError: beside others.
        """
        while self._next < len(self.specs):
            wave = range(self._next, min(self._next + self.model.threads, len(self.specs)))
            began = time.perf_counter()
            pictures = self._decoded(wave, beside)
            decoding = (time.perf_counter() - began) / len(wave)
            for k, frames in zip(wave, pictures, strict=True):
                seconds = {"network": self.network, "vae": decoding, "total": self.sampling + decoding}
                self._next = k + 1
                left: Tail | LastPicture | None = self.tails[k]
                if isinstance(self.specs[k].recipe.chain, Anchor):
                    left = self.picture = LastPicture(self.specs[k].key, frames[-1])
                yield Footage(self.specs[k], self.latents[k], frames, left, self.nfe[k], seconds, self.states[k])

    def _decoded(self, wave: range, beside: bool) -> list[np.ndarray]:
        """The clips' pictures, with less in memory where it was not enough."""

        def work() -> list[np.ndarray]:
            specs, latents = [self.specs[k] for k in wave], [self.latents[k] for k in wave]
            return self.model.map(_decode, specs, repeat(self.model, len(wave)), latents)

        if not beside:
            return self.model.enduring(work)
        with self.model.aside(self._ready):
            return work()


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


def needs_vae(spec: ClipSpec, models: Mapping[ModelRef, Model]) -> bool:
    """Whether the clip's VAE works while it is sampled, too: for a picture to begin with, or for a teacher that sees
    other latents. Some VAEs keep what they are doing in themselves, so nobody else may use one meanwhile."""
    teacher = spec.recipe.videoguide and spec.recipe.videoguide.teacher
    spaces = {models[ref].card.latent_space for ref in (spec.model, teacher) if ref}
    return spec.image is not None or isinstance(spec.recipe.chain, Anchor) or len(spaces) > 1
